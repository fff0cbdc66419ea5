"""Questions to people: raised, answered by order or by id, in parallel and in subgraphs."""

import asyncio
import operator
from typing import Any

import msgspec
import pytest

from duragraph.protocol import Outcome
from duragraph_worker import serialize
from duragraph_worker.errors import GraphInterrupt
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.plan import Node
from tests.unit.plans import ASK, SUB_ASK, Bench, channels, node, plan, update


def asked(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    return msgspec.json.decode(outcome.interrupts)


def questions(outcome: Outcome) -> list[Any]:
    return [each["value"] for of_task in asked(outcome).values() for each in of_task]


def ids(outcome: Outcome) -> list[str]:
    return [each["id"] for of_task in asked(outcome).values() for each in of_task]


async def test_several_questions_of_a_body_are_answered_in_their_order():
    bench = Bench(ASK)
    first = await bench.run({"q": "?"})
    assert (first.status, first.interrupted) == ("success", True)
    assert questions(first) == [{"q": "first"}]
    second = await bench.run(None, command={"resume": "A"})
    assert questions(second) == [{"q": "second", "x": "A"}]
    last = await bench.run(None, command={"resume": "B"})
    assert (last.interrupted, asked(last)) == (False, {})
    assert bench.values["answers"] == ["pre", "A", "B", "post"]


async def test_a_remote_graph_whose_parent_goes_on_goes_on_too():
    bench = Bench(ASK)
    config = {"configurable": {"__pregel_resuming": True}}
    first = ids(await bench.run({"q": "?"}, config=config))
    assert ids(await bench.run({"q": "again"}, config=config)) == first
    assert bench.values["q"] == "?"


async def test_an_interrupt_has_a_hex_id_that_stays():
    bench = Bench(ASK)
    first = ids(await bench.run({"q": "?"}))
    again = ids(await bench.run(None))
    assert first == again
    assert len(first[0]) == 32
    int(first[0], 16)


def _ask(name: str) -> Any:
    return lambda state, ctx: {"answers": [f"{name}={ctx.interrupt(name)}"]}


PARALLEL = plan(
    node("a", _ask("a")),
    node("b", _ask("b")),
    node("c", update(answers=["c"])),
    entry=("a", "b", "c"),
    channels=channels(answers=operator.add),
)


async def test_parallel_questions_are_answered_by_id_in_any_order():
    bench = Bench(PARALLEL)
    first = await bench.run({})
    a, b = ids(first)
    second = await bench.run(None, command={"resume": {b: "B"}})
    assert ids(second) == [a]
    await bench.run(None, command={"resume": {a: "A"}})
    assert bench.values["answers"] == ["a=A", "b=B", "c"]


async def test_parallel_questions_refuse_an_answer_without_an_id():
    bench = Bench(PARALLEL)
    await bench.run({})
    outcome = await bench.run(None, command={"resume": "A"})
    assert outcome.status == "error"
    assert b"you must specify the interrupt id" in (outcome.error or b"")


async def test_the_state_shown_with_the_last_question_has_what_siblings_wrote():
    bench = Bench(PARALLEL)
    await bench.run({}, stream_mode=["values"])
    assert bench.frames("values")[-1][1] == {"answers": ["c"]}


async def test_a_question_in_a_subgraph_resumes_in_the_middle_of_it():
    bench = Bench(SUB_ASK)
    outcome = await bench.run({"topic": "t"})
    assert questions(outcome) == ["sub?"]
    before = len(bench.items)
    await bench.run(None, command={"resume": "R"})
    assert bench.values["notes"] == ["after"]
    ran = [i for i in bench.items[before:] if getattr(i, "result", None) is not None]
    shown = [serialize.decode(item.result) for item in ran]
    assert {"notes": ["s1:t!"]} not in shown


async def test_an_interrupt_passes_through_a_broad_except():
    def careless(state: Any, ctx: Any) -> Any:
        try:
            return {"answer": ctx.interrupt("really?")}
        except Exception:  # noqa: BLE001 - what users write
            return {"answer": "swallowed"}

    outcome = await Bench(plan(node("a", careless))).run({})
    assert questions(outcome) == ["really?"]


async def test_questions_of_a_task_group_are_asked_together():
    async def both(state: Any, ctx: Any) -> Any:
        async def ask(name: str) -> Any:
            return ctx.interrupt(name)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(name)) for name in "ab"]
        return {"answers": [task.result() for task in tasks]}

    bench = Bench(plan(node("n", both), channels=channels(answers=operator.add)))
    first = await bench.run({})
    a, b = ids(first)
    assert questions(first) == ["a", "b"]
    await bench.run(None, command={"resume": {a: "A", b: "B"}})
    assert bench.values["answers"] == ["A", "B"]


async def test_a_human_node_asks_before_its_body_runs():
    ran: list[Any] = []

    async def call(state: Any, injected: Any) -> Any:
        ran.append(injected["decision"])
        return {"approved": injected["decision"]["approve"]}

    human = Node(
        "refund", "human", call, wants=("decision",), prompt=lambda s: f"Refund {s['order']}?"
    )
    bench = Bench(plan(human))
    outcome = await bench.run({"order": 7})
    assert questions(outcome) == [{"node": "refund", "prompt": "Refund 7?"}]
    assert not ran
    await bench.run(None, command={"resume": {"approve": True}})
    assert bench.values == {"order": 7, "approved": True}


@pytest.mark.parametrize("nodes", [["ask"], "*"])
async def test_breakpoints_stop_once_and_have_no_questions(nodes: Any):
    bench = Bench(PLAIN)
    outcome = await bench.run({}, interrupt_before=nodes, stream_mode=["updates"])
    assert (outcome.interrupted, asked(outcome)) == (True, {})
    assert bench.frames("updates")[-1][1] == {"__interrupt__": []}
    steps = [await bench.run(None, interrupt_before=nodes) for _ in range(3)]
    assert not steps[-1].interrupted
    assert bench.values["log"] == ["pre", "ask", "post"]


PLAIN = plan(
    node("pre", update(log=["pre"])),
    node("ask", update(log=["ask"])),
    node("post", update(log=["post"])),
    edges="pre>ask ask>post",
    channels=channels(log=operator.add),
)


async def test_a_breakpoint_after_a_node_stops_with_its_update_recorded():
    bench = Bench(PLAIN)
    outcome = await bench.run({}, interrupt_after=["pre"])
    assert outcome.interrupted
    assert bench.values["log"] == ["pre"]
    await bench.run(None, interrupt_after=["pre"])
    assert bench.values["log"] == ["pre", "ask", "post"]


async def test_new_input_drops_an_open_question():
    bench = Bench(ASK)
    await bench.run({"q": "1"})
    outcome = await bench.run({"q": "2"})
    assert questions(outcome) == [{"q": "first"}]
    assert bench.values["answers"] == ["pre", "pre"]


def test_an_interrupt_is_no_exception():
    assert not issubclass(GraphInterrupt, Exception)
    assert NodeTask("", "n", ("", "n"), (), "").interrupts == ()
