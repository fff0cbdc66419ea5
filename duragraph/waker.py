"""Wakes the runs whose waits are over: makes them claimable, on time.

Every plane does; runs are taken with SKIP LOCKED, so there is no leader. Waiting costs one look a
sweep, however many wait.
"""

import asyncio
from contextlib import suppress

import structlog

from duragraph import metrics, pg
from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.errors import DuraGraphError
from duragraph.pg import Pool, waits

AGAIN_SECONDS = 0.2
"""Until the next look when all that is due is in other hands."""

log = structlog.get_logger(__name__)


class Waker:
    def __init__(self, config: Config, pool: Pool, dispatcher: Dispatcher) -> None:
        self._config = config
        self._pool = pool
        self._dispatcher = dispatcher
        self._look = asyncio.Event()

    def look(self) -> None:
        """After a COMMIT: something may be due, or will be before the next look."""
        self._look.set()

    async def run(self) -> None:
        """To be supervised."""
        while True:
            seconds = self._config.hint_sweep_seconds
            try:
                seconds = min(seconds, await self._wake())
            except DuraGraphError as error:
                log.warning("can't wake runs", error=str(error), cause=str(error.__cause__))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._look.wait()
            self._look.clear()

    async def _wake(self) -> float:
        """Wake what is due. Returns the seconds until the next look."""
        async with pg.acquire(self._pool) as conn:
            seconds = await waits.next_due(conn)
            if seconds is None:
                return self._config.hint_sweep_seconds
            if seconds > 0:
                return seconds
            woken = await waits.wake(conn)
        if not woken:
            return AGAIN_SECONDS
        metrics.WOKEN.inc(woken)
        self._dispatcher.look()
        return 0
