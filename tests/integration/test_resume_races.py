"""Many answers to one question: one counts, the others say that they came too late."""

import asyncio
import contextlib
import operator
from typing import Annotated, TypedDict

import msgspec
import pytest

from duragraph import ids
from duragraph.protocol import Checkpoint, Outcome, Write
from duragraph_worker import Graph, node
from duragraph_worker.process.worker import Worker
from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(60)

MANY = 50
TOO_LATE = "UnknownInterruptError"


class Said(TypedDict, total=False):
    said: Annotated[list[str], operator.add]


@Graph(id="asks", version="1", state=Said)
class Asks:
    """Whoever answers the first question must not answer the second."""

    @node
    def first(self, state, ctx):
        return {"said": [f"first: {ctx.interrupt('first?')}"]}

    @node
    def second(self, state, ctx):
        return {"said": [f"second: {ctx.interrupt('second?')}"]}

    first >> second


@contextlib.asynccontextmanager
async def working(plane):
    """A worker of the graph; within, runs end."""
    worker = Worker(plane.url, graphs=[Asks()])
    running = asyncio.create_task(worker.arun())
    try:
        async with asyncio.timeout(10):
            while (await plane.get("/assistants/asks/graph")).status != 200:
                pass
        yield
    finally:
        worker.stop()
        async with asyncio.timeout(10):
            await running


@pytest.fixture
async def asked(plane):
    """A thread that waits for its first answer, and nobody who would take it."""
    thread = (await plane.post("/threads", {})).json["thread_id"]
    async with working(plane):
        run = {"assistant_id": "asks", "input": {"said": []}}
        (asks,) = (await plane.post(f"/threads/{thread}/runs/wait", run)).json["__interrupt__"]
    assert asks["value"] == "first?"
    return thread, asks["id"]


def resume(thread, answer, **options):
    return f"/threads/{thread}/runs", {
        "assistant_id": "asks",
        "command": {"resume": answer},
    } | options


async def ends(plane, thread):
    """How the thread's runs ended, oldest first, once none is open."""
    runs = f"/threads/{thread}/runs"
    open_runs = (await plane.get(f"{runs}?limit=1000")).json
    await asyncio.gather(*(plane.get(f"{runs}/{run['run_id']}/join") for run in open_runs))
    found = (await plane.get(f"{runs}?limit=1000")).json
    return [(run["run_id"], run["status"]) for run in reversed(found)][1:]


async def state(plane, thread):
    """What was said, and what is asked now, in the state and on the thread."""
    held = (await plane.get(f"/threads/{thread}/state")).json
    shown = (await plane.get(f"/threads/{thread}")).json
    asks = [i["value"] for i in held["interrupts"]]
    assert [i["value"] for some in shown["interrupts"].values() for i in some] == asks
    return held["values"]["said"], asks, shown["status"]


FORMS = {
    "a value": ("value", {}),
    "by id": ("id", {}),
    "a value, strictly": ("value", {"strict_resume": True}),
    "by id, strictly": ("id", {"strict_resume": True}),
}


