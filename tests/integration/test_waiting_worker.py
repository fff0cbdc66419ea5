"""Runs that sleep, wait for signals and have child runs, on workers of our own and a real plane."""

import asyncio
from typing import Any, TypedDict

import pytest

from duragraph_worker import Graph, entrypoint, node
from duragraph_worker.errors import ChildRunError
from tests.agents import Boss, Desk, Researcher, calls, cast
from tests.crash.evidence import audit
from tests.integration.talking import serving

pytestmark = pytest.mark.timeout(60)
IN_TIME = 15


@Graph(id="patient")
class Patient:
    """Naps, waits for a word, and tells of it."""

    @entrypoint
    @node
    async def nap(self, state, ctx):
        await ctx.emit("napping")
        await ctx.sleep(seconds=state.get("seconds", 0.05))
        await ctx.emit("awake")
        return {"slept": True}

    @node
    async def ask(self, state, ctx):
        return {"said": await ctx.wait_for("go", timeout=state.get("patience"))}

    nap >> ask


class Numbers(TypedDict, total=False):
    n: int
    twice: int


class Twice(TypedDict):
    twice: int


@Graph(id="double", state=Numbers, output=Twice)
class Double:
    @node
    async def compute(self, state, ctx):
        if state["n"] < 0:
            raise ValueError("no negative numbers")
        await ctx.sleep(seconds=0.01)
        return {"twice": 2 * state["n"]}


@Graph(id="family")
class Family:
    @entrypoint
    @node
    async def ask(self, state, ctx):
        targets = ["double", Double]
        runs = [ctx.run(targets[i % 2], {"n": n}) for i, n in enumerate(state["numbers"])]
        try:
            return {"out": await asyncio.gather(*runs)}
        except ChildRunError as error:
            return {"told": error.error}


@Graph(id="asks-first")
class AsksFirst:
    """Waits in a run that answers a question, and so records no checkpoint of its own before."""

    @entrypoint
    @node
    async def ask(self, state, ctx):
        answer = ctx.interrupt("well?")
        await ctx.emit(f"heard {answer}")
        await ctx.sleep(seconds=0.05)
        return {"answer": answer}


@Graph(id="guardian")
class Guardian:
    """Its child sleeps for ever."""

    @entrypoint
    @node
    async def ask(self, state, ctx):
        await ctx.run("patient", {"seconds": 3600})


@pytest.fixture
async def served(plane):
    async with serving(plane, Patient, Double, Family, AsksFirst, Guardian):
        yield plane


async def thread(plane) -> str:
    return f"/threads/{(await plane.post('/threads', {})).json['thread_id']}"


async def start(plane, graph: str, **fields: Any) -> tuple[str, str]:
    """The thread's and the run's path."""
    path = await thread(plane)
    run = await plane.post(f"{path}/runs", {"assistant_id": graph, **fields})
    assert run.status == 200, run.body
    return path, f"{path}/runs/{run.json['run_id']}"


async def streamed(plane, run: str) -> list[tuple[str, bytes]]:
    """All frames of the run, to its end."""
    async with asyncio.timeout(IN_TIME):
        body = (await plane.get(f"{run}/stream", headers={"last-event-id": "-1"})).body
    fields = [
        dict(line.split(b": ", 1) for line in frame.splitlines() if b": " in line)
        for frame in body.replace(b"\r\n", b"\n").split(b"\n\n")
    ]
    return [(each[b"event"].decode(), each[b"data"]) for each in fields if b"event" in each]


async def until(plane, path: str, holds) -> Any:
    async with asyncio.timeout(IN_TIME):
        while not holds(found := (await plane.get(path)).json):
            pass
    return found


async def test_a_run_sleeps_and_waits_for_a_word_holding_no_slot(served, database_url):
    modes = {"stream_mode": ["updates", "custom"]}
    waiting = [await start(served, "patient", input={"seconds": 0.05}, **modes) for _ in range(8)]
    # Four slots serve them all, since who waits holds none.
    for path, run in waiting:
        await until(served, f"{path}/state", lambda state: state["values"].get("slept"))
        assert (await served.get(run)).json["status"] == "running"
        sent = await served.post(f"{path}/signals", {"name": "go", "value": {"by": "Ada"}})
        assert sent.status == 202
    for _, run in waiting:
        assert (await served.get(f"{run}/join")).json["said"] == {"by": "Ada"}
        name, *frames = await streamed(served, run)
        assert name[0] == "metadata"
        assert frames == [
            ("custom", b'"napping"'),
            ("custom", b'"awake"'),
            ("updates", b'{"nap":{"slept":true}}'),
            ("updates", b'{"ask":{"said":{"by":"Ada"}}}'),
        ]
    assert await audit(database_url) == 0


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_word_may_come_before_it_is_waited_for(served, durability):
    given = {"input": {"seconds": 0.3}, "durability": durability}
    path, run = await start(served, "patient", **given)
    await served.post(f"{path}/signals", {"name": "go", "value": 1})
    assert (await served.get(f"{run}/join")).json["said"] == 1


