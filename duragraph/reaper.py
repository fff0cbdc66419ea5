"""Takes back leases that ran out, ends runs that can't go on, starts those due, erases.

Every plane sweeps; rows are taken with SKIP LOCKED, so there is no leader.
"""

import structlog

from duragraph import codec, metrics, pg
from duragraph.cancels import Cancels
from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.errors import DuraGraphError, Unavailable
from duragraph.frames import Batch
from duragraph.pg import Connection, Pool, erasure, idempotency, reaping, runs, store
from duragraph.pg.reaping import Doomed
from duragraph.protocol import LEASE_SECONDS, Control
from duragraph.streams import Streams
from duragraph.sweeps import Patience, every

log = structlog.get_logger(__name__)


class Reaper:
    def __init__(
        self,
        config: Config,
        pool: Pool,
        dispatcher: Dispatcher,
        streams: Streams,
        cancels: Cancels,
    ) -> None:
        self._config = config
        self._pool = pool
        self._dispatcher = dispatcher
        self._streams = streams
        self._cancels = cancels
        self._patience = Patience(LEASE_SECONDS, gap_seconds=2 * config.sweep_seconds)

    async def run(self) -> None:
        """To be supervised."""
        await every(self._config.sweep_seconds, self._sweep, failing="can't sweep")

    async def _sweep(self) -> None:
        async with pg.acquire(self._pool) as conn:
            promoted = await runs.promote_strays(conn)
            expired = await self.reap(conn) if self._patience.is_over() else 0
            if promoted or expired:
                self._dispatcher.look()
            await reaping.erase_runs(conn)
            await idempotency.forget(conn, after_seconds=self._config.idempotency_seconds)
            await erasure.sweep(conn)
            await store.forget(conn)

    async def reap(self, conn: Connection) -> int:
        """Take back and end what is overdue now; returns how many leases ran out."""
        most, seconds = self._config.max_attempts, self._config.run_timeout_seconds
        expired = await reaping.expire(conn, max_attempts=most, timeout_seconds=seconds)
        if expired:
            log.info("leases ran out", runs=len(expired))
            metrics.EXPIRED.inc(len(expired))
        for worker_id, control in expired:
            self._dispatcher.revoked(worker_id, control)
        for run in await reaping.doomed(conn, max_attempts=most, timeout_seconds=seconds):
            try:
                with pg.translated():
                    await self._bury(conn, run)
            except Unavailable:
                raise
            except DuraGraphError as error:  # one run's matter: the others go on
                log.warning("can't give up a run", run_id=run.run_id, cause=str(error.__cause__))
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
        self._cancels.untied()
        ids = run.organization_id, run.thread_id, run.run_id
        self._streams.publish(Batch(*ids, run.kind, *buried, [("error", error)], run.status))
        if run.worker_id is not None:
            self._dispatcher.revoked(run.worker_id, Control(run.run_id, run.epoch, "cancel"))
        await runs.promote(conn, [(run.organization_id, run.thread_id)])
