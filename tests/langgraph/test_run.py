"""A LangGraph graph's run on a worker: frames, state, history, and how it goes on."""

import asyncio
import operator
import sys
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


async def test_one_answer_resumes_the_node_that_asks(client, serve, thread_id):
    def ask(_state: Sum) -> dict[str, Any]:
        return {"n": interrupt("how many?"), "log": [interrupt("and why?")]}

    await serve(g=chain(step("a"), ("ask", ask), step("z")))
    shown = await frames(client, thread_id, input={"n": 0}, stream_mode=["values", "updates"])
    (_, asked), (_, update) = shown[-1:-3:-1]
    assert asked["__interrupt__"][0]["value"] == update["__interrupt__"][0]["value"] == "how many?"
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    ((task_id, [waiting]),) = thread["interrupts"].items()
    state = await client.threads.get_state(thread_id)
    assert state["next"] == ["ask"]
    assert [(t["id"], t["interrupts"]) for t in state["tasks"]] == [(task_id, [waiting])]

    await client.runs.wait(thread_id, "g", command={"resume": 5})
    assert list((await client.threads.get(thread_id))["interrupts"]) == [task_id]
    ended = await client.runs.wait(thread_id, "g", command={"resume": "because"})
    assert ended == {"n": 7, "log": ["a", "because", "z"]}
    assert (await client.threads.get(thread_id))["status"] == "idle"


def asks(name):
    def node(_state: Sum) -> dict[str, Any]:
        return {"log": [f"{name}: {interrupt(name)}"]}

    return name, node


def beside(*nodes, **options):
    """Nodes that run at once."""
    builder = StateGraph(Sum)
    for name, node in nodes:
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile(**options)


async def test_several_questions_are_answered_by_id(client, serve, thread_id):
    await serve(g=beside(asks("x"), asks("y"), step("done", 3)))
    asked = (await client.runs.wait(thread_id, "g", input={"n": 0}))["__interrupt__"]
    state = await client.threads.get_state(thread_id)
    assert state["values"] == {"n": 3, "log": ["done"]}  # what has finished shows already
    assert sorted(state["next"]) == ["x", "y"]
    ids = {each["value"]: each["id"] for each in asked}

    both = await client.runs.wait(thread_id, "g", command={"resume": "?"}, raise_error=False)
    assert both["__error__"]["error"] == "RuntimeError"
    await client.runs.wait(thread_id, "g", command={"resume": {ids["y"]: 2}})
    assert (await client.threads.get_state(thread_id))["next"] == ["x"]
    ended = await client.runs.wait(thread_id, "g", command={"resume": {ids["x"]: 1}})
    assert ended == {"n": 3, "log": ["done", "x: 1", "y: 2"]}


async def test_questions_below_are_answered_from_above(client, serve, thread_id):
    below = beside(asks("x"), asks("y"), step("done", 3))
    builder = StateGraph(Sum).add_node("below", below).add_edge(START, "below")
    await serve(g=builder.compile())
    asked = (await client.runs.wait(thread_id, "g", input={"n": 0}))["__interrupt__"]
    ids = {each["value"]: each["id"] for each in asked}
    state = await client.threads.get_state(thread_id, subgraphs=True)
    assert sorted(state["tasks"][0]["state"]["next"]) == ["x", "y"]
    assert state["tasks"][0]["state"]["values"] == {"n": 3, "log": ["done"]}
    await client.runs.wait(thread_id, "g", command={"resume": {ids["x"]: 1}})
    ended = await client.runs.wait(thread_id, "g", command={"resume": {ids["y"]: 2}})
    assert ended["log"] == ["done", "x: 1", "y: 2"]


async def test_a_late_answer_is_refused_and_the_thread_stays(client, serve, thread_id):
    both_are_there = asyncio.Event()

    async def waits(_state: Sum) -> dict[str, Any]:
        await both_are_there.wait()
        return {}

    await serve(g=chain(asks("x"), ("waits", waits), asks("y")))
    await client.runs.wait(thread_id, "g", input={"n": 0})
    first = await client.runs.create(thread_id, "g", command={"resume": 1})
    late = await client.runs.create(thread_id, "g", command={"resume": 2})
    both_are_there.set()
    await client.runs.join(thread_id, first["run_id"])
    refused = await client.runs.join(thread_id, late["run_id"])
    assert refused["__error__"]["error"] == "UnknownInterruptError"
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    assert [each["value"] for (each,) in thread["interrupts"].values()] == ["y"]


