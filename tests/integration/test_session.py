"""A worker against the wire contract: what a real plane does only by accident happens at will."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from duragraph.protocol import (
    MEDIA_TYPE,
    Control,
    Lease,
    Outcome,
    Poll,
    Polled,
    Register,
    Registered,
    Report,
    Task,
    Verdict,
    pack,
    unpack,
)
from duragraph_worker.plan import Node, Plan
from duragraph_worker.process.worker import Worker

pytestmark = pytest.mark.timeout(20)


class Peer:
    """Speaks the plane's side of the wire and decides nothing by itself."""

    def __init__(self, registered: Registered):
        self.answer = registered
        self.held_seconds: float | None = None
        self.changed = asyncio.Condition()
        self.registered: list[Register] = []
        self.tasks: list[Task] = []
        self.control: list[Control] = []
        self.held: dict[int, Poll] = {}
        self.polls: list[Poll] = []
        self.reports: list[Report] = []
        self.drained: list[str] = []
        self.late: list[Task] = []
        """Leased as the drain arrives."""
        self.forgotten: set[str] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v1/workers", self._register)
        for verb in ("poll", "report", "drain"):
            app.router.add_post(f"/api/v1/workers/{{id}}/{verb}", getattr(self, f"_{verb}"))
        app.router.add_post("/api/v1/workers/{id}/heartbeat", self._heartbeat)
        return app

    async def say(self, *messages: Task | Control) -> None:
        async with self.changed:
            for message in messages:
                (self.tasks if isinstance(message, Task) else self.control).append(message)
            self.changed.notify_all()

    async def until(self, holds) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(holds)

    async def outcome(self, run_id: str, epoch: int = 1) -> Outcome:
        await self.until(lambda: self.outcomes(run_id, epoch))
        (outcome,) = self.outcomes(run_id, epoch)
        return outcome

    def outcomes(self, run_id: str, epoch: int = 1) -> list[Outcome]:
        named = [each for each in self.reports if (each.run_id, each.epoch) == (run_id, epoch)]
        return [each.outcome for each in named if each.outcome is not None]

    async def _register(self, request: web.Request) -> web.Response:
        self.registered.append(unpack(await request.read(), Register))
        return answer(attrs.evolve(self.answer, worker_id=f"w{len(self.registered)}"))

    async def _poll(self, request: web.Request) -> web.Response:
        poll = unpack(await request.read(), Poll)
        self.polls.append(poll)
        self.held[id(poll)] = poll
        try:
            async with self.changed:
                self.changed.notify_all()
                await self.changed.wait_for(
                    lambda: (
                        self.control
                        or (poll.slots and self.tasks)
                        or self._gone(request)
                        or self.drained
                    )
                )
                if self._gone(request):
                    return forgot()
                tasks = self.tasks[: poll.slots]
                polled = Polled(tasks, self.control, held_seconds=self.held_seconds)
                self.tasks, self.control = self.tasks[poll.slots :], []
                return answer(polled)
        finally:
            del self.held[id(poll)]

    async def _report(self, request: web.Request) -> web.Response:
        reports = unpack(await request.read(), list[Report])
        async with self.changed:
            self.reports += reports
            self.changed.notify_all()
        verdicts = [Verdict(each.run_id, each.batch, "accepted") for each in reports]
        return forgot() if self._gone(request) else answer(verdicts)

    async def _drain(self, request: web.Request) -> web.Response:
        self.drained.append(request.match_info["id"])
        await self.say(*self.late)
        return web.json_response({})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        return forgot() if self._gone(request) else web.json_response({"lost": []})

    def _gone(self, request: web.Request) -> bool:
        return request.match_info["id"] in self.forgotten


def answer(message: Any) -> web.Response:
    return web.Response(body=pack(message), content_type=MEDIA_TYPE)


def forgot() -> web.Response:
    return web.json_response({"detail": "Not Found", "code": "not_found"}, status=404)


class Log:
    """What the graphs' nodes did."""

    def __init__(self):
        self.began: asyncio.Queue[str] = asyncio.Queue()
        self.cancelled: asyncio.Queue[str] = asyncio.Queue()
        self.go_on = asyncio.Event()

    async def quick(self, state: Any, injected: Any) -> dict:
        self.began.put_nowait("quick")
        return {}

    async def slow(self, state: Any, injected: Any) -> dict:
        self.began.put_nowait("slow")
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.put_nowait("slow")
            raise
        return {}


@contextlib.asynccontextmanager
async def serving(slots: int = 4, **registered: Any) -> AsyncIterator[tuple[Peer, Log, Worker]]:
    peer, log = Peer(Registered("", poll_seconds=5.0, **registered)), Log()
    plans = [plan("quick", log.quick), plan("slow", log.slow)]
    async with TestServer(peer.app()) as server:
        worker = Worker(str(server.make_url("/")), graphs=plans, slots=slots)
        running = asyncio.create_task(worker.arun())
        try:
            yield peer, log, worker
        finally:
            worker.stop()
            async with asyncio.timeout(10):
                await running


