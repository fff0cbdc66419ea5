"""Nodes that do what no node should, on a real worker: their runs pay, threads and worker don't."""

import asyncio

import pytest

from duragraph_worker import Graph, entrypoint, node
from duragraph_worker.process.worker import Worker
from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(30)

IN_TIME = 10


class NoException(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


def endless():
    ring = []
    ring.append(ring)
    return ring


RAISED = {
    "no exception": lambda: NoException("x"),
    "mute": Mute,
    "half a surrogate": lambda: ValueError("\ud800"),
    "nul": lambda: ValueError("\0"),
    "newlines": lambda: ValueError("a\r\n\r\ndata: forged"),
    "exit": lambda: SystemExit(1),
    "cancelled": asyncio.CancelledError,
    "long": lambda: ValueError("x" * 100_000),
}
RETURNED = {
    "an object": object,
    "itself": endless,
    "half a surrogate": lambda: "\ud800",
    "a function": lambda: print,
}
HARMLESS = {
    "nul": lambda: "\0",
    "newlines": lambda: "a\r\n\r\nb",
    "long": lambda: "x" * 100_000,
}


@Graph(id="evil", version="1")
class Evil:
    @entrypoint
    @node
    async def act(self, state):
        if "raise" in state:
            error = RAISED[state["raise"]]()
            raise error
        return {"out": (RETURNED | HARMLESS)[state["return"]]()}


@Graph(id="asks", version="1")
class Asks:
    @entrypoint
    @node
    async def ask(self, state, ctx):
        return {"answer": ctx.interrupt("well?")}


@pytest.fixture
async def plane(plane):
    """With a worker that serves the graphs above."""
    worker = Worker(plane.url, graphs=[Evil, Asks], slots=4)
    running = asyncio.create_task(worker.arun())
    async with asyncio.timeout(IN_TIME):
        while (await plane.post("/assistants/count", {})).json < 2:
            pass
    yield plane
    assert not running.done(), "the worker died"
    worker.stop()
    await asyncio.wait_for(running, IN_TIME)


async def waited(plane, thread_id, assistant, **body):
    path = f"/threads/{thread_id}/runs/wait"
    options = {"assistant_id": assistant, "if_not_exists": "create"}
    answer = await asyncio.wait_for(plane.post(path, options | body), IN_TIME)
    assert answer.status == 200, answer.body
    return answer.json


async def test_whatever_a_node_raises_fails_its_run_alone(plane, database_url):
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    for what in RAISED:
        result = await waited(plane, thread_id, "evil", input={"raise": what})
        assert result.keys() == {"__error__"}, what
        assert (await plane.get(f"/threads/{thread_id}")).json["status"] == "error", what
        for read in ("state", "history"):
            assert (await plane.get(f"/threads/{thread_id}/{read}")).status == 200, what
    assert await audit(database_url) == 0


async def test_what_is_no_json_fails_its_run_alone(plane, database_url):
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    for what in RETURNED:
        result = await waited(plane, thread_id, "evil", input={"return": what})
        assert result.keys() == {"__error__"}, what
    for what in HARMLESS:
        result = await waited(plane, thread_id, "evil", input={"return": what})
        assert isinstance(result["out"], str), what
    found = await plane.post("/threads/search", {"values": {"return": "long"}})
    assert len(found.json) == 1
    assert await audit(database_url) == 0


@pytest.mark.parametrize("strategy", ["enqueue", "reject"])
async def test_of_racing_resumes_one_applies(plane, database_url, strategy):
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    await waited(plane, thread_id, "asks", input={"a": 1})
    resumes = [
        plane.post(
            f"/threads/{thread_id}/runs/wait",
            {"assistant_id": "asks", "command": {"resume": n}, "multitask_strategy": strategy},
        )
        for n in range(1, 7)
    ]
    answers = await asyncio.wait_for(asyncio.gather(*resumes), IN_TIME)
    assert {a.status for a in answers} <= ({200} if strategy == "enqueue" else {200, 409})
    results = [a.json for a in answers if a.status == 200]
    late = [each["__error__"]["error"] for each in results if "__error__" in each]
    assert set(late) <= {"UnknownInterruptError"}
    history = (await plane.post(f"/threads/{thread_id}/history", {"limit": 100})).json
    (answered,) = [state["values"] for state in history if "answer" in state["values"]]
    # Who comes after the end finds no question, and the values as they are.
    shown = [each for each in results if "__error__" not in each]
    assert shown == [answered] * len(shown)
    assert shown, "somebody is told what the run came to"
    assert await audit(database_url) == 0