@pytest.mark.parametrize("breakpoints", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}])
@pytest.mark.parametrize("compiled", [True, False])
async def test_a_run_stops_at_a_breakpoint(client, serve, thread_id, breakpoints, compiled):
    nodes = step("a"), step("b"), step("c")
    given = {} if compiled else breakpoints
    await serve(g=chain(*nodes, **(breakpoints if compiled else {})))
    shown = await frames(
        client, thread_id, input={"n": 0}, stream_mode=["values", "updates"], **given
    )
    assert shown[-1] == ("updates", {"__interrupt__": []})
    assert shown[-2] == ("values", {"n": 1, "log": ["a"]})
    assert (await client.threads.get_state(thread_id))["next"] == ["b"]
    assert (await client.threads.get(thread_id))["status"] == "interrupted"
    ended = await client.runs.wait(thread_id, "g", input=None, **given)
    assert ended == {"n": 3, "log": ["a", "b", "c"]}


async def test_every_node_is_a_breakpoint(client, serve, thread_id):
    await serve(g=chain(step("a"), step("b")))
    seen = []
    for given in ({"n": 0}, None, None):
        await client.runs.wait(thread_id, "g", input=given, interrupt_before="*")
        seen.append((await client.threads.get_state(thread_id))["next"])
    assert seen == [["a"], ["b"], []]


async def test_a_command_goes_and_updates(client, serve, thread_id):
    await serve(g=chain(step("a"), step("b"), step("c"), interrupt_before=["b"]))
    await client.runs.wait(thread_id, "g", input={"n": 0})
    command = {"update": {"log": ["told"]}, "goto": "c"}
    ended = await client.runs.wait(thread_id, "g", command=command)
    assert ended["log"] == ["a", "told", "b", "c", "c"]


@pytest.mark.parametrize("waits", [True, False])
async def test_where_a_command_came_the_record_shows_what_ran_without_it(
    client, serve, thread_id, waits
):
    await serve(g=chain(step("a"), asks("b") if waits else step("b"), step("c")))
    await client.runs.wait(thread_id, "g", input={"n": 0})
    before = await client.threads.get_state(thread_id)
    await client.runs.wait(thread_id, "g", command={"goto": "c"})
    (same,) = [
        state
        for state in await client.threads.get_history(thread_id)
        if state["checkpoint"] == before["checkpoint"]
    ]
    assert same["next"] == before["next"] == (["b"] if waits else [])
    assert [task["name"] for task in same["tasks"]] == before["next"]


@pytest.mark.parametrize("given", [None, {"n": 1}])
@pytest.mark.parametrize("command", [{"resume": 1}, {"update": {"n": 1}}])
async def test_a_command_needs_a_thread_that_has_begun(client, serve, thread_id, given, command):
    await serve(g=chain(step("a")))
    ((event, told),) = await frames(client, thread_id, input=given, command=command)
    assert (event, told["error"]) == ("error", "TypeError")
    assert "has not begun" in told["message"]
    assert await client.threads.get_history(thread_id) == []


async def test_a_command_comes_before_input(client, serve, thread_id):
    await serve(g=chain(step("a")))
    await client.runs.wait(thread_id, "g", input={"n": 0})
    command = {"update": {"log": ["told"]}, "goto": "a"}
    ended = await client.runs.wait(thread_id, "g", input={"log": ["unheard"]}, command=command)
    assert ended["log"] == ["a", "told", "a"]


async def test_sends_run_a_node_many_times(client, serve, thread_id):
    def split(state: Sum) -> list[Send]:
        return [Send("each", {"n": i}) for i in range(state["n"])]

    async def each(state: Sum) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"log": [f"each {state['n']}"]}

    builder = StateGraph(Sum).add_node("each", each)
    builder.add_conditional_edges(START, split, ["each"])
    await serve(g=builder.compile())
    ended = await client.runs.wait(thread_id, "g", input={"n": 3})
    assert ended["log"] == ["each 0", "each 1", "each 2"]
    history = await client.threads.get_history(thread_id)
    assert [t["path"] for t in history[1]["tasks"]] == [
        ["__pregel_push", i, False] for i in range(3)
    ]
    assert [t["result"] for t in history[1]["tasks"]] == [{"log": [f"each {i}"]} for i in range(3)]


async def test_a_node_below_jumps_above(client, serve, thread_id):
    def leave(_state: Sum) -> Command[Any]:
        return Command(graph=Command.PARENT, goto="c", update={"log": ["from below"]})

    below = chain(("leave", leave))
    builder = StateGraph(Sum).add_node("below", below).add_node(*step("c"))
    await serve(g=builder.add_edge(START, "below").compile())
    assert (await client.runs.wait(thread_id, "g", input={"n": 0}))["log"] == ["from below", "c"]


