"""Functions that make graphs, on a plane: what they raise, and what they leave open at no end."""

import asyncio
from contextlib import asynccontextmanager

from langgraph.graph import START, MessagesState, StateGraph
from langgraph_sdk.runtime import ServerRuntime

from tests.langgraph.conftest import IN_TIME

SAID = {"messages": [("ai", "hi")]}


def graph(node):
    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")


async def test_what_a_factory_raises_ends_its_run_alone(client, serve):
    def moody(config):
        if config["configurable"].get("mood") == "bad":
            raise ValueError("not today")
        return graph(lambda _: SAID)

    await serve(moody=moody)
    bad = {"configurable": {"mood": "bad"}}
    told = await client.runs.wait(None, "moody", input={}, config=bad, raise_error=False)
    assert told == {"__error__": {"error": "ValueError", "message": "not today"}}
    good = await client.runs.wait(None, "moody", input={"messages": []})
    assert good["messages"][0]["content"] == "hi"


async def test_a_cancelled_run_closes_what_its_factory_opened(client, serve):
    opened, closed = asyncio.Event(), asyncio.Event()

    async def waiting(_state):
        opened.set()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def held():
        try:
            yield graph(waiting)
        finally:
            if opened.is_set():
                closed.set()

    await serve(held=held)
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "held", input={"messages": []})
    async with asyncio.timeout(IN_TIME):
        await opened.wait()
        await client.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
        await closed.wait()


async def test_an_update_of_a_state_asks_the_factory_and_runs_no_node(client, serve):
    asked = []

    def made(runtime: ServerRuntime):
        asked.append((runtime.access_context, runtime.execution_runtime is not None))
        return graph(lambda _: 1 / 0)

    await serve(made=made)
    assert asked == [("assistants.read", False)]
    thread = await client.threads.create(graph_id="made")
    await client.threads.update_state(thread["thread_id"], SAID, as_node="node")
    assert asked[1:] == [("threads.update", False)]
    state = await client.threads.get_state(thread["thread_id"])
    assert state["values"]["messages"][0]["content"] == "hi"
    assert len(asked) == 2
