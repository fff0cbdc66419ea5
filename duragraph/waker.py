"""Wakes the runs whose waits are over: makes them claimable, on time.

Every plane does; runs are taken with SKIP LOCKED, so there is no leader. Waiting costs one look a
sweep, however many wait.
"""

import asyncio

from duragraph import metrics, pg
from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.pg import Pool, waits
from duragraph.sweeps import every

AGAIN_SECONDS = 0.2
"""Until the next look when all that is due is in other hands."""


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
        seconds = self._config.hint_sweep_seconds
        await every(seconds, self._wake, look=self._look, failing="can't wake runs")

    async def _wake(self) -> float | None:
        """Wake what is due. Returns the seconds until more is; None if nothing waits for a time."""
        async with pg.acquire(self._pool) as conn:
            seconds = await waits.next_due(conn)
            if seconds is None or seconds > 0:
                return seconds
            woken = await waits.wake(conn)
        if not woken:
            return AGAIN_SECONDS
        metrics.WOKEN.inc(woken)
        self._dispatcher.look()
        return 0
