"""Supersteps made by hand: several updates at once, inputs, copies, jumps."""

import pytest

from duragraph.protocol import Checkpoint, Write
from duragraph_worker import serialize
from duragraph_worker.executor.execute import execute
from duragraph_worker.plan import Node
from tests.unit.plans import (
    ASK,
    CYCLE,
    ECHO,
    FAN,
    ROUTER,
    SEND,
    Bench,
    channels,
    node,
    plan,
    update,
)


def one(as_node, values=None, **more):
    return [{"as_node": as_node, "values": values, **more}]


async def made(bench, *supersteps):
    """What a task with these leaves behind; raises AssertionError if it fails."""
    outcome = await bench.update(None, supersteps=list(supersteps))
    assert outcome.status == "success", outcome.error
    return outcome, [item for item in bench.items if isinstance(item, Checkpoint)]


async def test_each_is_a_checkpoint_that_follows_the_one_before():
    bench = Bench(FAN)
    both = [*one("b", {"items": ["b"]}), *one("c", {"items": ["c"]})]
    outcome, checkpoints = await made(bench, one("__input__", {"items": ["x"]}), one("a"), both)
    assert [(c.source, c.next) for c in checkpoints] == [
        ("input", ["__start__"]),
        ("update", ["b", "c"]),
        ("update", ["d"]),
    ]
    assert [serialize.decode(c.metadata)["step"] for c in checkpoints] == [-1, 0, 1]
    ids = [c.checkpoint_id for c in checkpoints]
    assert [c.parent_id for c in checkpoints] == [None, *ids[:-1]]
    assert bench.values == {"items": ["b", "c"]}
    assert outcome.interrupted


async def test_runs_go_on_from_them():
    bench = Bench(FAN)
    await made(bench, one("__start__", {"items": ["x"]}), one("a"))
    await bench.run()
    assert bench.values == {"items": ["x", "b", "c"], "total": 3}


async def test_without_an_input_the_first_is_step_0():
    _, (only,) = await made(Bench(ECHO), one("echo", {"out": "o"}))
    assert serialize.decode(only.metadata)["step"] == 0


async def test_a_copy_stands_beside_what_it_repeats():
    _, (_, second, copy) = await made(
        Bench(ECHO), one("__start__", {"msg": "m"}), one("echo", {"out": "o"}), one("__copy__")
    )
    assert (copy.source, copy.parent_id, copy.next) == ("fork", second.parent_id, second.next)
    assert copy.checkpoint_id > second.checkpoint_id


async def test_several_sends_are_written_for_one_by_one():
    bench = Bench(SEND)
    goto = [{"node": "work", "input": {"x": n}} for n in (1, 2)]
    jump = one("plan", command={"goto": goto})
    works = [*one("work", {"out": [2]}), *one("work", {"out": [4]})]
    _, checkpoints = await made(bench, jump, works)
    assert [c.next for c in checkpoints] == [["work", "work"], ["fin"]]
    assert bench.values["out"] == [2, 4]


async def test_a_command_counts_in_place_of_values():
    bench = Bench(ROUTER)
    command = {"goto": "right", "update": [["path", ["by hand"]]]}
    _, (only,) = await made(bench, one("classify", {"path": ["never"]}, command=command))
    assert (only.next, bench.values) == (["right"], {"path": ["by hand"]})


async def test_an_end_clears_what_would_run():
    bench = Bench(CYCLE)
    _, checkpoints = await made(bench, one("__input__", {"n": 0}), one("__end__"))
    assert checkpoints[-1].next == []


@pytest.mark.parametrize(
    ("superstep", "problem"),
    [
        ([], "No updates provided"),
        ([*one("__input__", {}), *one("ask", {})], "multiple updates when updating as input"),
        ([*one("ask", {}), *one("__input__", {})], "Node __input__ does not exist"),
        ([*one("__copy__"), *one("ask", {})], "Cannot copy checkpoint with multiple updates"),
        (one("__copy__"), "Cannot copy a non-existent checkpoint"),
        ([*one("__end__"), *one("ask", {})], "multiple updates when clearing state"),
        (one("__end__", {"q": 1}), "Node __end__ does not exist"),
        (one("__input__"), "Received no input writes for __start__"),
        (one("nope", {}), "Node nope does not exist"),
        ([*one("ask", {"q": 1}), *one("ask", {"q": 2})], "only one value per step"),
        (one("ask", command={"resume": 1}), "Only a run can resume"),
        (one("ask", command={"goto": "nope"}), "jumps to 'nope'"),
        (one("ask", command={"goto": "__start__"}), "jumps to '__start__'"),
    ],
)
async def test_others_are_refused(superstep, problem):
    outcome = await Bench(ASK).update(None, supersteps=[superstep])
    assert problem in serialize.decode(outcome.error)["message"]


async def test_what_was_before_a_refused_one_is_kept():
    bench = Bench(ASK)
    outcome = await bench.update(None, supersteps=[one("pre", {"answers": ["a"]}), one("nope")])
    assert outcome.status == "error"
    assert bench.values["answers"] == ["a"]


SUPERSTEPS = [one("__start__", {"items": ["x"]}), one("a"), one("__copy__"), one("__end__")]


@pytest.mark.parametrize("kept", range(len(SUPERSTEPS) + 1))
async def test_an_update_that_lost_its_worker_goes_on_where_it_was(kept):
    bench = Bench(FAN)
    run = {
        "values": None,
        "supersteps": SUPERSTEPS,
        "run_id": "00000000-0000-7000-8000-0000000000cc",
    }
    task = bench.task("update_state", **run | {"supersteps": SUPERSTEPS[:kept]})
    await execute(FAN, task, bench)
    again = bench.task("update_state", resuming=kept > 0, attempt=2, **run)
    outcome = await execute(FAN, again, bench)
    made = [item for item in bench.items if isinstance(item, Checkpoint)]
    assert [each.source for each in made] == ["update", "update", "fork", "update"]
    assert (bench.values, outcome.interrupted) == ({"items": ["x"]}, False)


async def test_what_is_written_and_its_checkpoint_are_put_in_one_go():
    labels = []

    async def label(state, injected):
        labels.append([item for item in bench.items if isinstance(item, Write)])
        return "go"

    graph = plan(
        Node("ask", "router", label, routes={"go": "then"}),
        node("then", update()),
        channels=channels("a"),
    )
    bench = Bench(graph)
    await made(bench, one("__start__", {"a": 1}), one("ask", {"a": 2}))
    assert labels == [[]], "a worker lost in the router's body would apply it twice"
    assert [type(item) for item in bench.items[-2:]] == [Write, Checkpoint]
