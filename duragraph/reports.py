"""What workers report: group-committed, judged one by one, published after COMMIT."""

import asyncio
from collections.abc import Sequence

import structlog

from duragraph import codec, metrics, pg
from duragraph.cancels import Cancels
from duragraph.commit import GroupCommit
from duragraph.dispatch import Dispatcher
from duragraph.errors import Busy, DuraGraphError, Invalid, Unavailable
from duragraph.frames import Batch
from duragraph.inspection import inspect
from duragraph.pg import Connection, Pool, reports, runs, waits
from duragraph.pg.reports import Recorded, Reported
from duragraph.protocol import Frame, Outcome, Report, Verdict
from duragraph.streams import Streams
from duragraph.waker import Waker

log = structlog.get_logger(__name__)

GOES_ON = frozenset({"released", "waiting"})
"""The outcomes of attempts with which the run has not ended."""
PASSING = Unavailable, Busy
"""What says nothing of the report itself: it may be sent again."""


class Reports:
    def __init__(
        self,
        pool: Pool,
        streams: Streams,
        dispatcher: Dispatcher,
        waker: Waker,
        cancels: Cancels,
    ) -> None:
        self._pool = pool
        self._streams = streams
        self._dispatcher = dispatcher
        self._waker = waker
        self._cancels = cancels
        self._commit: GroupCommit[Reported, Verdict] = GroupCommit(
            self._flush, key=lambda reported: reported.report.run_id
        )

    async def submit(self, worker_id: str, sent: Sequence[Report]) -> list[Verdict]:
        """A verdict for each. Raises Unavailable: then all may be sent again."""
        pending = [(r, self._commit.submit(Reported(worker_id, r))) for r in sent]
        try:
            return [await self._verdict(worker_id, report, future) for report, future in pending]
        except PASSING:
            # Heard once for all: the others failed with it, or are sent again with it.
            await asyncio.gather(*(future for _, future in pending), return_exceptions=True)
            raise

    async def run(self) -> None:
        """To be supervised."""
        await self._commit.run()

    async def _verdict(
        self, worker_id: str, report: Report, future: "asyncio.Future[Verdict]"
    ) -> Verdict:
        try:
            return await future
        except PASSING:
            raise
        except DuraGraphError as error:
            log.warning(
                "report refused", run_id=report.run_id, worker_id=worker_id, error=str(error)
            )
            return await self._fail(worker_id, report, error)

    async def _fail(self, worker_id: str, report: Report, cause: DuraGraphError) -> Verdict:
        """What can't be stored fails its run: sending it again would not help."""
        error = codec.dumps({"error": "InvalidReport", "message": cause.message})
        outcome = Outcome("error", error=error, trace=cause.hint)
        failed = Report(
            report.run_id, report.epoch, report.batch, [Frame("error", error)], outcome=outcome
        )
        try:
            verdict = await self._commit.submit(Reported(worker_id, failed))
        except Invalid:
            return Verdict(report.run_id, report.batch, "invalid")
        kind = "invalid" if verdict.verdict == "accepted" else verdict.verdict
        return Verdict(report.run_id, report.batch, kind, verdict.expected)

    async def _flush(self, batch: Sequence[Reported]) -> list[Verdict]:
        for sent in batch:
            inspect(sent.report)
        async with pg.acquire(self._pool) as conn:
            recorded, woken = await _record(conn, batch)
            refused = [b for b in batch if b.report.run_id not in recorded]
            verdicts = await reports.judge(conn, refused) if refused else {}
            behind = [(r.organization_id, r.thread_id) for r in recorded.values() if r.open_runs]
            promoted = await runs.promote(conn, behind) if behind else 0
        for sent in batch:
            if (known := recorded.get(sent.report.run_id)) is not None:
                self._publish(sent, known)
        if promoted or woken:
            self._dispatcher.look()
        if any(r.tied and r.open_runs is not None for r in recorded.values()):
            self._cancels.untied()
        metrics.BATCH.labels("report").observe(len(batch))
        return [
            Verdict(
                b.report.run_id, b.report.batch, *verdicts.get(b.report.run_id, ("accepted", 0))
            )
            for b in batch
        ]

    def _publish(self, sent: Reported, recorded: Recorded) -> None:
        report = sent.report
        outcome = report.outcome
        status = None if outcome is None or outcome.status in GOES_ON else outcome.status
        frames = [(f.event, f.data) for f in report.frames]
        if frames or status:
            self._streams.publish(
                Batch(
                    recorded.organization_id,
                    recorded.thread_id,
                    report.run_id,
                    recorded.kind,
                    recorded.ms,
                    recorded.last_seq,
                    frames,
                    status,
                )
            )
        if outcome is not None:
            metrics.FINISHED.labels(outcome.status).inc()
            self._dispatcher.finished(sent.worker_id, report.run_id)
            if outcome.status == "released":
                self._dispatcher.look()
            elif outcome.status == "waiting":
                self._waker.look()


async def _record(conn: Connection, batch: Sequence[Reported]) -> tuple[dict[str, Recorded], int]:
    """As `reports.record`, with what runs wait for; and how many need not wait any more."""
    told = [
        (b.report.run_id, wait)
        for b in batch
        if b.report.outcome is not None
        for wait in b.report.outcome.waits
    ]
    if not told:
        return await reports.record(conn, batch), 0
    async with conn.transaction():
        recorded = await reports.record(conn, batch)
        told = [(run_id, wait) for run_id, wait in told if run_id in recorded]
        return recorded, await waits.tell(conn, told) if told else 0
