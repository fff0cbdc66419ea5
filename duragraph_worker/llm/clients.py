"""A vendor's client for each event loop: connections can't be shared between loops."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Client = TypeVar("Client")


class Clients(Generic[Client]):
    """Makes a client when a loop first needs it, and closes it as the loop ends."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self._make = make
        self._open: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[Client, None], Client]
        ] = WeakKeyDictionary()

    async def here(self) -> Client:
        """The running loop's client."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            lifetime = self._lifetime()
            self._open[loop] = (lifetime, await anext(lifetime))
        return self._open[loop][1]

    async def _lifetime(self) -> AsyncGenerator[Client, None]:
        # A loop that ends closes its async generators, and this one its client.
        async with self._make() as client:
            yield client