def plan(graph_id: str, call: Any) -> Plan:
    node = Node(graph_id, "node", call)
    return Plan(graph_id, "1", {graph_id: node}, (graph_id,), (), (), None)


def task(graph: str, run_id: str = "run", *, epoch: int = 1, **more: Any) -> Task:
    kwargs = b'{"input": {"a": 1}, "stream_mode": ["values"]}'
    return Task("run", run_id, epoch, 1, "thread", "assistant", graph, "1", kwargs, **more)


async def test_a_task_is_executed_and_its_outcome_reported():
    async with serving() as (peer, _, _):
        await peer.say(task("quick"))
        assert (await peer.outcome("run")).status == "success"
        assert [each.graph_id for each in peer.registered[0].graphs] == ["quick", "slow"]
        batches = [each.batch for each in peer.reports]
        assert batches == list(range(1, len(batches) + 1))


async def test_a_task_offered_again_is_started_once():
    async with serving() as (peer, log, _):
        await peer.say(task("quick"), task("slow", "other"))
        await peer.outcome("run")
        await peer.say(task("quick"), task("slow", "other"), task("quick", "last"))
        await peer.outcome("last")
        log.go_on.set()
        await peer.outcome("other")
        assert log.began.qsize() == 3


async def test_what_reaches_a_worker_after_its_lease_is_not_begun(caplog):
    async with serving(lease_seconds=0.1) as (peer, log, _):
        # An answer that the plane gave at once, and that the worker read when it woke.
        peer.held_seconds = 0.0
        await peer.until(lambda: len(peer.held) == 2)
        await asyncio.sleep(0.1)  # what is waited for is the end of the lease
        await peer.say(task("quick"))
        await peer.until(lambda: len(peer.polls) == 3)
        assert log.began.empty()
        assert "too late" in caplog.text
        peer.held_seconds = None
        await peer.say(task("quick"))
        assert (await peer.outcome("run")).status == "success"


async def test_a_higher_epoch_replaces_the_attempt_at_work():
    async with serving() as (peer, log, _):
        await peer.say(task("slow"))
        await log.began.get()
        await peer.say(task("quick", epoch=2))
        assert await log.cancelled.get() == "slow"
        assert (await peer.outcome("run", 2)).status == "success"
        assert not peer.outcomes("run", 1)


async def test_a_cancel_stops_the_node_and_is_heard_with_all_slots_taken():
    async with serving(slots=1) as (peer, log, _):
        await peer.say(task("slow"))
        await log.began.get()
        await peer.until(lambda: len(peer.held) == 1 and peer.reports)
        reported = len(peer.reports)
        await peer.say(Control("run", 1, "cancel"))
        assert await log.cancelled.get() == "slow"
        await peer.until(lambda: sorted(each.slots for each in peer.held.values()) == [0, 1])
        assert not peer.outcomes("run")
        assert len(peer.reports) == reported


async def test_two_polls_tell_the_free_slots_and_name_what_is_active():
    async with serving(slots=5) as (peer, log, _):
        await peer.until(lambda: [each.slots for each in peer.held.values()] == [5, 5])
        await peer.say(task("slow", "a"), task("slow", "b"))
        for _ in range(2):
            await log.began.get()
        await peer.until(lambda: sorted(each.slots for each in peer.held.values()) == [3, 5])
        assert set(peer.polls[-1].active) == {Lease("a", 1), Lease("b", 1)}


async def test_a_worker_that_the_plane_forgot_registers_anew_and_drops_its_runs():
    async with serving() as (peer, log, _):
        await peer.say(task("slow"))
        await log.began.get()
        peer.forgotten.add("w1")
        await peer.say()
        assert await log.cancelled.get() == "slow"
        await peer.until(lambda: len(peer.registered) == 2)
        await peer.say(task("quick", epoch=2))
        assert (await peer.outcome("run", 2)).status == "success"
        assert not peer.outcomes("run", 1)


async def test_stopping_gives_unfinished_runs_back():
    async with serving() as (peer, log, worker):
        await peer.say(task("slow"))
        await log.began.get()
        worker.stop()
        assert (await peer.outcome("run")).status == "released"
        assert log.cancelled.qsize() == 1
    assert peer.drained == ["w1"]
    assert len(peer.registered) == 1


async def test_a_task_that_comes_while_draining_goes_back_unstarted():
    async with serving() as (peer, log, worker):
        await peer.say(task("slow"))
        await log.began.get()
        peer.late = [task("quick", "late")]
        worker.stop()
        assert (await peer.outcome("late")).status == "released"
        assert log.began.empty()


async def test_a_graph_that_is_not_served_goes_back():
    async with serving() as (peer, _, _):
        await peer.say(task("unknown"))
        assert (await peer.outcome("run")).status == "released"


async def test_an_attempt_ends_at_its_deadline():
    async with serving() as (peer, log, _):
        await peer.say(task("slow", deadline_seconds=0.05))
        outcome = await peer.outcome("run")
        assert outcome.status == "timeout"
        assert b"TimeoutError" in outcome.error
        assert log.cancelled.qsize() == 1
