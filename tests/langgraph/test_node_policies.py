"""Nodes with policies: caches, retries, timeouts, deferred nodes, error handlers; their writes."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.channels import UntrackedValue
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, Command, Overwrite, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

AT_ONCE = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3)


class Said(TypedDict, total=False):
    said: Annotated[list[Any], operator.add]
    n: int


async def wait(client, thread=None, **fields):
    return await client.runs.wait(thread, "g", **{"input": {"said": []}, **fields})


async def updates(client, thread=None, **fields):
    """What was streamed, without the frame that names the run."""
    stream = client.runs.stream(
        thread, "g", **{"input": {"said": []}, "stream_mode": "updates", **fields}
    )
    return [part.data for part in [part async for part in stream][1:]]


async def test_a_cached_node_runs_once_for_all_runs_of_the_worker(client, serve):
    executed = []

    def node(state):
        executed.append(state["n"])
        return {"said": [state["n"] * 2]}

    builder = StateGraph(Said).add_node("node", node, cache_policy=CachePolicy())
    await serve(g=builder.add_edge(START, "node").compile(cache=InMemoryCache()))
    for n in (1, 1, 2):
        assert (await wait(client, input={"n": n, "said": []}))["said"] == [n * 2]
    assert executed == [1, 2]
    (cached,) = await updates(client, input={"n": 2, "said": []})
    assert cached == {"node": {"said": [4]}, "__metadata__": {"cached": True}}


async def test_a_cached_task_is_executed_once(client, serve):
    executed = []

    @task(cache_policy=CachePolicy())
    async def double(n):
        executed.append(n)
        return n * 2

    @entrypoint(cache=InMemoryCache())
    async def g(n):
        return await double(n)

    await serve(g=g)
    assert [await client.runs.wait(None, "g", input=n) for n in (3, 3)] == [6, 6]
    assert executed == [3]


async def test_a_node_is_retried_and_knows_it(client, serve):
    attempts = []

    async def node(state, runtime: Runtime):
        attempts.append(runtime.execution_info.node_attempt)
        if len(attempts) < 3:
            raise ConnectionError("away")
        return {"said": ["done"]}

    await serve(
        g=StateGraph(Said)
        .add_node("node", node, retry_policy=AT_ONCE)
        .add_edge(START, "node")
        .compile()
    )
    assert await updates(client) == [{"node": {"said": ["done"]}}]
    assert attempts == [1, 2, 3]


async def test_what_fails_for_good_fails_the_run(client, serve):
    attempts = []

    def node(state):
        attempts.append(1)
        raise ConnectionError("away")

    await serve(
        g=StateGraph(Said)
        .add_node("node", node, retry_policy=AT_ONCE)
        .add_edge(START, "node")
        .compile()
    )
    thread = (await client.threads.create())["thread_id"]
    answer = await wait(client, thread, raise_error=False)
    assert answer["__error__"]["error"] == "ConnectionError"
    assert len(attempts) == 3
    state = await client.threads.get_state(thread)
    assert state["next"] == ["node"]
    assert "ConnectionError" in state["tasks"][0]["error"]


async def test_a_node_that_takes_too_long_fails(client, serve):
    async def node(state):
        await asyncio.Event().wait()

    await serve(
        g=StateGraph(Said).add_node("node", node, timeout=0.05).add_edge(START, "node").compile()
    )
    answer = await wait(client, raise_error=False)
    assert answer["__error__"]["error"] == "NodeTimeoutError"


async def test_a_deferred_node_runs_after_all_others(client, serve):
    builder = StateGraph(Said)
    for name in ("a", "b", "b2", "c"):
        builder.add_node(name, lambda _, name=name: {"said": [name]}, defer=name == "c")
    builder.add_edge(START, "a").add_edge(START, "b").add_edge("b", "b2")
    builder.add_edge("a", "c").add_edge("b2", "c")
    await serve(g=builder.compile())
    assert (await wait(client))["said"] == ["a", "b", "b2", "c"]


async def test_an_error_handler_takes_over(client, serve):
    def node(state):
        raise ValueError("boom")

    def handler(state, error: NodeError):
        return Command(update={"said": [error.node, str(error.error)]}, goto="after")

    builder = StateGraph(Said).add_node("node", node, error_handler=handler)
    builder.add_node("after", lambda _: {"said": ["after"]}).add_edge(START, "node")
    await serve(g=builder.compile())
    thread = (await client.threads.create())["thread_id"]
    assert (await wait(client, thread))["said"] == ["node", "boom", "after"]
    assert (await client.threads.get(thread))["status"] == "idle"
    assert (await client.threads.get_state(thread))["next"] == []


async def test_a_reducer_is_bypassed(client, serve):
    builder = StateGraph(Said)
    builder.add_node("a", lambda _: {"said": ["a"]})
    builder.add_node("b", lambda _: {"said": Overwrite(["only"])})
    builder.add_node("c", lambda _: {"said": ["c"]})
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")
    await serve(g=builder.compile())
    thread = (await client.threads.create())["thread_id"]
    assert (await wait(client, thread))["said"] == ["only", "c"]
    history = await client.threads.get_history(thread)
    assert [state["values"].get("said") for state in history] == [
        ["only", "c"],
        ["only"],
        ["a"],
        [],
        [],
    ]
    assert (await wait(client, thread, input={"said": ["more"]}))["said"] == ["only", "c"]


class Untracked(Said, total=False):
    handle: Annotated[Any, UntrackedValue(object)]


async def test_an_untracked_value_is_in_no_checkpoint(client, serve):
    lock = object()

    builder = StateGraph(Untracked)
    builder.add_node("a", lambda _: {"handle": lock}).add_node(
        "b", lambda s: {"said": [s["handle"] is lock]}
    )
    builder.add_node("c", lambda s: {"said": [interrupt("go on?"), s.get("handle")]})
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c")
    await serve(g=builder.compile())
    thread = (await client.threads.create())["thread_id"]
    assert "__interrupt__" in await wait(client, thread)
    state = await client.threads.get_state(thread)
    assert state["values"] == {"said": [True]}
    answer = await wait(client, thread, input=None, command={"resume": "yes"})
    assert answer["said"] == [True, "yes", None]


async def test_sends_map_and_reduce(client, serve):
    builder = StateGraph(Said)
    builder.add_node("split", lambda _: {})
    builder.add_node("each", lambda item: {"said": [item["n"] ** 2]})
    builder.add_node("join", lambda s: {"n": sum(s["said"])})
    builder.add_edge(START, "split").add_edge("each", "join").add_edge("join", END)
    builder.add_conditional_edges("split", lambda _: [Send("each", {"n": n}) for n in range(5)])
    await serve(g=builder.compile())
    assert await wait(client) == {"said": [0, 1, 4, 9, 16], "n": 30}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_retried_nodes_writes_count_once(client, serve, durability):
    tries = []

    async def flaky(state):
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")
        return {"said": ["flaky"]}

    builder = StateGraph(Said)
    builder.add_node("flaky", flaky, retry_policy=AT_ONCE)
    builder.add_node("steady", lambda _: {"said": ["steady"]})
    builder.add_edge(START, "flaky").add_edge(START, "steady")
    await serve(g=builder.compile())
    thread = (await client.threads.create())["thread_id"]
    answer = await wait(client, thread, durability=durability)
    assert sorted(answer["said"]) == ["flaky", "steady"]
    assert (await client.threads.get_state(thread))["values"] == answer
