"""A LangGraph graph's run on a worker: frames, state, history, and how it goes on."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict


class Sum(TypedDict, total=False):
    n: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


def chain(*nodes, state=Sum, **options):
    """Nodes by name, one after the other."""
    builder = StateGraph(state)
    builder.add_sequence(list(nodes))
    return builder.add_edge(START, nodes[0][0]).compile(**options)


async def frames(client, thread_id, *, assistant="g", **fields):
    return [
        (part.event, part.data)
        async for part in client.runs.stream(thread_id, assistant, **fields)
        if part.event != "metadata"
    ]


@pytest.fixture
async def thread_id(client):
    return (await client.threads.create())["thread_id"]


def step(name, by=1):
    async def node(_state: Sum) -> dict[str, Any]:
        return {"n": by, "log": [name]}

    return name, node


async def test_values_follow_each_superstep_and_the_state_is_theirs(client, serve, thread_id):
    await serve(g=chain(step("a"), step("b", 2)))
    shown = await frames(client, thread_id, input={"n": 1}, stream_mode=["values", "updates"])
    assert shown == [
        ("values", {"n": 1, "log": []}),
        ("updates", {"a": {"n": 1, "log": ["a"]}}),
        ("values", {"n": 2, "log": ["a"]}),
        ("updates", {"b": {"n": 2, "log": ["b"]}}),
        ("values", {"n": 4, "log": ["a", "b"]}),
    ]
    state = await client.threads.get_state(thread_id)
    assert state["values"] == {"n": 4, "log": ["a", "b"]}
    assert state["next"] == []
    history = await client.threads.get_history(thread_id)
    assert [s["next"] for s in history] == [[], ["b"], ["a"], ["__start__"]]
    assert [s["metadata"]["step"] for s in history] == [2, 1, 0, -1]
