"""Tells that this plane lives, and ends runs for planes that died with their clients' connections.

Runs with `on_disconnect: cancel` name the plane that their client hangs on. A client that comes
back to another plane in time moves its run there.
"""

import structlog

from duragraph import pg
from duragraph.cancels import Cancels
from duragraph.errors import DuraGraphError
from duragraph.ids import new_id
from duragraph.pg import Pool, planes
from duragraph.sweeps import Patience, every

log = structlog.get_logger(__name__)

BEAT_SECONDS = 3.0
ALIVE_SECONDS = 15.0
"""After its last beat."""


class Presence:
    def __init__(self, pool: Pool, cancels: Cancels) -> None:
        self._pool = pool
        self._cancels = cancels
        self._patience = Patience(ALIVE_SECONDS, gap_seconds=2 * BEAT_SECONDS)
        self.plane_id = new_id()

    async def run(self) -> None:
        """To be supervised."""
        await every(BEAT_SECONDS, self._beat, failing="can't tell that I live")

    async def _beat(self) -> None:
        async with pg.acquire(self._pool) as conn:
            await planes.seen(conn, self.plane_id, seconds=ALIVE_SECONDS)
            orphans = await planes.orphans(conn) if self._patience.is_over() else []
        for organization_id, thread_id, run_id in orphans:
            log.info("run ended for a plane that died", run_id=run_id)
            await self._cancels.cancel(
                organization_id, thread_id, run_ids=[run_id], action="interrupt"
            )

    async def leave(self) -> None:
        """At a stop, after the last beat."""
        try:
            async with pg.acquire(self._pool) as conn:
                await planes.leave(conn, self.plane_id)
        except DuraGraphError as error:
            log.warning("can't take my leave", error=str(error), cause=str(error.__cause__))
