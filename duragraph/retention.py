"""Lets go of events that are kept no longer. Every plane does; who comes second finds nothing.

Apart from the reaper: what takes long here must not make leases wait.
"""

import asyncio

import structlog

from duragraph import pg
from duragraph.errors import DuraGraphError
from duragraph.pg import Pool, partitions

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0


class Retention:
    def __init__(self, pool: Pool, *, days: int) -> None:
        self._pool = pool
        self._days = days

    async def run(self) -> None:
        """To be supervised."""
        while True:
            try:
                await self.sweep()
            except DuraGraphError as error:
                log.warning("can't let go of events", error=str(error), cause=str(error.__cause__))
            await asyncio.sleep(EVERY_SECONDS)

    async def sweep(self) -> None:
        """Raises Busy, Unavailable: then the next one does it."""
        async with pg.acquire(self._pool) as conn:
            if dropped := await partitions.drop_old(conn, days=self._days):
                log.info("events dropped", partitions=dropped)
            await partitions.erase_old(conn, days=self._days)
