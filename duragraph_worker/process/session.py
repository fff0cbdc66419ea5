"""What a worker does under one registration: polls, attempts, losses, giving back.

Ends when told to stop, or with NotFound once the plane has forgotten the worker; either way
nothing of it runs on. Starts no run twice under one epoch.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic

from duragraph.errors import DuraGraphError
from duragraph.protocol import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    Control,
    Lease,
    Poll,
    Registered,
    Task,
)
from duragraph_worker.process.answers import Answers
from duragraph_worker.process.attempt import Attempt
from duragraph_worker.process.client import Plane
from duragraph_worker.process.leases import Heartbeat
from duragraph_worker.process.reach import LeasedReach
from duragraph_worker.process.report import Reporter
from duragraph_worker.served import Authority, Served

DRAIN_SECONDS = 8.0
"""A drain lasts no longer: the leases it could not give back run out soon after."""
GOODBYE_SECONDS = 1.0
"""The same where nothing is to be given back, and for polls to come home."""
REMEMBERED = 10_000
"""Runs whose last epoch is remembered, against tasks offered twice."""

log = logging.getLogger(__name__)


class Session:
    """One registration's life."""

    def __init__(
        self,
        plane: Plane,
        registered: Registered,
        *,
        graphs: Mapping[tuple[str, str], Served],
        slots: int,
        auth: Authority | None = None,
    ) -> None:
        """`graphs` by graph id and version, as registered."""
        self._plane = plane
        self._id = registered.worker_id
        self._hold_seconds = registered.poll_seconds
        self._graphs = graphs
        self._reach = LeasedReach(plane, self._id)
        self._answers = None if auth is None else Answers(plane, self._id, auth)
        self._free = slots
        self._freed = asyncio.Event()
        self._draining = False
        self._held = [False, False]
        """Which of the two polls the plane holds."""
        self._attempts: dict[Lease, Attempt] = {}
        self._epochs: dict[str, int] = {}
        self._fence = registered.lease_seconds * FENCE_SECONDS / LEASE_SECONDS
        self._reporter = Reporter(
            partial(plane.report, self._id), lost=self._stop, fence=self._fence
        )
        self._heartbeat = Heartbeat(
            plane.heartbeat_url(self._id),
            headers=plane.headers,
            every=registered.heartbeat_seconds,
            renewed=self._renew,
            lost=self._lose,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, then give everything back.

        Raises NotFound when the plane forgot this worker, and Unauthorized.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._serve(group, stop)
        except ExceptionGroup as failures:
            # Polls and reporter learn the same at once: one of them may say it.
            known, other = failures.split(DuraGraphError)
            if known is None or other is not None:
                raise
            raise known.exceptions[0] from None

    async def _serve(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        start = partial(self._start, group)
        sides = [group.create_task(side.run()) for side in (self._heartbeat, self._reporter)]
        polls = [group.create_task(self._poll(group, place, start)) for place in (0, 1)]
        await stop.wait()
        await self._give_back(polls)
        for task in [*sides, *polls, *self._jobs()]:
            task.cancel()
        if self._answers is not None:
            self._answers.stop()

    async def _give_back(self, polls: Sequence[asyncio.Task[None]]) -> None:
        self._draining = True
        self._freed.set()
        try:
            async with asyncio.timeout(DRAIN_SECONDS if self._attempts else GOODBYE_SECONDS):
                await self._plane.drain(self._id)
                # Answered by the drain, with tasks perhaps; another replica's are not waited for.
                await asyncio.wait(polls, timeout=GOODBYE_SECONDS)
                for attempt in self._attempts.values():
                    attempt.stop("released")
                for job in self._jobs():
                    await asyncio.wait([job])
        except TimeoutError:
            lost = len(self._attempts)
            log.warning("the plane is away: leases will run out", extra={"runs": lost})

    def _jobs(self) -> list[asyncio.Task[None]]:
        return [each.job for each in self._attempts.values() if each.job is not None]

    async def _poll(
        self, group: asyncio.TaskGroup, place: int, start: Callable[[Task, float], None]
    ) -> None:
        while await self._turn(place):
            self._held[place] = True
            try:
                request = Poll(max(0, self._free), list(self._attempts))
                sent = monotonic()
                polled = await self._plane.poll(self._id, request, held=self._hold_seconds)
            finally:
                self._held[place] = False
                self._freed.set()
            for control in polled.control:
                self._lose(control)
            if self._answers is not None:
                self._answers.begin(group, polled.questions)
            held = polled.held_seconds
            taken = monotonic() if held is None else sent + held
            fresh = [task for task in polled.tasks if task.epoch > self._epochs.get(task.run_id, 0)]
            if fresh and monotonic() - taken >= self._fence:
                # This process stood still meanwhile: the runs may be others' by now.
                log.warning("work came too late to be begun", extra={"runs": len(fresh)})
                continue
            self._heartbeat.hold([Lease(task.run_id, task.epoch) for task in fresh])
            for task in fresh:
                start(task, taken)

    async def _turn(self, place: int) -> bool:
        """Wait for a free slot, unless this poll must be held to hear of cancels; False at the end.

        Two held without a slot would hear too late of a slot that the plane has miscounted.
        """
        while self._free <= 0 and self._held[1 - place] and not self._draining:
            self._freed.clear()
            await self._freed.wait()
        return not self._draining

    def _start(self, group: asyncio.TaskGroup, task: Task, taken: float) -> None:
        if (epoch := self._epochs.pop(task.run_id, None)) is not None:
            self._lose(Control(task.run_id, epoch, "fenced"))
        self._epochs[task.run_id] = task.epoch
        if len(self._epochs) > REMEMBERED:
            del self._epochs[next(iter(self._epochs))]
        lease = Lease(task.run_id, task.epoch)
        graph = self._graphs.get((task.graph_id, task.version))
        attempt = Attempt(task, self._reporter.open(lease, taken=taken), self._reach, graph)
        self._attempts[lease] = attempt
        self._free -= attempt.slots
        if self._draining:
            attempt.stop("released")
        attempt.job = group.create_task(self._attempt(lease, attempt))

    async def _attempt(self, lease: Lease, attempt: Attempt) -> None:
        outcome = await attempt.outcome()
        self._free += attempt.slots
        self._freed.set()
        await attempt.recording.close(outcome)
        del self._attempts[lease]
        self._heartbeat.drop(lease)

    def _renew(self, lease: Lease, sent: float) -> None:
        if (attempt := self._attempts.get(lease)) is not None:
            attempt.recording.renew(sent)

    def _lose(self, control: Control) -> None:
        """The plane ended this run or gave it to another: say nothing more of it, and stop."""
        lease = Lease(control.run_id, control.epoch)
        if (attempt := self._attempts.get(lease)) is not None:
            attempt.recording.end()
            attempt.stop("lost")

    def _stop(self, lease: Lease) -> None:
        if (attempt := self._attempts.get(lease)) is not None:
            attempt.stop("lost")
