"""Runs that wait, moved by hand: each begins with a checkpoint, under which it waits."""

import asyncio
from typing import Any

import attrs

from duragraph import ids
from duragraph.protocol import Checkpoint, Frame, Outcome, Report, Task, Verdict
from duragraph.waiting import Wait
from tests.helpers import Hand, Plane

IN_TIME = 20
LONG = 3600.0
"""Seconds of a sleep whose end no test sees."""


@attrs.frozen
class Begun:
    """A run that holds a lease, and has recorded the checkpoint `at`."""

    hand: Hand
    task: Task
    at: str

    @property
    def thread(self) -> str:
        return f"/threads/{self.task.thread_id}"

    @property
    def path(self) -> str:
        return f"{self.thread}/runs/{self.task.run_id}"

    def sleep(self, seconds: float = LONG, key: str = "sleep") -> Wait:
        return Wait(self.at, key, "sleep", seconds=seconds)

    def signal(
        self, name: str = "go", *, key: str = "signal", seconds: float | None = None
    ) -> Wait:
        return Wait(self.at, key, "signal", name=name, seconds=seconds)

    async def wait(self, *waits: Wait, batch: int = 2) -> Verdict:
        """Give the lease back until one of these is over."""
        outcome = Outcome("waiting", waits=list(waits))
        return await self.hand.report(self.task, batch=batch, outcome=outcome)

    async def done(self, *frames: Frame, batch: int = 2) -> Verdict:
        """Come to the end of the graph."""
        at = ids.checkpoint_id(self.at)
        state = Checkpoint(at, self.at, "", "loop", 0, "", [], [], {})
        return await self.hand.finish(
            self.task, batch=batch, checkpoints=[state], frames=list(frames)
        )

    async def woken(self, hand: Hand | None = None) -> "Begun":
        """The same run under its next lease."""
        hand = hand or self.hand
        return attrs.evolve(self, hand=hand, task=await _task_of(hand, self.task.run_id))

    @property
    def effects(self) -> dict[str, bytes]:
        return {effect.key: effect.result for effect in self.task.effects}


async def next_task(hand: Hand) -> Task:
    return await asyncio.wait_for(hand.task(), IN_TIME)


async def _task_of(hand: Hand, run_id: str) -> Task:
    """Without what was offered as it was cancelled, or is again, since it ended elsewhere."""
    while (task := await next_task(hand)).run_id != run_id:
        pass
    return task


async def begin(hand: Hand, thread_id: str | None = None, **fields: Any) -> Begun:
    """A run on a thread of its own, or on this one."""
    return await take(hand, await hand.plane.start_run(thread_id or ids.new_id(), **fields))


async def take(hand: Hand, run_id: str) -> Begun:
    """A run that is there."""
    return await _begun(hand, await _task_of(hand, run_id))


async def _begun(hand: Hand, task: Task) -> Begun:
    parent = task.snapshot and task.snapshot.checkpoint_id
    at = ids.checkpoint_id(parent)
    state = Checkpoint(at, parent, "", "input", -1, "", ["a"], [], {})
    assert (await hand.report(task, checkpoints=[state])).verdict == "accepted"
    return Begun(hand, task, at)


async def report_all(hand: Hand, reports: list[Report]) -> None:
    """In one message; each must be accepted."""
    path = f"/workers/{hand.worker_id}/report"
    verdicts = await hand.plane._message(path, reports, list[Verdict])
    assert {verdict.verdict for verdict in verdicts} <= {"accepted"}


async def signal(plane: Plane, thread: str, name: str = "go", value: Any = None) -> int:
    """The answer's status."""
    answer = await plane.post(f"{thread}/signals", {"name": name, "value": value})
    return answer.status
