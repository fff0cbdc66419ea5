"""Runs that end from outside, at a deadline or by a cancel, and those that no worker may go on."""

import asyncio
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from duragraph import ids
from duragraph.protocol import Checkpoint, Frame, Task
from duragraph_worker.langgraph.hosted import hosted
from duragraph_worker.process.attempt import Attempt
from tests.langgraph.recorder import Kept

IN_TIME = 20


class Sum(TypedDict, total=False):
    log: list[str]


class Halted:
    """A graph whose second node says that it is at work, and ends only if it is told to."""

    def __init__(self, *, ends: bool = False) -> None:
        self.begun, self._ends = asyncio.Event(), ends
        builder = StateGraph(Sum).add_sequence([("first", self._first), ("second", self._second)])
        self.graph = builder.add_edge(START, "first").compile()

    async def _first(self, _state: Sum) -> dict[str, Any]:
        return {"log": ["first"]}

    async def _second(self, _state: Sum) -> None:
        self.begun.set()
        if not self._ends:
            await asyncio.Event().wait()


@pytest.fixture
async def thread(client):
    return (await client.threads.create())["thread_id"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_at_its_deadline_leaves_what_it_had(durability):
    kept, halted = Kept(), Halted()
    asked = f'{{"input": {{"log": []}}, "durability": "{durability}"}}'.encode()
    run = Task("run", ids.new_id(), 1, 1, ids.new_id(), "a", "g", "1", asked, deadline_seconds=3)
    attempt = Attempt(run, kept, None, hosted(halted.graph, graph_id="g"))
    outcome = await attempt.outcome()
    assert outcome.status == "timeout"
    assert halted.begun.is_set()
    last = [item for item in kept.items if isinstance(item, Checkpoint)][-1]
    assert last.next == ["second"]
    assert {write.channel: write.value for write in last.channels} == {"log": b'["first"]'}
    assert [item.event for item in kept.items if isinstance(item, Frame)][-1] == "error"


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_run_cancelled_under_exit_leaves_its_thread_as_it_was(
    client, serve, thread, action
):
    halted = Halted()
    await serve(g=wrote("before"), h=halted.graph)
    await client.runs.wait(thread, "g", input={"log": []})
    before = await client.threads.get_state(thread)
    run = await client.runs.create(thread, "h", input={"log": []}, durability="exit")
    await asyncio.wait_for(halted.begun.wait(), IN_TIME)
    await client.runs.cancel(thread, run["run_id"], wait=True, action=action)
    assert await client.threads.get_state(thread) == before
    assert (await client.threads.get(thread))["status"] == "idle"
    assert await client.runs.wait(thread, "g", input={"log": []}) == {"log": ["before"]}


async def test_a_run_waits_for_a_worker_of_its_version(client, serve, thread):
    halted = Halted()
    first = await serve(g=hosted(halted.graph, graph_id="g"))
    run = await client.runs.create(thread, "g", input={"log": []})
    await asyncio.wait_for(halted.begun.wait(), IN_TIME)
    first.stop()
    await serve(g=hosted(wrote("newer"), graph_id="g", version="2"))
    assert await client.runs.wait(None, "g", input={"log": []}) == {"log": ["newer"]}
    async with asyncio.timeout(IN_TIME):
        while (await client.runs.get(thread, run["run_id"]))["status"] != "pending":
            pass
    await serve(g=hosted(Halted(ends=True).graph, graph_id="g"))
    async with asyncio.timeout(IN_TIME):
        assert await client.runs.join(thread, run["run_id"]) == {"log": ["first"]}


def wrote(text: str) -> Any:
    """A graph of one node."""
    builder = StateGraph(Sum).add_node("only", lambda _state: {"log": [text]})
    return builder.add_edge(START, "only").compile()
