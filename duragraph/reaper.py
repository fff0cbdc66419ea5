"""The sweeps: expired leases, doomed runs, strays, delayed runs that are due, erasures.

Every plane sweeps; rows are taken with SKIP LOCKED, so there is no leader.
"""

import asyncio
import math
import time

import structlog

from duragraph import codec, metrics, pg
from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.errors import DuraGraphError
from duragraph.frames import Batch
from duragraph.pg import (
    Connection,
    Pool,
    erasure,
    idempotency,
    partitions,
    reaping,
    runs,
    store,
    webhooks,
    workers,
)
from duragraph.pg.reaping import Doomed
from duragraph.protocol import LEASE_SECONDS, Control
from duragraph.streams import Streams

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS = 60.0


class Reaper:
    def __init__(
        self, config: Config, pool: Pool, dispatcher: Dispatcher, streams: Streams
    ) -> None:
        self._config = config
        self._pool = pool
        self._dispatcher = dispatcher
        self._streams = streams
        self._swept_at = -math.inf
        self._patient_until = 0.0

    async def run(self) -> None:
        """Sweep for ever; to be supervised."""
        housekept_at = 0.0
        while True:
            try:
                async with pg.acquire(self._pool) as conn:
                    await self._sweep(conn)
                    if time.monotonic() - housekept_at > HOUSEKEEPING_SECONDS:
                        await workers.forget(conn)
                        await webhooks.erase(conn)
                        await partitions.make_ahead(conn)
                        housekept_at = time.monotonic()
            except DuraGraphError as error:
                log.warning("can't sweep", error=str(error), cause=str(error.__cause__))
            await asyncio.sleep(self._config.sweep_seconds)

    async def _sweep(self, conn: Connection) -> None:
        promoted = await runs.promote_strays(conn)
        expired = await self._reap(conn) if self._may_judge() else 0
        if promoted or expired:
            self._dispatcher.look()
        await reaping.erase_runs(conn)
        await idempotency.forget(conn, after_seconds=self._config.idempotency_seconds)
        await erasure.sweep(conn)
        await store.sweep(conn)

    def _may_judge(self) -> bool:
        """At a start, and after a gap, leases may have run out that nobody could renew."""
        now = time.monotonic()
        if now - self._swept_at > 2 * self._config.sweep_seconds:
            self._patient_until = now + LEASE_SECONDS
        self._swept_at = now
        return now >= self._patient_until

    async def _reap(self, conn: Connection) -> int:
        most, seconds = self._config.max_attempts, self._config.run_timeout_seconds
        expired = await reaping.expire(conn, max_attempts=most, timeout_seconds=seconds)
        if expired:
            log.info("leases ran out", runs=len(expired))
            metrics.EXPIRED.inc(len(expired))
        for worker_id, control in expired:
            self._dispatcher.revoked(worker_id, control)
        for run in await reaping.doomed(conn, max_attempts=most, timeout_seconds=seconds):
            await self._bury(conn, run)
        return len(expired)

    async def _bury(self, conn: Connection, run: Doomed) -> None:
        if run.timed_out:
            name, why = "TimeoutError", f"The run took over {self._config.run_timeout_seconds:g} s."
        else:
            name, why = "WorkerLost", f"The run's worker was lost {run.attempt} times."
        error = codec.dumps({"error": name, "message": why})
        buried = await reaping.bury(conn, run, error)
        if buried is None:
            return
        log.warning("run given up", run_id=run.run_id, reason=why)
        ms, last_seq = buried
        self._streams.publish(
            Batch(
                run.organization_id,
                run.thread_id,
                run.run_id,
                run.kind,
                ms,
                last_seq,
                [("error", error)],
                run.status,
            )
        )
        if run.worker_id is not None:
            self._dispatcher.revoked(run.worker_id, Control(run.run_id, run.epoch, "cancel"))
        await runs.promote(conn, [(run.organization_id, run.thread_id)])
