"""A vendor's client for each event loop: connections can't be shared between loops."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import attrs

Client = TypeVar("Client")


class Closes(Protocol):
    async def close(self) -> None: ...


Closed = TypeVar("Closed", bound=Closes)


class Closing(AbstractAsyncContextManager[Closed]):
    """Opens a client that is no context manager itself.

    An async generator won't do for that: a loop that ends closes all of those at once, and
    `Clients` would close it a second time.
    """

    def __init__(self, make: Callable[[], Awaitable[Closed]]) -> None:
        self._make = make

    async def __aenter__(self) -> Closed:
        self._client = await self._make()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


@attrs.define(eq=False)
class _Place(Generic[Client]):
    opening: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    lifetime: AsyncGenerator[Client, None] | None = None
    client: Client | None = None


class Clients(Generic[Client]):
    """Makes a client when a loop first needs it, and closes it as the loop ends."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self._make = make
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, _Place[Client]] = (
            WeakKeyDictionary()
        )

    async def here(self) -> Client:
        """The running loop's client; whoever asks while it opens waits for it."""
        loop = asyncio.get_running_loop()
        place = self._places.setdefault(loop, _Place())
        if place.client is None:
            async with place.opening:
                if place.client is None:
                    place.lifetime = self._lifetime(loop)
                    place.client = await anext(place.lifetime)
        return place.client

    async def _lifetime(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Client, None]:
        # A loop that ends closes its async generators, and this one its client.
        async with self._make() as client:
            try:
                yield client
            finally:
                # Clients know their loops, which nobody could forget otherwise.
                self._places.pop(loop, None)
