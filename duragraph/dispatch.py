"""From claimable runs to waiting workers, and from runs that ended back to those who held them.

Runs are claimed in batches for all waiting workers. Waiting costs no queries: a hint wakes the
claiming, and a sweep finds what no hint told of.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import attrs
import structlog

from duragraph import metrics, pg
from duragraph.bus import Bus
from duragraph.config import Config
from duragraph.errors import DuraGraphError, NotFound
from duragraph.pg import Pool, checkpoints, leases, workers
from duragraph.pg.leases import Claimed
from duragraph.protocol import Control, Lease, Poll, Polled, Task
from duragraph.seats import REOFFER_SECONDS, Needs, Offer, Seat, Seats, deal, serves
from duragraph.streams import Streams

log = structlog.get_logger(__name__)


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

    # polling

    async def poll(self, worker_id: str, body: Poll) -> Polled:
        """Hold the poll until there is something for its worker. Raises NotFound."""
        came = time.monotonic()
        seat = await self._seat(worker_id)
        active = {lease.run_id for lease in body.active}
        for run_id in active & seat.offers.keys():
            del seat.offers[run_id]
        slots = 0 if seat.worker.draining else min(body.slots, seat.worker.slots)
        seat.free = max(0, slots - len(seat.offers))
        if seat.free and not self._behind.isdisjoint(serves(seat.worker)):
            self._look.set()
        polled = seat.take()
        if not (polled.tasks or polled.control or polled.questions or self._streams.closing):
            await seat.wait()
            polled = seat.take()
        return attrs.evolve(polled, held_seconds=time.monotonic() - came)

    async def knows(self, worker_id: str) -> bool:
        """Whether it has registered. Raises Unavailable."""
        if self._seats.get(worker_id) is not None:
            return True
        async with pg.acquire(self._pool) as conn:
            return await workers.get(conn, worker_id) is not None

    async def _seat(self, worker_id: str) -> Seat:
        if seat := self._seats.get(worker_id):
            return seat
        async with pg.acquire(self._pool) as conn:
            worker = await workers.get(conn, worker_id)
        if worker is None:
            raise NotFound("No such worker.", hint="Register again.")
        return self._seats.add(worker)

    def dismiss(self) -> None:
        """The plane drains: answer the polls that it holds, so that they come back elsewhere."""
        self._seats.dismiss()

    def forget(self, worker_id: str) -> None:
        """The worker drains: its polls here are answered, and it is dealt nothing more."""
        self._seats.forget(worker_id)

    def drained(self, worker_id: str) -> None:
        """As `forget`, on all planes."""
        self.forget(worker_id)
        self._bus.hint_drain(worker_id)

    def answering(self) -> list[Seat]:
        """The auth workers that poll this plane."""
        return self._seats.answering()

    # claiming

    def match(self, needs: Needs) -> Seat | None:
        """A waiting worker, its slot taken; none while older runs wait for one."""
        if needs in self._behind:
            return None
        if (seat := self._seats.ready(needs)) is not None:
            seat.free -= 1
        return seat

    def waits(self, needs: Needs) -> None:
        """A run that was not matched became claimable."""
        self._behind.add(needs)
        self.look()

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
        async with pg.acquire(self._pool) as conn:
            await leases.release(conn, self._untaken)
        self._untaken.clear()

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
            async with pg.acquire(self._pool) as conn:
                claimed = await leases.claim(
                    conn,
                    worker.organization_id,
                    worker.queue,
                    graphs=worker.graphs,
                    versions=worker.versions,
                    worker_ids=slots,
                )
                tasks = await self.tasks(conn, claimed)
        finally:
            used = [c.worker_id for c in claimed]
            for seat, count in taken.items():
                seat.free += count - used.count(seat.worker.worker_id)
        for claim, task in zip(claimed, tasks, strict=True):
            self.offer(claim.worker_id, task)
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
        async with pg.acquire(self._pool) as conn:
            lost = await leases.unheard(conn, worker_ids, seconds=REOFFER_SECONDS)
            tasks = await self.tasks(conn, lost)
        for claim, task in zip(lost, tasks, strict=True):
            self.offer(claim.worker_id, task)

    async def tasks(self, conn: pg.Connection, claimed: Sequence[Claimed]) -> list[Task]:
        starts = [(c.organization_id, c.thread_id, c.start_id) for c in claimed if c.start_id]
        found = await checkpoints.snapshots(conn, starts) if starts else {}
        again = [(c.organization_id, c.thread_id, c.run_id) for c in claimed if c.epoch > 1]
        memos = await checkpoints.memos(conn, again) if again else {}
        return [
            Task(
                kind=c.kind,
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
                effects=[
                    *(found[c.start_id][1] if c.start_id in found else ()),
                    *memos.get(c.run_id, ()),
                ],
                deadline_seconds=self._config.run_timeout_seconds,
                resuming=c.resuming,
                announced=c.announced,
            )
            for c in claimed
        ]

    def offer(self, worker_id: str, task: Task) -> None:
        """Hand a leased task to its worker's next poll."""
        seat = self._seats.get(worker_id)
        if seat is None:
            self._untaken.append(Lease(task.run_id, task.epoch))
            self._look.set()
            return
        seat.offers[task.run_id] = Offer(task)
        seat.wake()

    # slots and leases that end

    def finished(self, worker_id: str, run_id: str) -> None:
        """A slot is free again."""
        if seat := self._seats.get(worker_id):
            seat.offers.pop(run_id, None)
            seat.free = min(seat.free + 1, seat.worker.slots)
            if seat.ready and self._behind:
                self._look.set()

    def revoked(self, worker_id: str, control: Control) -> None:
        """After the COMMIT that took a lease: tell its worker, here or on the other planes."""
        self.control(worker_id, control)
        self._bus.hint_control(worker_id, control)

    def control(self, worker_id: str, control: Control) -> None:
        """A lease was taken from a worker, which may poll here."""
        if seat := self._seats.get(worker_id):
            seat.offers.pop(control.run_id, None)
            seat.control.append(control)
            if control.action == "fenced":
                # It may be gone, its poll on a dead socket: no work before it polls again.
                self.forget(worker_id)
            else:
                seat.wake()

    async def renew(self, worker_id: str, active: Sequence[Lease]) -> list[Control]:
        """Renew leases; returns those the worker has lost. Raises NotFound, Unavailable."""
        await self._seat(worker_id)
        async with pg.acquire(self._pool) as conn:
            return await leases.renew(conn, worker_id, active)
