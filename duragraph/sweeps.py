"""What loops that sweep have in common: they go on after errors, and judge no one in haste."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from duragraph.errors import DuraGraphError

log = structlog.get_logger(__name__)


async def every(
    seconds: float,
    sweep: Callable[[], Awaitable[float | None]],
    *,
    failing: str,
    look: asyncio.Event | None = None,
) -> None:
    """Sweep for ever; an error is logged as `failing`, and the next sweep tries again.

    That comes after `seconds`, sooner if the sweep returns fewer or somebody sets `look`.
    """
    look = look or asyncio.Event()
    while True:
        look.clear()
        pause = seconds
        try:
            if (sooner := await sweep()) is not None:
                pause = min(seconds, sooner)
        except DuraGraphError as error:
            log.warning(failing, error=str(error), cause=str(error.__cause__))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await look.wait()


class Patience:
    """Waits before what is overdue is judged, at a start and after a gap between two sweeps.

    Whoever is late may have been held up by what held up the sweeps: a database that was away.
    """

    def __init__(self, seconds: float, *, gap_seconds: float) -> None:
        self._seconds = seconds
        self._gap_seconds = gap_seconds
        self._swept_at: float | None = None
        self._until = 0.0

    def is_over(self) -> bool:
        """Ask once a sweep."""
        now = time.monotonic()
        if self._swept_at is None or now - self._swept_at > self._gap_seconds:
            self._until = now + self._seconds
        self._swept_at = now
        return now >= self._until