async def test_time_travel_makes_a_branch(client, serve, thread_id):
    calls = []

    def count(_state: Sum) -> dict[str, Any]:
        calls.append(1)
        return {"log": [f"call {len(calls)}"]}

    await serve(g=chain(step("a"), ("count", count)))
    await client.runs.wait(thread_id, "g", input={"n": 0})
    history = await client.threads.get_history(thread_id)
    past = next(state for state in history if state["next"] == ["count"])
    again = await client.runs.wait(
        thread_id, "g", input=None, checkpoint_id=past["checkpoint"]["checkpoint_id"]
    )
    assert again["log"] == ["a", "call 2"]
    after = await client.threads.get_history(thread_id, limit=20)
    assert len(after) == len(history) + 2
    assert after[1]["metadata"]["source"] == "fork"
    assert after[1]["parent_checkpoint"]["checkpoint_id"] == past["checkpoint"]["checkpoint_id"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_history_has_each_step_or_the_end_alone(client, serve, thread_id, durability):
    await serve(g=chain(step("a"), step("b")))
    values = [
        data
        for event, data in await frames(client, thread_id, input={"n": 0}, durability=durability)
        if event == "values"
    ]
    assert [v["n"] for v in values] == [0, 1, 2]
    history = await client.threads.get_history(thread_id)
    assert len(history) == (1 if durability == "exit" else 4)
    assert history[0]["values"] == {"n": 2, "log": ["a", "b"]}


async def test_an_error_is_told_as_far_as_clients_may_know(client, serve, thread_id):
    class Secret(Exception):
        pass

    def fail(state: Sum) -> dict[str, Any]:
        raise Secret("4711") if state["n"] else ValueError("no such order")

    await serve(g=chain(step("a", 0), ("fail", fail)))
    shown = await frames(client, thread_id, input={"n": 0})
    assert shown[-1] == ("error", {"error": "ValueError", "message": "no such order"})
    state = await client.threads.get_state(thread_id)
    assert state["next"] == ["fail"]
    assert state["tasks"][0]["error"] == "ValueError('no such order')"
    assert (await client.threads.get(thread_id))["status"] == "error"
    shown = await frames(client, thread_id, input={"n": 1})
    assert shown[-1] == ("error", {"error": "Secret", "message": "An internal error occurred"})


async def test_a_graph_that_never_ends_is_stopped(client, serve, thread_id):
    builder = StateGraph(Sum).add_node(*step("a")).add_edge(START, "a").add_edge("a", "a")
    await serve(g=builder.compile())
    shown = await frames(client, thread_id, input={"n": 0}, config={"recursion_limit": 3})
    assert shown[-1][1]["error"] == "GraphRecursionError"
    assert shown[-2] == ("values", {"n": 3, "log": ["a"] * 3})


async def test_what_types_may_be_restored_is_the_graphs(client, serve, thread_id, monkeypatch):
    """LangGraph then takes a checkpointer that knows the graph's types, for each graph."""
    monkeypatch.setattr("langgraph._internal._serde.STRICT_MSGPACK_ENABLED", True)
    below = chain(step("x"), asks("y"))
    builder = StateGraph(Sum).add_node("below", below).add_edge(START, "below")
    await serve(g=builder.compile())
    await client.runs.wait(thread_id, "g", input={"n": 1}, durability="sync")
    ended = await client.runs.wait(thread_id, "g", command={"resume": 1}, durability="sync")
    assert ended["log"] == ["x", "y: 1"]
    assert (await client.threads.get_state(thread_id))["values"] == ended


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_drained_run_goes_on_where_it_was(client, serve, thread_id, durability):
    began, ran = asyncio.Event(), []

    async def first(_state: Sum) -> dict[str, Any]:
        ran.append("first")
        return {"log": ["first"]}

    async def slow(_state: Sum) -> dict[str, Any]:
        ran.append("slow")
        if not began.is_set():
            began.set()
            await asyncio.Event().wait()
        return {"log": ["slow"]}

    graph = chain(("first", first), ("slow", slow))
    worker = await serve(g=graph)
    run = await client.runs.create(thread_id, "g", input={"n": 1}, durability=durability)
    await asyncio.wait_for(began.wait(), 10)
    worker.stop()
    await serve(g=graph)
    ended = await client.runs.join(thread_id, run["run_id"])
    assert ended == {"n": 1, "log": ["first", "slow"]}
    assert ran == ["first", "slow", "slow"]


@pytest.mark.parametrize("beside_it", [False, True])
async def test_a_node_that_exits_ends_its_run_and_no_other(client, serve, thread_id, beside_it):
    def leave(_state: Sum) -> dict[str, Any]:
        return sys.exit(3)

    nodes = [("leave", leave), *([step("a")] if beside_it else [])]
    await serve(g=beside(*nodes), other=chain(step("a")))
    shown = await frames(client, thread_id, input={"n": 0})
    told = {"error": "RuntimeError", "message": "A node called sys.exit(3)"}
    assert shown[-1] == ("error", told)
    assert await client.runs.wait(None, "other", input={"n": 0}) == {"n": 1, "log": ["a"]}