@pytest.mark.parametrize(("form", "options"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_one_of_many_answers_counts(plane, asked, strategy, form, options):
    thread, question = asked
    options = options | {"multitask_strategy": strategy}
    requests = []
    for n in range(MANY):
        answer = {question: f"answer {n}"} if form == "id" else f"answer {n}"
        requests.append(plane.post(*resume(thread, answer, **options)))
    answers = await asyncio.gather(*requests)
    made = [a.json["run_id"] for a in answers if a.status == 200]
    assert len(made) == (1 if strategy == "reject" else MANY)
    assert {a.status for a in answers} <= {200, 409}
    async with working(plane):
        ended = await ends(plane, thread)
        (counted,) = [run_id for run_id, status in ended if status == "success"]
        others = {"enqueue": "error", "interrupt": "interrupted"}.get(strategy)
        assert {status for run_id, status in ended if run_id != counted} == {others} - {None}
        n = next(
            n for n, a in enumerate(answers) if a.status == 200 and a.json["run_id"] == counted
        )
        waiting = ([f"first: answer {n}"], ["second?"], "interrupted")
        assert await state(plane, thread) == waiting
        for run_id, status in ended:
            if status == "error":
                told = (await plane.get(f"/threads/{thread}/runs/{run_id}/join")).json
                assert told["__error__"]["error"] == TOO_LATE
        path, body = resume(thread, "yes", strict_resume=True)
        assert (await plane.post(f"{path}/wait", body)).json == {
            "said": [f"first: answer {n}", "second: yes"]
        }
    assert (await state(plane, thread))[2] == "idle"


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
async def test_one_of_many_answers_counts_while_they_are_carried_out(
    start_plane, plane, asked, database_url, strategy
):
    thread, question = asked
    planes = [plane, await start_plane()]
    async with working(plane):
        answers = await asyncio.gather(
            *(
                planes[n % 2].post(
                    *resume(
                        thread,
                        {question: f"answer {n}"},
                        strict_resume=True,
                        multitask_strategy=strategy,
                    )
                )
                for n in range(MANY)
            )
        )
        assert {a.status for a in answers} <= {200, 409}
        ended = await ends(plane, thread)
        said, asks, _ = await state(plane, thread)
        assert len(said) == 1
        assert asks == ["second?"]
        assert len([status for _, status in ended if status == "success"]) <= 1
    await audit(database_url, deletions=True)


async def test_an_answer_to_nothing_is_refused_only_if_asked_for(plane, asked):
    thread, question = asked
    async with working(plane):

        async def answered(answer, **options):
            path, body = resume(thread, answer, **options)
            result = (await plane.post(f"{path}/wait", body)).json
            return result.get("__error__", {}).get("error")

        before = await state(plane, thread)
        unknown = {"0" * 32: "x"}
        assert await answered(unknown, strict_resume=True) == TOO_LATE
        assert await answered({}, strict_resume=True) == TOO_LATE
        assert await state(plane, thread) == before
        assert await answered(unknown) is None
        assert await state(plane, thread) == before
        assert await answered({question: "a"}, strict_resume=True) is None
        assert await answered({question: "b"}, strict_resume=True) == TOO_LATE
        assert await answered({question: "b"}) is None
        assert await state(plane, thread) == (["first: a"], ["second?"], "interrupted")
        assert await answered("c") is None
        for options in ({}, {"strict_resume": True}):
            assert await answered("nothing asks", **options) is None
        assert await state(plane, thread) == (["first: a", "second: c"], [], "idle")


async def test_a_rollback_brings_the_question_back(plane):
    hand = await plane.worker("g")
    path = f"/threads/{ids.new_id()}"
    run = {"assistant_id": "g", "input": {}, "if_not_exists": "create"}
    await plane.post(f"{path}/runs", run)
    task = await hand.task()
    at, asking = ids.checkpoint_id(), ids.new_id()
    asked = [{"id": "a" * 32, "value": "?"}]
    question = msgspec.json.encode(asked)
    tasks = msgspec.json.encode([{"id": asking, "name": "n", "path": ["", "n"]}])
    state = Checkpoint(at, None, "", "loop", 0, "", ["n"], [], {}, tasks=tasks)
    stopped = Outcome(
        "success", interrupted=True, interrupts=b'{"%b":%b}' % (asking.encode(), question)
    )
    waits = Write(at, "", asking, interrupts=question, opaque=b"\x00said")
    await hand.report(task, checkpoints=[state], writes=[waits], outcome=stopped)
    for _ in range(2):
        made = await plane.post(f"{path}/runs", run | {"command": {"resume": 1}})
        task = await hand.task()
        assert [(w.interrupts, w.opaque) for w in task.snapshot.writes] == [(question, b"\x00said")]
        for n in (1, 2):
            answered = Write(at, "", asking, result=b"%d" % n)
            assert (await hand.report(task, batch=n, writes=[answered])).verdict == "accepted"
        assert (await plane.get(f"{path}/state")).json["interrupts"] == []
        cancel = f"{path}/runs/{made.json['run_id']}/cancel?action=rollback"
        assert (await plane.post(cancel)).status == 202
        assert (await plane.get(f"{path}/state")).json["interrupts"] == asked
        shown = (await plane.get(path)).json
        assert (shown["status"], shown["interrupts"]) == ("interrupted", {asking: asked})


async def test_clients_can_see_that_strict_resumes_take_effect(plane):
    assert (await plane.get("/info")).json["flags"]["strict_resume"] is True
