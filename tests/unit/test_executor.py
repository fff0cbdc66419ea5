"""Supersteps: order, joins, sends, jumps, cycles, conflicts, and what is recorded of them."""

import asyncio
import operator
from typing import Any

import msgspec
import pytest

from duragraph.protocol import SNAPSHOT_EVERY, ChannelWrite, Checkpoint, Write
from duragraph_worker import serialize
from duragraph_worker.command import Command, Send
from duragraph_worker.plan import END, Join
from tests.unit.plans import (
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


def told(error: bytes | None) -> dict[str, Any]:
    return msgspec.json.decode(error or b"null")


def checkpoints(bench: Bench) -> list[Checkpoint]:
    return [item for item in bench.items if isinstance(item, Checkpoint)]


async def test_checkpoints_count_from_minus_one_and_each_names_its_parent():
    bench = Bench(ECHO)
    await bench.run({"msg": "hi", "unknown": 1})
    made = checkpoints(bench)
    assert [(c.source, c.step, c.next) for c in made] == [
        ("input", -1, ["__start__"]),
        ("loop", 0, ["echo"]),
        ("loop", 1, []),
    ]
    assert [c.parent_id for c in made] == [None, made[0].checkpoint_id, made[1].checkpoint_id]
    assert bench.values == {"msg": "hi", "out": "hi"}


async def test_a_join_waits_for_all_its_sources():
    order: list[str] = []

    async def slow(state: Any, ctx: Any) -> Any:
        order.append("slow")

    graph = plan(
        node("a", update()),
        node("b", lambda s, ctx: order.append("b")),
        node("c1", slow),
        node("c2", slow),
        node("d", lambda s, ctx: order.append("d")),
        edges="a>b a>c1 c1>c2",
        joins=(Join(("b", "c2"), "d"),),
    )
    await Bench(graph).run({})
    assert order == ["b", "slow", "slow", "d"]


async def test_a_join_in_a_cycle_waits_for_all_its_sources_each_time():
    bench = Bench(
        plan(
            node("a", update(log=["a"])),
            node("b", update(log=["b"])),
            node("c", update(log=["c"])),
            node(
                "d",
                lambda s, ctx: Command(
                    update={"log": ["d"]}, goto=END if s["log"].count("d") else "a"
                ),
            ),
            edges="a>b a>c",
            joins=(Join(("b", "c"), "d"),),
            channels=channels(log=operator.add),
        )
    )
    await bench.run({})
    assert bench.values["log"] == ["a", "b", "c", "d"] * 2


async def test_updates_of_a_superstep_are_applied_by_name_whoever_ends_first():
    release = asyncio.Event()

    async def first(state: Any, ctx: Any) -> Any:
        await release.wait()
        return {"log": ["a"]}

    async def last(state: Any, ctx: Any) -> Any:
        release.set()
        return {"log": ["b"]}

    bench = Bench(
        plan(
            node("a", first),
            node("b", last),
            entry=("b", "a"),
            channels=channels(log=operator.add),
        )
    )
    await bench.run({})
    assert bench.values["log"] == ["a", "b"]


async def test_sends_are_tasks_of_their_own_with_paths_by_index():
    bench = Bench(SEND)
    await bench.run({"xs": [1, 2, 3]})
    assert bench.values["out"] == [2, 4, 6, 0]
    fanned = next(c for c in checkpoints(bench) if c.next == ["work"] * 3)
    tasks = serialize.decode(fanned.tasks)
    assert [task["path"] for task in tasks] == [["__pregel_push", i, False] for i in range(3)]
    assert len({task["id"] for task in tasks}) == 3


async def test_a_command_updates_and_jumps():
    bench = Bench(ROUTER)
    await bench.run({"kind": "r"})
    assert bench.values["path"] == ["classify", "right"]


async def test_a_router_follows_its_labels_and_refuses_others():
    graph = plan(
        node("pick", lambda s, ctx: s["to"], kind="router", routes={"yes": "a", "no": END}),
        node("a", update(went="a")),
        channels=channels("to", "went"),
    )
    bench = Bench(graph)
    await bench.run({"to": "yes"})
    assert bench.values["went"] == "a"
    outcome = await Bench(graph).run({"to": "maybe"})
    assert "'pick' returned 'maybe'; its labels: 'yes', 'no'" in told(outcome.error)["message"]


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_cycle_ends_at_the_recursion_limit(limit: int):
    bench = Bench(CYCLE)
    outcome = await bench.run({"stop": 99}, config={"recursion_limit": limit})
    assert outcome.status == "error"
    assert told(outcome.error)["error"] == "GraphRecursionError"
    assert bench.values["n"] == limit


@pytest.mark.parametrize("limit", [0, -1, "many", 2.5])
async def test_a_recursion_limit_that_is_none_is_refused(limit: Any):
    outcome = await Bench(ECHO).run({"msg": "hi"}, config={"recursion_limit": limit})
    assert told(outcome.error)["error"] == "ValueError"
    assert "at least 1" in told(outcome.error)["message"]


async def test_two_parallel_writes_without_a_reducer_name_both_nodes():
    graph = plan(
        node("left", update(msg="l")),
        node("right", update(msg="r")),
        entry=("left", "right"),
        channels=channels("msg"),
    )
    outcome = await Bench(graph).run({})
    error = told(outcome.error)
    assert error["error"] == "InvalidUpdateError"
    assert "'msg'" in error["message"]
    assert "'left' and 'right'" in error["message"]


async def test_a_superstep_that_fails_under_exit_durability_leaves_the_state_before_it():
    graph = plan(
        node("a", update(log=["a"])),
        node("l", update(log=["l"], msg="l")),
        node("r", update(log=["r"], msg="r")),
        edges="a>l a>r",
        channels=channels("msg", log=operator.add),
    )
    bench = Bench(graph)
    outcome = await bench.run({}, durability="exit")
    assert outcome.status == "error"
    assert bench.values == {"log": ["a"]}


async def test_a_jump_to_nowhere_is_its_nodes_failure():
    bench = Bench(plan(node("a", lambda s, ctx: Command(goto="nope"))))
    outcome = await bench.run({})
    assert "Node 'a' jumps to 'nope', which is no node of: a" in told(outcome.error)["message"]
    assert [item.error for item in bench.items if isinstance(item, Write) and item.error]


async def test_a_failing_node_cancels_its_siblings_and_both_are_recorded():
    cancelled = asyncio.Event()

    async def wait(state: Any, ctx: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def boom(state: Any, ctx: Any) -> Any:
        raise ValueError("no")

    bench = Bench(plan(node("boom", boom), node("wait", wait), entry=("boom", "wait")))
    outcome = await bench.run({})
    assert told(outcome.error) == {"error": "ValueError", "message": "no"}
    assert cancelled.is_set()
    errors = [item.error for item in bench.items if isinstance(item, Write) and item.error]
    assert errors == ["ValueError('no')", "CancelledError()"]


async def test_finished_siblings_of_a_failure_do_not_run_again():
    ran: list[str] = []
    broken = [True]

    async def boom(state: Any, ctx: Any) -> Any:
        ran.append("boom")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if broken:
            raise ValueError("no")
        return {"log": ["boom"]}

    def fine(state: Any, ctx: Any) -> Any:
        ran.append("fine")
        return {"log": ["fine"]}

    bench = Bench(
        plan(
            node("boom", boom),
            node("fine", fine),
            entry=("boom", "fine"),
            channels=channels(log=operator.add),
        )
    )
    await bench.run({})
    broken.clear()
    await bench.run(None)
    assert ran == ["boom", "fine", "boom"]
    assert bench.values["log"] == ["boom", "fine"]


@pytest.mark.parametrize("returned", [5, "text", object()])
async def test_what_is_no_update_is_refused(returned: Any):
    outcome = await Bench(plan(node("a", lambda s, ctx: returned))).run({})
    assert told(outcome.error)["error"] == "InvalidUpdateError"


async def test_input_must_be_an_object_and_there():
    error = told((await Bench(ECHO).run(5)).error)
    assert error == {"error": "InvalidUpdateError", "message": "Expected dict, got 5"}
    error = told((await Bench(ECHO).run(None)).error)
    assert error == {
        "error": "EmptyInputError",
        "message": "Received no input for __start__",
    }


async def test_a_list_that_grew_is_recorded_as_its_new_elements_with_a_snapshot_now_and_then():
    bench = Bench(
        plan(
            node(
                "add",
                lambda s, ctx: Command(
                    update={"log": [len(s["log"])]}, goto="add" if len(s["log"]) < 99 else END
                ),
            ),
            channels=channels(log=operator.add),
        )
    )
    await bench.run({})
    parts: list[ChannelWrite] = [p for c in checkpoints(bench) for p in c.channels]
    whole = [part for part in parts if part.base_id is None]
    assert len(whole) == 2
    assert max(part.depth for part in parts) == SNAPSHOT_EVERY - 1
    assert bench.values["log"] == list(range(100))


async def test_a_reducer_that_changes_its_list_in_place_claims_no_append():
    def insert(current: list[int], new: list[int]) -> list[int]:
        current[:0] = new
        return list(current)

    bench = Bench(
        plan(
            node("a", update(log=[1])),
            node("b", update(log=[2])),
            edges="a>b",
            channels=channels(log=insert),
        )
    )
    await bench.run({"log": [0]})
    assert bench.values["log"] == [2, 1, 0]


async def test_a_reducer_that_changes_an_element_in_place_is_recorded():
    def count(current: list[dict[str, int]], new: list[dict[str, int]]) -> list[dict[str, int]]:
        for item in current:
            item["seen"] += 1
        return current + new

    def one(state: Any, ctx: Any) -> Any:
        return {"log": [{"seen": 0}]}

    graph = plan(node("a", one), node("b", one), edges="a>b", channels=channels(log=count))
    bench = Bench(graph)
    await bench.run({}, stream_mode=["values"])
    assert bench.values["log"] == [{"seen": 1}, {"seen": 0}]
    assert bench.frames("values")[-1] == ("values", bench.values)


async def test_a_state_changed_in_place_but_not_returned_stays_as_it_was():
    def meddle(state: Any, ctx: Any) -> Any:
        state["xs"].append("gone")
        return {"out": len(state["xs"])}

    bench = Bench(plan(node("a", meddle), channels=channels("xs", "out")))
    await bench.run({"xs": ["kept"]})
    assert bench.values == {"xs": ["kept"], "out": 2}


async def test_null_input_goes_on_and_new_input_gives_up_what_was_left():
    bench = Bench(FAN)
    await bench.run({"items": ["x"]}, interrupt_before=["d"])
    await bench.run({"items": ["y"]}, interrupt_before=["d"])
    assert bench.values["items"] == ["x", "b", "c", "y", "b", "c"]
    await bench.run(None)
    assert bench.values["total"] == 6


async def test_time_travel_forks_and_leaves_the_old_line_alone():
    bench = Bench(CYCLE)
    await bench.run({"stop": 3})
    old = checkpoints(bench)
    start = old[2]
    config = {"configurable": {"checkpoint_id": start.checkpoint_id}}
    await bench.run(None, config=config)
    forked = checkpoints(bench)[len(old)]
    assert (forked.source, forked.parent_id) == ("fork", start.checkpoint_id)
    assert forked.step == start.step + 1
    assert bench.values["n"] == 3
    assert not {w.task_id for w in bench.record.writes(start.checkpoint_id)} & {
        w.task_id for w in bench.record.writes(forked.checkpoint_id)
    }


@pytest.mark.parametrize(("durability", "count"), [("sync", 5), ("async", 5), ("exit", 1)])
async def test_exit_durability_leaves_one_checkpoint(durability: str, count: int):
    bench = Bench(CYCLE)
    await bench.run({"stop": 3}, durability=durability)
    assert len(checkpoints(bench)) == count
    assert bench.values == {"n": 3, "stop": 3}


async def test_update_state_writes_as_a_node_and_follows_its_edges():
    bench = Bench(FAN)
    await bench.run({"items": ["x"]}, interrupt_before=["b"])
    await bench.update({"items": ["by hand"]}, as_node="b")
    made = checkpoints(bench)[-1]
    assert (made.source, made.step, made.next) == ("update", 2, [])
    assert bench.values["items"] == ["x", "by hand"]
    await bench.update({"items": ["too"]}, as_node="c")
    assert checkpoints(bench)[-1].next == ["d"]


async def test_an_update_of_an_older_checkpoint_leaves_its_tasks_results_alone():
    bench = Bench(FAN)
    await bench.run({"items": ["x"]})
    old = next(c for c in checkpoints(bench) if c.next == ["b", "c"])
    before = bench.record.writes(old.checkpoint_id)
    config = {"configurable": {"checkpoint_id": old.checkpoint_id}}
    await bench.update({"items": ["u"]}, as_node="b", config=config)
    assert bench.values["items"] == ["x", "u"]
    assert bench.record.writes(old.checkpoint_id) == before


async def test_update_state_refuses_unknown_and_ambiguous_nodes():
    bench = Bench(FAN)
    await bench.run({"items": ["x"]}, interrupt_before=["d"])
    outcome = await bench.update({"items": ["u"]}, as_node="nope")
    assert told(outcome.error)["message"] == "Node nope does not exist"
    outcome = await bench.update({"items": ["u"]})
    assert told(outcome.error)["message"] == "Ambiguous update, specify as_node"


async def test_a_send_reads_the_same_whatever_it_carries():
    seen: list[Any] = []
    graph = plan(
        node("a", lambda s, ctx: [Send("b", {"at": (1, 2)}), Send("b", [3])]),
        node("b", lambda s, ctx: seen.append(s)),
    )
    await Bench(graph).run({})
    assert seen == [{"at": [1, 2]}, [3]]
