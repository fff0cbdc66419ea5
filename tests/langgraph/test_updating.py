"""Updates of a LangGraph graph's state, as if its nodes had written them."""

import operator
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Sum(TypedDict, total=False):
    n: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


async def work(_state: Sum) -> dict[str, Any]:
    return {"log": ["worked"]}


def ask(_state: Sum) -> dict[str, Any]:
    return {"log": [f"told {interrupt('what?')}"]}


def chain(*nodes):
    return StateGraph(Sum).add_sequence(list(nodes)).add_edge(START, nodes[0][0]).compile()


@pytest.fixture
async def thread_id(client, serve):
    """A thread whose graph waits at `b`, the second of three nodes."""
    await serve(g=chain(("a", work), ("b", ask), ("c", work)))
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "g", input={"n": 1})
    return thread_id


async def state_of(client, thread_id):
    state = await client.threads.get_state(thread_id)
    return state["values"], state["next"]


async def test_reducers_apply_and_the_graph_goes_on_behind_the_node(client, thread_id):
    made = await client.threads.update_state(thread_id, {"n": 2, "log": ["by hand"]}, as_node="b")
    state = await client.threads.get_state(thread_id)
    assert state["checkpoint"]["checkpoint_id"] == made["checkpoint_id"]
    assert state["values"] == {"n": 3, "log": ["worked", "by hand"]}
    assert state["next"] == ["c"]
    assert state["metadata"]["source"] == "update"
    assert [(t["name"], t["path"]) for t in state["tasks"]] == [("c", ["__pregel_pull", "c"])]
    ended = await client.runs.wait(thread_id, "g", input=None)
    assert ended["log"] == ["worked", "by hand", "worked"]


async def test_without_a_node_the_last_one_wrote(client, thread_id):
    await client.threads.update_state(thread_id, {"log": ["again a"]})
    assert await state_of(client, thread_id) == ({"n": 1, "log": ["worked", "again a"]}, ["b"])
    assert (await client.threads.get(thread_id))["status"] == "interrupted"


async def test_an_older_checkpoint_gets_a_branch(client, thread_id):
    history = await client.threads.get_history(thread_id)
    at_a = next(s["checkpoint"] for s in history if s["next"] == ["a"])
    await client.threads.update_state(thread_id, {"n": 5}, checkpoint=at_a)
    assert await state_of(client, thread_id) == ({"n": 6, "log": []}, ["a"])


async def test_nothing_as_the_end_clears_what_was_to_run(client, thread_id):
    await client.threads.update_state(thread_id, None, as_node="__end__")
    values, left = await state_of(client, thread_id)
    assert left == []
    assert values == {"n": 1, "log": ["worked"]}
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_a_copy_repeats_the_state(client, thread_id):
    before = await client.threads.get_state(thread_id)
    await client.threads.update_state(thread_id, None, as_node="__copy__")
    after = await client.threads.get_state(thread_id)
    assert (after["values"], after["next"]) == (before["values"], before["next"])
    assert after["metadata"]["source"] == "fork"
    assert after["parent_checkpoint"] == before["parent_checkpoint"]


async def test_a_bad_update_is_refused(plane, thread_id):
    async def refusal(**body):
        answer = await plane.post(f"/threads/{thread_id}/state", body)
        return answer.status, answer.json["detail"]

    unknown = await refusal(values={"n": 1}, as_node="nobody")
    assert unknown == (400, "Node nobody does not exist")
    status, why = await refusal(values=[1], as_node="b")
    assert status == 400
    assert "Expected dict, got [1]" in why


async def test_supersteps_are_made_one_after_another(client, serve):
    await serve(g=chain(("a", work), ("b", work)))
    thread = await client.threads.create(
        graph_id="g",
        supersteps=[
            {"updates": [{"values": {"n": 1}, "as_node": "__input__"}]},
            {"updates": [{"values": {"n": 1}, "as_node": "__start__"}]},
            {"updates": [{"values": {"log": ["a by hand"]}, "as_node": "a"}]},
        ],
    )
    history = await client.threads.get_history(thread["thread_id"])
    assert [(s["next"], s["metadata"]["source"]) for s in history] == [
        (["b"], "update"),
        (["a"], "update"),
        (["__start__"], "input"),
    ]
    assert history[0]["values"] == {"n": 1, "log": ["a by hand"]}
    ended = await client.runs.wait(thread["thread_id"], "g", input=None)
    assert ended["log"] == ["a by hand", "worked"]


async def test_a_subgraph_at_work_is_updated(client, serve):
    below = chain(("x", work), ("y", ask), ("z", work))
    above = StateGraph(Sum).add_node("below", below).add_edge(START, "below")
    await serve(g=above.compile())
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "g", input={"n": 1})
    state = await client.threads.get_state(thread_id, subgraphs=True)
    inner = state["tasks"][0]["state"]
    assert inner["next"] == ["y"]
    await client.threads.update_state(
        thread_id, {"log": ["by hand"]}, as_node="y", checkpoint=inner["checkpoint"]
    )
    state = await client.threads.get_state(thread_id, subgraphs=True)
    inner = state["tasks"][0]["state"]
    assert inner["values"]["log"] == ["worked", "by hand"]
    assert inner["next"] == ["z"]
    ended = await client.runs.wait(thread_id, "g", input=None)
    assert ended["log"] == ["worked", "by hand", "worked"]
