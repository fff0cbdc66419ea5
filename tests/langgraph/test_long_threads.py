"""Threads that outgrow what is between two whole copies of their lists on record."""

from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict


def gathered(values: list[Any], writes: list[list[Any]]) -> list[Any]:
    return [*values, *(each for write in writes for each in write)]


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[Any], DeltaChannel(gathered)]


@pytest.fixture
async def long(client, serve):
    """A thread whose lists have grown past whole copies of them on record."""

    def step(state):
        n = len(state.get("messages", ()))
        return {"messages": [AIMessage(f"{n}", id=f"{n}")], "log": [n]}

    builder = StateGraph(State).add_node("step", step).add_edge(START, "step")
    builder.add_conditional_edges(
        "step", lambda s: "__end__" if len(s["log"]) % 70 == 0 else "step"
    )
    await serve(g=builder.compile())
    thread = (await client.threads.create())["thread_id"]
    await grow(client, thread)
    return thread


async def grow(client, thread, **given):
    config = {"recursion_limit": 200}
    return await client.runs.wait(thread, "g", **{"input": {}, **given}, config=config)


def numbers(values):
    assert [int(message["content"]) for message in values["messages"]] == values["log"]
    return values["log"]


async def test_a_long_thread_is_copied_pruned_and_grows(client, long):
    copy = (await client.threads.copy(long))["thread_id"]
    await client.threads.prune([long], strategy="keep_latest")
    for thread in (long, copy):
        assert numbers(await grow(client, thread)) == list(range(140))
        assert numbers((await client.threads.get_state(thread))["values"]) == list(range(140))


async def test_a_long_thread_is_forked(client, long):
    history = await client.threads.get_history(long, limit=100)
    for kept in (3, 64, 65):
        (at,) = [
            each["checkpoint"]["checkpoint_id"]
            for each in history
            if len(each["values"].get("messages", ())) == kept
            and each["metadata"]["source"] == "loop"
        ]
        await client.threads.update_state(
            long,
            {"log": [kept], "messages": [{"role": "ai", "content": f"{kept}"}]},
            as_node="step",
            checkpoint_id=at,
        )
        assert numbers(await grow(client, long, input=None)) == list(range(70))
