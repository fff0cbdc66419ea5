"""LangGraph's own checkpoint conformance suite over a real plane, and what a saver refuses."""

import asyncio
import contextlib
from functools import partial

import attrs
import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate

from duragraph import ids
from duragraph.protocol import Lease, Outcome
from duragraph_worker.langgraph.saver import Saver
from duragraph_worker.process.client import Plane
from duragraph_worker.process.reach import LeasedReach
from duragraph_worker.process.report import Recording, Reporter
from tests.helpers import Hand

pytestmark = pytest.mark.timeout(120)

HOST = "00000000-0000-7000-8000-000000000001"
"""A thread whose run looks after others."""


@attrs.define
class Attempt:
    recording: Recording
    saver: Saver


@attrs.define
class Attempts:
    """Runs that `hand`'s worker holds, by thread: what each records goes the way of any run's."""

    hand: Hand
    reporter: Reporter
    reach: LeasedReach
    open: dict[str, Attempt] = attrs.field(factory=dict)

    async def on(self, thread_id: str) -> Attempt:
        """The run on a thread; begun if there is none."""
        if thread_id not in self.open:
            await self.hand.plane.start_run(thread_id)
            held = [attempt.recording.lease for attempt in self.open.values()]
            # What is offered again meanwhile is passed over, as a worker does it.
            while (task := await self.hand.task(*held)).thread_id != thread_id:
                pass
            recording = self.reporter.open(Lease(task.run_id, task.epoch))
            saver = Saver(task, recording, self.reach)
            self.open[thread_id] = Attempt(recording, saver)
        return self.open[thread_id]

    async def end(self, *thread_ids: str) -> None:
        for thread_id in thread_ids:
            if (attempt := self.open.pop(thread_id, None)) is not None:
                attempt.saver.release()
                await attempt.recording.close(Outcome("success"))


@pytest.fixture
async def attempts(plane):
    hand = await plane.worker("g", slots=100)
    async with Plane(plane.url) as client, asyncio.TaskGroup() as group:
        reporter = Reporter(partial(client.report, hand.worker_id), lost=lambda _: None)
        reporting = group.create_task(reporter.run())
        yield Attempts(hand, reporter, LeasedReach(client, hand.worker_id))
        reporting.cancel()


class EveryThread(BaseCheckpointSaver):
    """The suite's checkpointer: of any thread, by a saver of a run on it."""

    def __init__(self, attempts: Attempts, *, afresh: bool) -> None:
        """`afresh`: each call is another run's, so that whatever is read is on record."""
        super().__init__()
        self._attempts, self._afresh = attempts, afresh
        self._threads: set[str] = set()

    @contextlib.asynccontextmanager
    async def _of(self, config):
        thread_id = config["configurable"]["thread_id"]
        self._threads.add(thread_id)
        yield (await self._attempts.on(thread_id)).saver
        if self._afresh:
            await self._attempts.end(thread_id)

    async def aput(self, config, *args):
        async with self._of(config) as saver:
            return await saver.aput(config, *args)

    async def aput_writes(self, config, writes, task_id, task_path=""):
        async with self._of(config) as saver:
            await saver.aput_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config):
        async with self._of(config) as saver:
            return await saver.aget_tuple(config)

    async def alist(self, config, **asked):
        async with self._of(config) as saver:
            async for each in saver.alist(config, **asked):
                yield each

    async def adelete_thread(self, thread_id):
        async with self._beside(thread_id) as saver:
            await saver.adelete_thread(thread_id)

    async def acopy_thread(self, source_thread_id, target_thread_id):
        async with self._beside(source_thread_id) as saver:
            await saver.acopy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids, *, strategy="keep_latest"):
        async with self._beside(*thread_ids) as saver:
            await saver.aprune(thread_ids, strategy=strategy)

    async def adelete_for_runs(self, run_ids):
        for thread_id in self._threads:
            async with self._of({"configurable": {"thread_id": thread_id}}) as saver:
                await saver.adelete_for_runs(run_ids)

    @contextlib.asynccontextmanager
    async def _beside(self, *thread_ids):
        """The saver of a run on another thread, while none is at work on these."""
        await self._attempts.end(*thread_ids)
        yield (await self._attempts.on(HOST)).saver


@pytest.mark.parametrize("afresh", [False, True], ids=["within a run", "each call a run's"])
async def test_the_suite_passes(attempts, afresh):
    @checkpointer_test(name="Saver")
    async def saver():
        yield EveryThread(attempts, afresh=afresh)

    report = await validate(saver)
    assert {
        name: result.failures
        for name, result in report.results.items()
        if result.passed is not True
    } == {}


async def test_blocking_methods_wait_in_other_threads_and_never_on_the_loop(attempts):
    thread_id = ids.new_id()
    saver = (await attempts.on(thread_id)).saver
    config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    stored = saver.put(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
    saver.put_writes(stored, [("c", 1)], ids.new_id())
    assert saver.get_tuple(config).config == stored
    (listed,) = await asyncio.to_thread(lambda: list(saver.list(config)))
    assert (listed.config, [w[1:] for w in listed.pending_writes]) == (stored, [("c", 1)])
    with pytest.raises(RuntimeError, match="use the async methods"):
        saver.list(config)


async def test_a_run_neither_deletes_its_own_thread_nor_reads_anothers(attempts):
    thread_id = ids.new_id()
    saver = (await attempts.on(thread_id)).saver
    with pytest.raises(ValueError, match="its own thread"):
        await saver.adelete_thread(thread_id)
    with pytest.raises(ValueError, match="of its own thread"):
        await saver.aget_tuple({"configurable": {"thread_id": ids.new_id()}})