async def test_a_word_that_does_not_come_is_a_timeout(served):
    path, run = await start(served, "patient", input={"patience": 0.1})
    await served.get(f"{run}/join")
    assert (await served.get(run)).json["status"] == "error"
    state = (await served.get(f"{path}/state")).json
    assert "No signal 'go' came in time" in state["tasks"][0]["error"]


async def test_children_run_beside_each_other_and_their_results_are_the_parents(
    served, database_url
):
    _, run = await start(served, "family", input={"numbers": [1, 2, 3, 4, 5, 6]})
    out = (await served.get(f"{run}/join")).json["out"]
    assert out == [{"twice": 2 * n} for n in range(1, 7)]
    assert await audit(database_url) == 0


async def test_a_childs_failure_reaches_the_body(served):
    _, run = await start(served, "family", input={"numbers": [-1]})
    told = (await served.get(f"{run}/join")).json["told"]
    assert told == {"error": "ValueError", "message": "no negative numbers"}


@pytest.mark.parametrize("graph", ["patient", "family", "asks-first"])
async def test_a_graph_does_the_same_with_no_server(served, graph):
    cases: dict[str, tuple[Any, Any]] = {
        "patient": (Patient, {"patience": 0.1}),
        "family": (Family, {"numbers": [3, 4]}),
        "asks-first": (AsksFirst, {}),
    }
    app, given = cases[graph]
    path, run = await start(served, graph, input=given)
    await served.get(f"{run}/join")
    here, there = await app().arun(given), (await served.get(f"{path}/state")).json["values"]
    assert here.output == there


@pytest.mark.parametrize(
    ("graph", "scripts"),
    [
        (Desk, {"triage": [calls(("transfer_to_repairs", {}))], "repairs": ["Send it in."]}),
        (
            Boss,
            {
                "boss": [calls(*[("researcher", {"task": "x"})] * 2), "All done."],
                "researcher": ["found"] * 2,
            },
        ),
    ],
)
async def test_a_team_does_the_same_with_no_server(plane, graph, scripts):
    given = {"messages": [{"role": "user", "content": "My teapot leaks.", "id": "q"}]}
    with cast(**scripts):
        here = await graph().arun(given)
    with cast(**scripts) as played:
        async with serving(plane, Desk, Boss, Researcher):
            path, run = await start(plane, graph.plan.graph_id, input=given)
            await plane.get(f"{run}/join")
        there = (await plane.get(f"{path}/state")).json["values"]
    said = [message["content"] for message in there["messages"]]
    assert said == [message.text for message in here.output["messages"]]
    assert [len(played.asked(name)) for name in scripts] == [len(s) for s in scripts.values()]


async def test_a_run_that_answered_a_question_waits_and_goes_on(served):
    path, asked = await start(served, "asks-first", input={"x": 1})
    await served.get(f"{asked}/join")
    command = {"assistant_id": "asks-first", "command": {"resume": "well"}}
    modes = {"stream_mode": ["values", "updates", "custom"]}
    answered = (await served.post(f"{path}/runs", command | modes)).json["run_id"]
    frames = await streamed(served, f"{path}/runs/{answered}")
    assert [name for name, _ in frames] == ["metadata", "values", "custom", "updates", "values"]
    assert frames[2:4] == [("custom", b'"heard well"'), ("updates", b'{"ask":{"answer":"well"}}')]


async def test_children_end_with_their_parent(served, owner, database_url):
    async def open_runs(status: str) -> int:
        return await owner.fetchval("select count(*) from run where status = $1", status)

    _, run = await start(served, "guardian", input={"x": 1})
    async with asyncio.timeout(IN_TIME):
        while await owner.fetchval("select count(*) from wait where kind = 'sleep'") == 0:
            pass
        assert (await served.post(f"{run}/cancel")).status < 300
        while await open_runs("interrupted") < 2:
            pass
    assert await audit(database_url) == 0
