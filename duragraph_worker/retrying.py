"""Tries again for vendors whose SDKs don't: what was refused in passing, and lost connections.

Waits as long as Retry-After says, else a growing time. A reply that has begun is never asked for
again here: it may have been heard.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from typing import TypeVar

import attrs
import stamina

from duragraph_worker.replies import ReplyError

T = TypeVar("T")

LONGEST_WAIT = 120.0
"""Seconds. A vendor that asks us to wait longer is not asked again."""

_RETRIED = {408, 409, 429}


@attrs.frozen
class Refusal:
    """An HTTP answer that is an error. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]


@attrs.frozen
class VendorRetries:
    """How often a vendor is asked again, and how its errors are read."""

    times: int
    lost: tuple[type[Exception], ...]
    """What is raised when a connection is lost, or silent for too long."""
    refusal: Callable[[Exception], Refusal | None] = attrs.field(default=lambda _: None)

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask()` comes to at the last try. Raises what that raises."""
        async for attempt in self._attempts():
            with attempt:
                return await ask()
        raise AssertionError("the last attempt returns or raises")

    async def stream(self, ask: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """What `ask()` yields at the first try that yields something, else at the last."""
        async for attempt in self._attempts():
            with attempt:
                items = ask()
                first = await anext(items, None)
        async with aclosing(items):
            if first is not None:
                yield first
            async for item in items:
                yield item

    def _attempts(self) -> AsyncIterator[stamina.Attempt]:
        return aiter(
            stamina.retry_context(
                self._wait,
                attempts=self.times + 1,
                timeout=None,
                wait_initial=0.5,
                wait_max=8,
                wait_jitter=0.5,
            )
        )

    def _wait(self, error: Exception) -> float | bool:
        """Seconds to wait before the next try; True: as long as usual; False: there is none."""
        if isinstance(error, ReplyError):  # the reply was made, and is paid for
            return False
        refusal = self.refusal(error)
        if refusal is None:
            return isinstance(error, self.lost)
        if refusal.status not in _RETRIED and refusal.status < 500:  # noqa: PLR2004 - HTTP's
            return False
        wait = _retry_after(refusal.headers.get("retry-after", ""))
        if wait is None:
            return True
        return wait if wait <= LONGEST_WAIT else False


def _retry_after(said: str) -> float | None:
    """The seconds that a Retry-After header says, by number or by date."""
    try:
        return max(float(said), 0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(said).timestamp() - time.time(), 0)
    except (ValueError, OverflowError):
        return None
