"""Answers that come too late, or twice: judged by what waited when they were asked for."""

import operator

import msgspec

from tests.unit.plans import ASK, SUB_ASK, Bench, channels, node, plan


def asked(outcome):
    """`{task_id: [interrupt_id]}`, as the plane tells the run that answers."""
    by_task = msgspec.json.decode(outcome.interrupts)
    return {task: [each["id"] for each in some] for task, some in by_task.items()}


async def test_a_second_answer_is_refused_and_records_nothing():
    bench = Bench(ASK)
    waited = asked(await bench.run({"q": "?"}))
    second = asked(await bench.run(None, command={"resume": "A"}, resumes=waited))
    before = len(bench.items)
    late = await bench.run(None, command={"resume": "B"}, resumes=waited)
    assert (late.status, late.refused) == ("error", True)
    assert b"UnknownInterruptError" in (late.error or b"")
    assert {type(item).__name__ for item in bench.items[before:]} <= {"Frame"}
    last = await bench.run(None, command={"resume": "B"}, resumes=second)
    assert (last.status, last.interrupted) == ("success", False)
    assert bench.values["answers"] == ["pre", "A", "B", "post"]


async def test_a_run_taken_over_is_not_refused_for_its_own_answer():
    bench = Bench(ASK)
    waited = asked(await bench.run({"q": "?"}))
    run_id = "00000000-0000-7000-8000-0000000000cc"
    again = {"command": {"resume": "A"}, "resumes": waited, "run_id": run_id}
    first = await bench.run(None, **again)
    second = await bench.run(None, **again, attempt=2)
    assert first.interrupts == second.interrupts
    assert second.status == "success"


async def test_an_interrupt_of_a_subgraph_is_answered_once():
    bench = Bench(SUB_ASK)
    waited = asked(await bench.run({"topic": "t"}))
    assert waited
    assert (await bench.run(None, command={"resume": "A"}, resumes=waited)).status == "success"
    assert (await bench.run(None, command={"resume": "B"}, resumes=waited)).refused


def _picky(state, ctx):
    if ctx.interrupt("?") == "bad":
        raise ValueError("not that")
    return {"answers": ["good"]}


PICKY = plan(node("picky", _picky), entry=("picky",), channels=channels(answers=operator.add))


async def test_a_node_that_failed_of_its_answer_still_asks():
    bench = Bench(PICKY)
    waited = asked(await bench.run({}))
    for _ in range(2):
        bad = await bench.run(None, command={"resume": "bad"}, resumes=waited)
        assert (bad.status, bad.refused) == ("error", False)
