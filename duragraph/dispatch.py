"""From created runs to waiting workers: sync match, batch claims, offers.

A run created while a worker for it waits here is leased to it by the very statement that
creates it. All others are claimed in batches for all waiting workers. Waiting costs no
queries: a hint wakes the claiming, and a sweep finds what no hint told of.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import attrs
import structlog

from duragraph import metrics, pg
from duragraph.bus import Bus
from duragraph.commit import GroupCommit
from duragraph.config import Config
from duragraph.errors import Busy, Conflict, DuraGraphError, NotFound
from duragraph.frames import Batch
from duragraph.models import CancelAction
from duragraph.pg import Pool, checkpoints, endings, runs, workers
from duragraph.pg.endings import Ended
from duragraph.pg.runs import Claimed, Created, NewRun
from duragraph.protocol import Control, Lease, Poll, Polled, Task
from duragraph.seats import REOFFER_SECONDS, Needs, Offer, Seat, Seats, deal, serves
from duragraph.streams import Streams

log = structlog.get_logger(__name__)


class Stale(Conflict):
    """The assistant changed while a run of it was being created."""


class Dispatcher:
    def __init__(self, config: Config, pool: Pool, bus: Bus, streams: Streams) -> None:
        self._config = config
        self._pool = pool
        self._bus = bus
        self._streams = streams
        self._seats = Seats()
        self._behind: set[Needs] = set()
        self._look = asyncio.Event()
        self._searched_at = 0.0
        self._untaken: list[Lease] = []
        self._creates: GroupCommit[NewRun, Created | None] = GroupCommit(
            self._flush, key=lambda new: (new.organization_id, new.thread_id)
        )

    # creating

    async def create(self, new: NewRun) -> Created:
        """Create a run; answered after COMMIT.

        Raises NotFound (thread or assistant), Conflict (busy under `reject`), Stale, Unavailable.
        """
        created = await self._creates.submit(new)
        if created is not None:
            return created
        with pg.translated():
            async with self._pool.acquire() as conn:
                revision, thread_exists, open_runs = await runs.why_not(conn, new)
        if revision is None or not (thread_exists or new.make_thread):
            raise NotFound("Thread or assistant not found.")
        if revision != new.revision:
            raise Stale
        if open_runs and new.kind == "update_state":
            raise Conflict(f"Thread {new.thread_id} has in-flight runs.")
        if open_runs and new.multitask_strategy == "reject":
            raise Conflict(
                "Thread is already running a task. Wait for it to finish or choose a different "
                "multitask strategy."
            )
        raise Busy(hint="The thread changed meanwhile; try again.")

    async def create_instead(self, new: NewRun) -> Created:
        """Create a run in place of the thread's open ones (`interrupt`, `rollback`)."""
        action: CancelAction = "rollback" if new.multitask_strategy == "rollback" else "interrupt"
        with pg.translated():
            async with self._pool.acquire() as conn, conn.transaction():
                ended = await endings.cancel(
                    conn, new.organization_id, new.thread_id, action=action
                )
                created = (await runs.create(conn, [new])).get(new.run_id)
        if created is None:
            return await self.create(new)
        self.ended(ended)
        self.look()
        return created

    async def _flush(self, batch: Sequence[NewRun]) -> list[Created | None]:
        matches = [self._match(new) for new in batch]
        leased = [
            new if seat is None else _leased(new, seat)
            for new, seat in zip(batch, matches, strict=True)
        ]
        created: dict[str, Created] = {}
        try:
            with pg.translated():
                async with self._pool.acquire() as conn:
                    created = await runs.create(conn, leased)
                    claimed = [
                        _claimed(new, created[new.run_id])
                        for new, seat in zip(leased, matches, strict=True)
                        if seat is not None and _was_leased(created.get(new.run_id))
                    ]
                    tasks = await self._tasks(conn, claimed)
        finally:
            for new, seat in zip(leased, matches, strict=True):
                if seat is not None and not _was_leased(created.get(new.run_id)):
                    seat.free += 1
        for task, claim in zip(tasks, claimed, strict=True):
            self._offer(claim.worker_id, task)
        metrics.CREATED.inc(len(created))
        metrics.MATCHED.inc(len(claimed))
        metrics.BATCH.labels("create").observe(len(created))
        for new in leased:
            made = created.get(new.run_id)
            if made is not None and made.claimable:
                self._behind.add(_needs(new))
                self.look()
        return [created.get(new.run_id) for new in batch]

    def _match(self, new: NewRun) -> Seat | None:
        """A waiting worker for `new`, its slot taken; none while older runs wait for one."""
        needs = _needs(new)
        if new.after_seconds > 0 or needs in self._behind:
            return None
        if (seat := self._seats.ready(needs)) is not None:
            seat.free -= 1
        return seat

    # polling

    async def poll(self, worker_id: str, body: Poll) -> Polled:
        """Hold the poll until there is something for its worker. Raises NotFound."""
        seat = await self._seat(worker_id)
        active = {lease.run_id for lease in body.active}
        for run_id in active & seat.offers.keys():
            del seat.offers[run_id]
        seat.free = 0 if seat.worker.draining else max(0, body.slots - len(seat.offers))
        if seat.free and not self._behind.isdisjoint(serves(seat.worker)):
            self._look.set()
        polled = seat.take()
        if polled.tasks or polled.control or self._streams.closing:
            return polled
        await seat.wait()
        return seat.take()

    async def _seat(self, worker_id: str) -> Seat:
        if seat := self._seats.get(worker_id):
            return seat
        with pg.translated():
            async with self._pool.acquire() as conn:
                worker = await workers.get(conn, worker_id)
        if worker is None:
            raise NotFound("No such worker.", hint="Register again.")
        return self._seats.add(worker)

    def dismiss(self) -> None:
        """The plane drains: answer the polls that it holds, so that they come back elsewhere."""
        self._seats.dismiss()

    def forget(self, worker_id: str) -> None:
        """The worker drains."""
        self._seats.forget(worker_id)

    # claiming

    def look(self) -> None:
        """Something became claimable: look now, here and on the other planes."""
        self._look.set()
        self._bus.hint_work()

    def looked_at(self) -> None:
        """Another plane says that something became claimable."""
        self._look.set()

    async def run(self) -> None:
        """Claim for whoever waits; to be supervised."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.hint_sweep_seconds):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._give_back()
                await self._claim()
                if time.monotonic() - self._searched_at > REOFFER_SECONDS:
                    await self._search()
            except DuraGraphError as error:
                log.warning("can't claim", error=str(error), cause=str(error.__cause__))
                await asyncio.sleep(self._config.hint_sweep_seconds)

    async def _give_back(self) -> None:
        """Leases whose worker left before it was told of them."""
        if not self._untaken:
            return
        with pg.translated():
            async with self._pool.acquire() as conn:
                await runs.release(conn, self._untaken)
        self._untaken.clear()

    async def commit_creates(self) -> None:
        """To be supervised."""
        await self._creates.run()

    async def _claim(self) -> None:
        for seats in list(self._seats.alike()):
            await self._claim_for(seats)
        self._seats.forget_silent()

    async def _claim_for(self, seats: list[Seat]) -> None:
        """Lease to these workers, which serve the same graphs, what waits for them."""
        slots = deal(seats)
        taken = {seat: slots.count(seat.worker.worker_id) for seat in seats}
        for seat, count in taken.items():
            seat.free -= count
        worker = seats[0].worker
        claimed: list[Claimed] = []
        try:
            with pg.translated():
                async with self._pool.acquire() as conn:
                    claimed = await runs.claim(
                        conn,
                        worker.organization_id,
                        worker.queue,
                        graphs=worker.graphs,
                        versions=worker.versions,
                        worker_ids=slots,
                    )
                    tasks = await self._tasks(conn, claimed)
        finally:
            used = [c.worker_id for c in claimed]
            for seat, count in taken.items():
                seat.free += count - used.count(seat.worker.worker_id)
        for claim, task in zip(claimed, tasks, strict=True):
            self._offer(claim.worker_id, task)
        metrics.CLAIMED.inc(len(claimed))
        behind = len(claimed) == len(slots)
        for needs in serves(worker):
            (self._behind.add if behind else self._behind.discard)(needs)
        if behind:
            self._look.set()

    async def _search(self) -> None:
        """Offer again what the workers here were leased and never took up.

        The answer to a poll was lost, or the plane that gave it died.
        """
        self._searched_at = time.monotonic()
        if not (worker_ids := self._seats.worker_ids()):
            return
        with pg.translated():
            async with self._pool.acquire() as conn:
                lost = await runs.unheard(conn, worker_ids, seconds=REOFFER_SECONDS)
                tasks = await self._tasks(conn, lost)
        for claim, task in zip(lost, tasks, strict=True):
            self._offer(claim.worker_id, task)

    async def _tasks(self, conn: pg.Connection, claimed: Sequence[Claimed]) -> list[Task]:
        places = [(c.organization_id, c.thread_id, c.start_id) for c in claimed if c.start_id]
        found = await checkpoints.snapshots(conn, places) if places else {}
        return [
            Task(
                kind="update_state" if c.kind == "update_state" else "run",
                run_id=c.run_id,
                epoch=c.epoch,
                attempt=c.attempt,
                thread_id=c.thread_id,
                assistant_id=c.assistant_id,
                graph_id=c.graph_id,
                version=c.graph_version,
                kwargs=bytes(c.kwargs),
                metadata=bytes(c.metadata),
                snapshot=found[c.start_id][0] if c.start_id in found else None,
                effects=found[c.start_id][1] if c.start_id in found else [],
                deadline_seconds=self._config.run_timeout_seconds,
                resuming=c.resuming,
            )
            for c in claimed
        ]

    def _offer(self, worker_id: str, task: Task) -> None:
        """Hand a leased task to its worker's next poll."""
        seat = self._seats.get(worker_id)
        if seat is None:
            self._untaken.append(Lease(task.run_id, task.epoch))
            self._look.set()
            return
        seat.offers[task.run_id] = Offer(task)
        seat.wake()

    # ending

    def finished(self, worker_id: str, run_id: str) -> None:
        """A slot is free again."""
        if seat := self._seats.get(worker_id):
            seat.offers.pop(run_id, None)
            seat.free = min(seat.free + 1, seat.worker.slots)
            if seat.ready and self._behind:
                self._look.set()

    async def cancel(
        self,
        organization_id: str,
        thread_id: str,
        *,
        run_ids: Sequence[str],
        action: CancelAction,
    ) -> list[Ended]:
        """End those of these runs that are open; returns them. Raises Unavailable."""
        with pg.translated():
            async with self._pool.acquire() as conn, conn.transaction():
                ended = await endings.cancel(
                    conn, organization_id, thread_id, run_ids=run_ids, action=action
                )
                await runs.promote(conn, [(organization_id, thread_id)])
        self.ended(ended)
        return ended

    def ended(self, ended: Sequence[Ended]) -> None:
        """After the COMMIT that ended them: tell their followers and the workers that held them."""
        if ended:
            self.look()
        for run in ended:
            self._streams.publish(Batch(run.run_id, run.ms, run.last_seq, (), ended=True))
            if run.worker_id is not None:
                control = Control(run.run_id, run.epoch, "cancel")
                self.control(run.worker_id, control)
                self._bus.hint_control(run.worker_id, control)

    def expired(self, worker_id: str, control: Control) -> None:
        """After the COMMIT that took the lease of a silent worker."""
        self.control(worker_id, control)
        self._bus.hint_control(worker_id, control)

    def control(self, worker_id: str, control: Control) -> None:
        """A lease was taken from a worker that may poll here."""
        if seat := self._seats.get(worker_id):
            seat.offers.pop(control.run_id, None)
            seat.control.append(control)
            if control.action == "fenced":
                # It may be stopped, its polls held by a dead socket: no work before it polls anew.
                self.forget(worker_id)
            else:
                seat.wake()

    async def renew(self, worker_id: str, active: Sequence[Lease]) -> list[Control]:
        """Renew leases; returns those the worker has lost. Raises NotFound, Unavailable."""
        await self._seat(worker_id)
        with pg.translated():
            async with self._pool.acquire() as conn:
                return await runs.renew(conn, worker_id, active)


def _needs(new: NewRun) -> Needs:
    return new.organization_id, new.queue, new.graph_id


def _leased(new: NewRun, seat: Seat) -> NewRun:
    version = seat.version(new.graph_id)
    return attrs.evolve(new, worker_id=seat.worker.worker_id, graph_version=version)


def _was_leased(created: Created | None) -> bool:
    return created is not None and created.leased


def _claimed(new: NewRun, created: Created) -> Claimed:
    assert new.worker_id is not None
    assert new.graph_version is not None
    return Claimed(
        run_id=new.run_id,
        organization_id=new.organization_id,
        thread_id=new.thread_id,
        assistant_id=new.assistant_id,
        graph_id=new.graph_id,
        graph_version=new.graph_version,
        kind=new.kind,
        kwargs=new.kwargs,
        metadata=bytes(created.run.metadata),
        worker_id=new.worker_id,
        epoch=1,
        attempt=1,
        start_id=new.checkpoint_id or created.head_id,
        resuming=False,
    )
