"""Workers that poll this plane: who has room, what is on its way to them, whose poll to answer."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TypeAlias

import attrs

from duragraph.pg.workers import Worker
from duragraph.protocol import POLL_SECONDS, Control, Polled, Task
from duragraph.questions import AuthQuestion

ROUND_TRIP_SECONDS = 0.5
"""Between a poll's answer and the next poll of a worker that is well."""
REOFFER_SECONDS = 1.0
"""A task whose worker has not named it active for so long was lost on the road."""
MOST_CLAIMED = 256
"""Runs a claim; there is always a next one."""

Needs: TypeAlias = tuple[str, str, str]
"""Organization, queue and graph: what a run needs of a worker."""


@attrs.define
class Offer:
    task: Task
    sent_at: float = 0.0


@attrs.define(eq=False)
class Seat:
    """A worker that polls this plane."""

    worker: Worker
    free: int = 0
    offers: dict[str, Offer] = attrs.field(factory=dict)
    """Leased to it, and not yet named active by it."""
    control: list[Control] = attrs.field(factory=list)
    questions: list[AuthQuestion] = attrs.field(factory=list)
    polls: "deque[asyncio.Future[None]]" = attrs.field(factory=deque)
    woken: bool = False
    seen_at: float = attrs.field(factory=time.monotonic)

    @property
    def ready(self) -> bool:
        """Free, and waiting here or about to be back: its answered poll is on the road."""
        return self.free > 0 and self.near

    @property
    def near(self) -> bool:
        return bool(self.polls) or time.monotonic() - self.seen_at < ROUND_TRIP_SECONDS

    def version(self, graph_id: str) -> str:
        return self.worker.versions[self.worker.graphs.index(graph_id)]

    def wake(self) -> None:
        """Answer one of its polls; a second one would find nothing left."""
        while self.polls and not self.woken:
            poll = self.polls.popleft()
            if not poll.done():
                poll.set_result(None)
                self.woken = True

    def take(self) -> Polled:
        """What is due to it now."""
        self.woken = False
        now = self.seen_at = time.monotonic()
        due = [o for o in self.offers.values() if now - o.sent_at > REOFFER_SECONDS]
        for offer in due:
            offer.sent_at = now
        control, self.control = self.control, []
        questions, self.questions = self.questions, []
        return Polled([offer.task for offer in due], control, questions)

    async def wait(self) -> None:
        """Until there is something to take, or the poll was held long enough."""
        poll: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.polls.append(poll)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await poll
        except asyncio.CancelledError:
            # Its peer is gone; another poll may take what this one was woken for.
            self.woken = False
            if self.offers or self.control or self.questions:
                self.wake()
            raise
        finally:
            with suppress(ValueError):
                self.polls.remove(poll)

    def dismiss(self) -> None:
        """Answer all of its polls."""
        for poll in self.polls:
            if not poll.done():
                poll.set_result(None)


class Seats:
    def __init__(self) -> None:
        self._by_worker: dict[str, Seat] = {}
        self._by_needs: defaultdict[Needs, deque[Seat]] = defaultdict(deque)

    def get(self, worker_id: str) -> Seat | None:
        return self._by_worker.get(worker_id)

    def dismiss(self) -> None:
        for seat in self._by_worker.values():
            seat.dismiss()

    def worker_ids(self) -> list[str]:
        return list(self._by_worker)

    def answering(self) -> list[Seat]:
        """Those that answer for auth handlers; who was heard of last comes first."""
        seats = [seat for seat in self._by_worker.values() if seat.worker.auth and seat.near]
        return sorted(seats, key=lambda seat: seat.seen_at, reverse=True)

    def add(self, worker: Worker) -> Seat:
        """Its seat; the one it has, if two polls come at once."""
        if seat := self._by_worker.get(worker.worker_id):
            return seat
        seat = self._by_worker[worker.worker_id] = Seat(worker)
        for needs in serves(worker):
            self._by_needs[needs].append(seat)
        return seat

    def forget(self, worker_id: str) -> None:
        """The worker drains, or polls elsewhere now."""
        if seat := self._by_worker.pop(worker_id, None):
            for needs in serves(seat.worker):
                self._by_needs[needs].remove(seat)
            seat.dismiss()

    def forget_silent(self) -> None:
        silent = time.monotonic() - 3 * POLL_SECONDS
        for seat in list(self._by_worker.values()):
            if seat.seen_at < silent:
                self.forget(seat.worker.worker_id)

    def ready(self, needs: Needs) -> Seat | None:
        """A worker with a free slot for this, each in turn."""
        seats = self._by_needs.get(needs, deque())
        for _ in range(len(seats)):
            seats.rotate(-1)
            if seats[-1].ready:
                return seats[-1]
        return None

    def alike(self) -> Iterator[list[Seat]]:
        """Workers with free slots, together where they serve the same graphs."""
        groups: defaultdict[tuple[object, ...], list[Seat]] = defaultdict(list)
        for seat in self._by_worker.values():
            if seat.ready:
                w = seat.worker
                groups[w.organization_id, w.queue, *w.graphs, *w.versions].append(seat)
        yield from groups.values()


def serves(worker: Worker) -> list[Needs]:
    return [(worker.organization_id, worker.queue, graph_id) for graph_id in worker.graphs]


def deal(seats: Sequence[Seat]) -> list[str]:
    """Worker ids in turn, one for each free slot, as many as one claim may take."""
    rounds = range(max(seat.free for seat in seats))
    ids = (seat.worker.worker_id for n in rounds for seat in seats if seat.free > n)
    return list(islice(ids, MOST_CLAIMED))
