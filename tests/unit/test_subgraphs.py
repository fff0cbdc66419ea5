"""Graphs within graphs within graphs: gone on from, looked at, changed by hand."""

import operator

import pytest

from duragraph.protocol import PENDING_TASK, Checkpoint, Write
from duragraph_worker import serialize
from tests.unit.plans import DEEP, Bench, channels, node, plan, update

MIDDLE, INNERMOST = 1, 2


@pytest.fixture
async def bench():
    """At the question of the innermost graph."""
    bench = Bench(DEEP)
    outcome = await bench.run({"topic": "t"})
    assert outcome.interrupted
    return bench


def namespaces(bench):
    """Those of the graphs at work, from the root's down."""
    snapshot = bench.record.snapshot()
    return sorted((each.ns for each in [snapshot, *snapshot.children]), key=len)


def newest(bench, ns):
    made = [i for i in bench.items if isinstance(i, Checkpoint) and i.ns == ns]
    return made[-1]


def at(ns):
    return {"config": {"configurable": {"checkpoint_ns": ns}}}


def ran(bench):
    """The nodes that a streamed run finished."""
    return [
        next(iter(data))
        for event, data in bench.frames("updates")
        if "__interrupt__" not in data and "__metadata__" not in data
    ]


async def go_on(bench, **kwargs):
    del bench.items[:]
    return await bench.run(stream_mode=["updates"], subgraphs=True, **kwargs)


async def test_what_the_innermost_graph_recorded_never_runs_again(bench):
    await go_on(bench, command={"resume": "yes"})
    assert ran(bench) == ["ask", "deep", "leave", "middle", "conclude"]
    assert bench.values["word"] == "yes"


async def test_metadata_names_the_graphs_above(bench):
    root, middle, innermost = namespaces(bench)
    metadata = serialize.decode(newest(bench, innermost).metadata)
    assert list(metadata["parents"]) == [root, middle]
    assert (metadata["langgraph_checkpoint_ns"], metadata["checkpoint_ns"]) == (innermost, middle)


async def test_the_innermost_state_is_changed_by_hand(bench):
    *_, innermost = namespaces(bench)
    outcome = await bench.update({"log": ["patched"]}, **at(innermost))
    assert (outcome.status, outcome.interrupted) == ("success", True)
    made = newest(bench, innermost)
    metadata = serialize.decode(made.metadata)
    assert (made.source, made.next, metadata["checkpoint_ns"]) == ("update", ["ask"], innermost)
    assert made.root_id == bench.record.snapshot().checkpoint_id
    await go_on(bench, command={"resume": "yes"})
    assert ran(bench) == ["ask", "deep", "leave", "middle", "conclude"]
    assert bench.values["log"].count("patched") == 1


async def test_a_node_between_is_spoken_for(bench):
    _, middle, _ = namespaces(bench)
    await bench.update({"log": ["by hand"]}, as_node="deep", **at(middle))
    assert newest(bench, middle).next == ["leave"]
    await go_on(bench)
    assert ran(bench) == ["leave", "middle", "conclude"]
    assert "by hand" in bench.values["log"]


@pytest.mark.parametrize(
    ("ns", "problem"),
    [
        ("nope:1", "Subgraph nope not found"),
        ("middle:1|nope:2", "Subgraph nope not found"),
        ("beside:1", "Subgraph beside not found"),
        ("middle:1", "No subgraph is at work at 'middle:1'"),
    ],
)
async def test_no_graph_is_changed_where_none_works(bench, ns, problem):
    outcome = await bench.update({"log": ["x"]}, **at(ns))
    assert serialize.decode(outcome.error)["message"] == problem


async def test_tasks_are_recorded_in_the_order_of_the_graph(bench):
    root = newest(bench, "")
    assert root.next == ["middle", "beside"]
    assert [task["name"] for task in serialize.decode(root.tasks)] == root.next


def halves(bench):
    """What is recorded of supersteps that stopped with some tasks finished, by namespace."""
    found = [i for i in bench.items if isinstance(i, Write) and i.task_id == PENDING_TASK]
    return {i.ns: serialize.decode(i.result) for i in found}


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_a_question_shows_what_its_siblings_have_done(durability):
    bench = Bench(DEEP)
    await bench.run({"topic": "t"}, durability=durability)
    assert halves(bench) == {"": {"log": ["prepare", "beside"]}}


async def test_a_failure_shows_what_its_siblings_have_done():
    def fail(state, ctx):
        raise ValueError

    graph = plan(
        node("start", update()),
        node("a", update(log=["a"])),
        node("b", fail),
        edges="start>a start>b",
        channels=channels(log=operator.add),
    )
    bench = Bench(graph)
    assert (await bench.run({})).status == "error"
    assert halves(bench) == {"": {"log": ["a"]}}


async def test_nothing_is_shown_of_a_superstep_that_comes_to_its_end():
    bench = Bench(DEEP)
    await bench.run({"topic": "t"})
    del bench.items[:]
    await bench.run(command={"resume": "yes"})
    assert halves(bench) == {}


async def test_a_run_does_not_begin_at_a_subgraphs_checkpoint(bench):
    *_, innermost = namespaces(bench)
    below = newest(bench, innermost).checkpoint_id
    config = {"configurable": {"checkpoint_id": below}}
    outcome = await bench.run(None, config=config)
    assert f"Checkpoint {below} is a subgraph's" in serialize.decode(outcome.error)["message"]
    assert bench.record.snapshot().checkpoint_id != below
