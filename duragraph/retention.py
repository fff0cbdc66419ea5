"""Lets go of what is kept no longer. Every plane does; who comes second finds nothing.

Apart from the reaper: what takes long here must not make leases wait.
"""

import structlog

from duragraph import pg
from duragraph.pg import Pool, partitions, webhooks, workers
from duragraph.sweeps import every

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS = 60.0
EVENTS_SECONDS = 3600.0


class Retention:
    def __init__(self, pool: Pool, *, event_days: int) -> None:
        self._pool = pool
        self._event_days = event_days

    async def keep_house(self) -> None:
        """To be supervised."""
        await every(HOUSEKEEPING_SECONDS, self._housekeep, failing="can't keep house")

    async def drop_events(self) -> None:
        """To be supervised."""
        await every(EVENTS_SECONDS, self.sweep_events, failing="can't let go of events")

    async def _housekeep(self) -> None:
        async with pg.acquire(self._pool) as conn:
            await workers.forget(conn)
            await webhooks.forget(conn)
            await partitions.make_ahead(conn)

    async def sweep_events(self) -> None:
        """Raises Busy, Unavailable: then the next one does it."""
        async with pg.acquire(self._pool) as conn:
            if dropped := await partitions.drop_old(conn, days=self._event_days):
                log.info("events dropped", partitions=dropped)
            await partitions.erase_old(conn, days=self._event_days)
