"""Graphs in graphs over a thread's life: those with a memory of their own, and those that ask."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Shared(TypedDict, total=False):
    text: str
    told: Any


class Own(Shared, total=False):
    kept: Annotated[list[str], operator.add]


def keep(state: Own) -> dict[str, Any]:
    return {"kept": [state["text"]]}


def tell(state: Own) -> dict[str, Any]:
    if state["text"] == "ask":
        return {"told": {"asked": interrupt("well?"), "kept": state["kept"]}}
    return {"told": {"kept": state["kept"]}}


async def last(state: Shared) -> None:
    if state["text"] == "hang":
        await asyncio.Event().wait()


def built(checkpointer):
    child = StateGraph(Own).add_node("keep", keep).add_node("tell", tell)
    child = (
        child.add_edge(START, "keep").add_edge("keep", "tell").compile(checkpointer=checkpointer)
    )
    builder = StateGraph(Shared).add_node("child", child).add_node("last", last)
    return builder.add_edge(START, "child").add_edge("child", "last").compile()


@pytest.fixture
async def g(serve):
    """Its child remembers what it kept in earlier runs."""
    await serve(g=built(True))


@pytest.fixture
async def thread(client):
    return (await client.threads.create())["thread_id"]


async def say(client, thread, text, **fields):
    """What the child kept so far."""
    answer = await client.runs.wait(thread, "g", **{"input": {"text": text}, **fields})
    return answer["told"]["kept"]


async def test_a_child_remembers(client, g, thread):
    for n in range(1, 4):
        assert await say(client, thread, f"{n}") == [f"{k}" for k in range(1, n + 1)]


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_each_of_a_childs_checkpoints_says_what_ran_next(
    client, g, thread, shown, durability
):
    given = {"stream_subgraphs": shown, "durability": durability}
    async for _ in client.runs.stream(thread, "g", input={"text": "one"}, **given):
        pass
    history = await client.threads.get_history(thread, checkpoint={"checkpoint_ns": "child"})
    assert [state["next"] for state in history] == [[], ["tell"], ["keep"], ["__start__"]]
    assert [state["values"]["kept"] for state in history] == [["one"], ["one"], [], []]


async def test_a_run_starts_at_any_of_a_childs_checkpoints(client, g, thread):
    await client.runs.wait(thread, "g", input={"text": "ask"})
    asked, started, _ = await client.threads.get_history(
        thread, checkpoint={"checkpoint_ns": "child"}
    )
    for state, ran in ((asked, []), (started, [{"keep": {"kept": ["ask"]}}])):
        given = {"checkpoint": state["checkpoint"], "stream_mode": "updates"}
        shown = [
            part.data
            async for part in client.runs.stream(thread, "g", stream_subgraphs=True, **given)
            if part.event.startswith("updates|child")
        ]
        assert shown[:-1] == ran
        assert shown[-1]["__interrupt__"][0]["value"] == "well?"
    assert await say(client, thread, "", input=None, command={"resume": "yes"}) == ["ask"]


async def test_a_copys_child_remembers_by_itself(client, g, thread):
    await say(client, thread, "one")
    copy = (await client.threads.copy(thread))["thread_id"]
    assert await say(client, thread, "theirs") == ["one", "theirs"]
    assert await say(client, copy, "ours") == ["one", "ours"]


async def test_a_pruned_threads_child_remembers(client, g, thread):
    for text in ("one", "two"):
        await say(client, thread, text)
    await client.threads.prune([thread], strategy="keep_latest")
    assert await say(client, thread, "three") == ["one", "two", "three"]


async def test_a_deleted_runs_child_forgets_it(client, g, thread):
    await say(client, thread, "one")
    run = await client.runs.create(thread, "g", input={"text": "two"})
    await client.runs.join(thread, run["run_id"])
    await client.runs.delete(thread, run["run_id"])
    assert await say(client, thread, "three") == ["one", "three"]


async def test_a_rolled_back_runs_child_forgets_it(client, g, thread):
    await say(client, thread, "one")
    run = await client.runs.create(thread, "g", input={"text": "hang"})
    while (await client.threads.get_state(thread))["next"] != ["last"]:
        pass
    await client.runs.cancel(thread, run["run_id"], action="rollback", wait=True)
    assert await say(client, thread, "three") == ["one", "three"]


@pytest.mark.parametrize("how", ["as it is", "copied", "pruned"])
@pytest.mark.parametrize("checkpointer", [True, None])
async def test_a_child_that_asks_is_answered(client, serve, thread, checkpointer, how):
    await serve(g=built(checkpointer))
    before = [] if checkpointer is None else ["one"]
    assert await say(client, thread, "one") == ["one"]
    await client.runs.wait(thread, "g", input={"text": "ask"})
    if how == "pruned":
        await client.threads.prune([thread], strategy="keep_latest")
    if how == "copied":
        thread = (await client.threads.copy(thread))["thread_id"]
    state = await client.threads.get_state(thread, subgraphs=True)
    (task,) = state["tasks"]
    assert task["state"]["values"]["kept"] == [*before, "ask"]
    (asked,) = state["interrupts"]
    kept = await say(client, thread, "ask", input=None, command={"resume": {asked["id"]: "so"}})
    assert kept == [*before, "ask"]


async def test_a_thread_is_forked_and_its_child_goes_on(client, g, thread):
    for text in ("one", "two"):
        await say(client, thread, text)
    history = await client.threads.get_history(thread, limit=50)
    at = [each for each in history if not each["next"]][-1]["checkpoint"]["checkpoint_id"]
    kept = await say(client, thread, "instead", checkpoint_id=at)
    assert kept == ["one", "two", "instead"]  # It is the thread's memory, as on LangGraph's server.
    assert await say(client, thread, "more") == [*kept, "more"]


async def test_a_child_is_updated_while_it_asks(client, serve, thread):
    await serve(g=built(None))
    await client.runs.wait(thread, "g", input={"text": "ask"})
    state = await client.threads.get_state(thread, subgraphs=True)
    below = state["tasks"][0]["state"]["checkpoint"]
    await client.threads.update_state(thread, {"kept": ["by hand"]}, checkpoint=below)
    assert await say(client, thread, "", input=None, command={"resume": "so"}) == ["ask", "by hand"]
