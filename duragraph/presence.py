"""Tells that this plane lives, and ends runs for planes that died with their clients' connections.

Runs with `on_disconnect: cancel` name the plane that their client hangs on. A client that comes
back to another plane in time moves its run there.
"""

import asyncio
import math
import time

import structlog

from duragraph import pg
from duragraph.dispatch import Dispatcher
from duragraph.errors import DuraGraphError
from duragraph.ids import new_id
from duragraph.pg import Connection, Pool, planes

log = structlog.get_logger(__name__)

BEAT_SECONDS = 3.0
ALIVE_SECONDS = 15.0
"""After its last beat."""


class Presence:
    def __init__(self, pool: Pool, dispatcher: Dispatcher) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._beaten_at = -math.inf
        self._patient_until = 0.0
        self.plane_id = new_id()

    async def run(self) -> None:
        """Beat for ever; to be supervised."""
        while True:
            try:
                async with pg.acquire(self._pool) as conn:
                    await planes.seen(conn, self.plane_id, seconds=ALIVE_SECONDS)
                    orphans = await self._orphans(conn)
                for organization_id, thread_id, run_id in orphans:
                    log.info("run ended for a plane that died", run_id=run_id)
                    await self._dispatcher.cancel(
                        organization_id, thread_id, run_ids=[run_id], action="interrupt"
                    )
            except DuraGraphError as error:
                log.warning("can't tell that I live", error=str(error), cause=str(error.__cause__))
            await asyncio.sleep(BEAT_SECONDS)

    async def _orphans(self, conn: Connection) -> list[tuple[str, str, str]]:
        """None at a start and after a gap: the other planes could not beat either."""
        now = time.monotonic()
        if now - self._beaten_at > 2 * BEAT_SECONDS:
            self._patient_until = now + ALIVE_SECONDS
        self._beaten_at = now
        return await planes.orphans(conn) if now >= self._patient_until else []

    async def leave(self) -> None:
        """At a stop, after the last beat."""
        try:
            async with pg.acquire(self._pool) as conn:
                await planes.leave(conn, self.plane_id)
        except DuraGraphError as error:
            log.warning("can't take my leave", error=str(error), cause=str(error.__cause__))
