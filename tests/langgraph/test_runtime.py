"""What LangGraph's nodes find around them in a run: context, store, writer, infos, config."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_store, get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from langgraph.types import StreamWriter
from pydantic import BaseModel
from typing_extensions import TypedDict


class Seen(TypedDict, total=False):
    seen: Any


def one_node(body, *, context=None, state=Seen):
    return (
        StateGraph(state, context_schema=context)
        .add_node("node", body)
        .add_edge(START, "node")
        .compile()
    )


async def seen(client, **fields):
    return (await client.runs.wait(None, "g", input={"seen": None}, **fields))["seen"]


@dataclass
class AsDataclass:
    user: str
    tone: str = "kind"


class AsModel(BaseModel):
    user: str
    tone: str = "kind"


class AsDict(TypedDict, total=False):
    user: str
    tone: str


@pytest.mark.parametrize("schema", [AsDataclass, AsModel, AsDict])
async def test_context_is_what_the_graph_declares(client, serve, schema):
    def node(state, runtime: Runtime):
        context = runtime.context
        told = context if isinstance(context, dict) else vars(context)
        return {"seen": [type(context).__name__, told]}

    await serve(g=one_node(node, context=schema))
    kind = "dict" if schema is AsDict else schema.__name__
    default = {} if schema is AsDict else {"tone": "kind"}
    # What the schema does not name is left out, as on LangGraph's server.
    given = {"user": "ada", "unknown": 1}
    assert await seen(client, context=given) == [kind, {"user": "ada", **default}]


async def test_an_assistants_context_is_the_runs_unless_it_has_its_own(client, serve):
    def node(state, runtime: Runtime, config: RunnableConfig):
        return {"seen": [vars(runtime.context), config["configurable"]["user"]]}

    await serve(g=one_node(node, context=AsDataclass))
    assistant = await client.assistants.create("g", context={"user": "ada", "tone": "dry"})
    run = {"assistant_id": assistant["assistant_id"], "input": {"seen": None}}
    found = await client.runs.wait(None, **run)
    assert found["seen"] == [{"user": "ada", "tone": "dry"}, "ada"]
    found = await client.runs.wait(None, **run, context={"user": "bob"})
    assert found["seen"][1] == "bob"
    assert found["seen"][0]["user"] == "bob"
    found = await client.runs.wait(None, **run, config={"configurable": {"user": "eve"}})
    assert found["seen"] == [{"user": "eve", "tone": found["seen"][0]["tone"]}, "eve"]


async def test_a_context_that_does_not_fit_fails_the_run(client, serve):
    await serve(g=one_node(lambda state, runtime: None, context=AsDataclass))
    answer = await client.runs.wait(None, "g", input={}, context={"tone": "dry"}, raise_error=False)
    assert answer["__error__"]["error"] == "TypeError"


async def test_infos_say_which_run_this_is(client, serve):
    async def node(state, runtime: Runtime):
        info, server = runtime.execution_info, runtime.server_info
        return {
            "seen": {
                "thread_id": info.thread_id,
                "run_id": info.run_id,
                "attempt": info.node_attempt,
                "checkpoint": bool(info.checkpoint_id),
                "ns": info.checkpoint_ns.split(":")[0],
                "task": info.checkpoint_ns.endswith(info.task_id),
                "graph_id": server.graph_id,
                "assistant_id": server.assistant_id,
                "user": server.user,
            }
        }

    await serve(g=one_node(node))
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "g", input={"seen": None})
    found = await client.runs.join(thread["thread_id"], run["run_id"])
    assert found["seen"] == {
        "thread_id": thread["thread_id"],
        "run_id": run["run_id"],
        "attempt": 1,
        "checkpoint": True,
        "ns": "node",
        "task": True,
        "graph_id": "g",
        "assistant_id": run["assistant_id"],
        "user": None,
    }


async def test_everything_is_reached_by_functions_too(client, serve):
    async def node(state):
        runtime = get_runtime(AsDataclass)
        await get_store().aput(("a",), "k", {"n": 1})
        get_stream_writer()({"told": runtime.context.user})
        return {"seen": [get_config()["configurable"]["thread_id"], runtime.store is get_store()]}

    await serve(g=one_node(node, context=AsDataclass))
    thread = await client.threads.create()
    parts = [
        (part.event, part.data)
        async for part in client.runs.stream(
            thread["thread_id"],
            "g",
            input={},
            context={"user": "ada"},
            stream_mode=["custom", "updates"],
        )
    ]
    assert parts[1:] == [
        ("custom", {"told": "ada"}),
        ("updates", {"node": {"seen": [thread["thread_id"], True]}}),
    ]
    assert (await client.store.get_item(["a"], "k"))["value"] == {"n": 1}


async def test_parameters_are_injected_by_name_and_type(client, serve):
    def node(state, config: RunnableConfig, *, store: BaseStore, writer: StreamWriter):
        store.put(("a",), "k", {"tags": config["tags"]})
        writer("told")
        return {"seen": [config["metadata"]["of"], store.get(("a",), "k").value]}

    await serve(g=one_node(node))
    config = {"tags": ["t"], "recursion_limit": 7}
    fields = {"config": config, "metadata": {"of": "run"}}
    assert await seen(client, **fields) == ["run", {"tags": ["t"]}]


class Steps(TypedDict, total=False):
    seen: Any
    left: RemainingSteps
    last: IsLastStep


async def test_nodes_know_how_many_steps_are_left(client, serve):
    def count(state):
        return {"seen": [*state["seen"], [state["left"], state["last"]]]}

    builder = StateGraph(Steps).add_node("node", count).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda s: "__end__" if s["last"] else "node")
    await serve(g=builder.compile())
    answer = await client.runs.wait(None, "g", input={"seen": []}, config={"recursion_limit": 3})
    assert answer["seen"] == [[2, False], [1, True]]


async def test_a_functional_graph_finds_what_it_returned_before(client, serve):
    @task
    async def double(n):
        return n * 2

    @entrypoint()
    async def g(n, *, previous=None, runtime: Runtime):
        doubled = await double(n)
        total = doubled + (previous or 0)
        return entrypoint.final(value={"previous": runtime.previous}, save=total)

    await serve(g=g)
    thread = (await client.threads.create())["thread_id"]
    answers = [await client.runs.wait(thread, "g", input=n) for n in (1, 2, 3)]
    assert answers == [{"previous": None}, {"previous": 2}, {"previous": 6}]


class Messages(TypedDict, total=False):
    seen: Annotated[list[Any], lambda a, b: a + b]


async def test_a_graph_in_a_graph_has_the_same_around_it(client, serve):
    def inner(state, runtime: Runtime):
        runtime.store.put(("a",), "k", {"by": "inner"})
        runtime.stream_writer("from within")
        return {"seen": [runtime.context.user]}

    def outer(state, runtime: Runtime):
        return {"seen": [runtime.store.get(("a",), "k").value]}

    child = one_node(inner, context=AsDataclass, state=Messages)
    builder = StateGraph(Messages, context_schema=AsDataclass)
    builder.add_node("child", child).add_node("outer", outer)
    await serve(g=builder.add_edge(START, "child").add_edge("child", "outer").compile())
    parts = [
        part
        async for part in client.runs.stream(
            None,
            "g",
            input={"seen": []},
            context={"user": "ada"},
            stream_mode=["custom", "values"],
            stream_subgraphs=True,
        )
    ]
    assert [p.data for p in parts if p.event.startswith("custom|child:")] == ["from within"]
    assert parts[-1].data == {"seen": ["ada", {"by": "inner"}]}
