"""`ctx.sleep` and `ctx.wait_for`: what a run tells it waits for, and how it goes on."""

import asyncio
import contextlib
import operator
import queue
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from duragraph.errors import Conflict
from duragraph.event_names import EventName
from duragraph.protocol import EVENT_MODE, Effect, Outcome
from duragraph.waiting import TIMED_OUT, Wait
from duragraph_worker import Graph, node
from duragraph_worker.command import Command
from duragraph_worker.executor.body import Body
from duragraph_worker.local.runs import Local
from duragraph_worker.messages import AIMessage, AIMessageChunk
from duragraph_worker.plan import Channel, Join, Node
from duragraph_worker.state import add_messages
from tests.unit.plans import Bench, channels, plan, update
from tests.unit.plans import node as bare

IN_TIME = 5


def bench(*bodies: Callable[..., Any], **options: Any) -> Bench:
    """Nodes in parallel, named n0, n1…, that write to `log`."""
    first = bare("first", update())
    nodes = [bare(f"n{at}", body, **options) for at, body in enumerate(bodies)]
    edges = " ".join(f"first>{each.name}" for each in nodes)
    return Bench(plan(first, *nodes, edges=edges, channels=channels(log=operator.add)))


def told(outcome: Outcome) -> list[tuple[str, float | None, str | None]]:
    assert outcome.status == "waiting", outcome
    return [(w.kind, w.seconds and round(w.seconds), w.name) for w in outcome.waits]


async def wake(bench: Bench, *over: Wait, result: Any = None, **kwargs: Any) -> Outcome:
    """Go on as the plane has it, once some waits are over."""
    for wait in over:
        bench.record.add(Effect(wait.checkpoint_id, wait.key, msgspec.json.encode(result)))
    return await bench.run({}, run_id=RUN, resuming=True, **kwargs)


RUN = "00000000-0000-7000-8000-000000000001"


async def test_a_run_tells_what_it_waits_for_and_goes_on_where_that_is_over():
    began: list[str] = []

    async def body(state: Any, ctx: Any) -> Any:
        began.append("body")
        await ctx.sleep(seconds=1, minutes=1, hours=1, days=1)
        said = await ctx.wait_for("approved", timeout=60)
        return {"log": [said]}

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    assert told(first) == [("sleep", 90061, None)]
    second = await wake(graph, *first.waits)
    assert told(second) == [("signal", 60, "approved")]
    assert (await wake(graph, *second.waits, result="yes")).status == "success"
    assert (graph.values["log"], len(began)) == (["yes"], 3)


async def test_a_wait_has_the_same_key_at_every_execution():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.sleep(1)
        await ctx.sleep(2)

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    again = await wake(graph)
    assert again.waits[0].key == first.waits[0].key
    assert (await wake(graph, *first.waits)).waits[0].key != first.waits[0].key


async def test_seconds_count_from_when_the_body_began_to_wait():
    release = asyncio.Event()

    async def sleeps(state: Any, ctx: Any) -> Any:
        await ctx.sleep(60)

    async def works(state: Any, ctx: Any) -> Any:
        await release.wait()

    graph = bench(sleeps, works)
    asyncio.get_running_loop().call_later(0.2, release.set)
    (wait,) = (await graph.run({}, run_id=RUN)).waits
    assert wait.seconds is not None
    assert 59 < wait.seconds <= 59.9


async def test_what_is_over_is_not_waited_for_beside_what_is_not():
    async def body(state: Any, ctx: Any) -> Any:
        return {"log": await asyncio.gather(ctx.wait_for("a"), ctx.wait_for("b"))}

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    assert told(first) == [("signal", None, "a"), ("signal", None, "b")]
    second = await wake(graph, first.waits[1], result="B")
    assert told(second) == [("signal", None, "a")]
    await wake(graph, *second.waits, result="A")
    assert graph.values["log"] == ["A", "B"]


@pytest.mark.parametrize("how", ["gather", "exceptions", "group", "wait"])
async def test_waits_beside_each_other_are_told_together(how: str):
    async def body(state: Any, ctx: Any) -> Any:
        waits = [ctx.sleep(1), ctx.sleep(2)]
        match how:
            case "gather":
                await asyncio.gather(*waits)
            case "exceptions":
                await asyncio.gather(*waits, return_exceptions=True)
            case "group":
                async with asyncio.TaskGroup() as group:
                    for each in waits:
                        group.create_task(each)
            case "wait":
                await asyncio.wait(map(asyncio.ensure_future, waits))
        return {"log": ["done"]}

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    assert told(first) == [("sleep", 1, None), ("sleep", 2, None)]
    await wake(graph, *first.waits)
    assert graph.values["log"] == ["done"]


async def test_the_first_of_several_is_enough_where_the_body_says_so():
    async def body(state: Any, ctx: Any) -> Any:
        waits = [asyncio.ensure_future(ctx.wait_for(name)) for name in "ab"]
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return {"log": [each.result() for each in done]}

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    assert (await wake(graph, first.waits[1], result="B")).status == "success"
    assert graph.values["log"] == ["B"]


async def test_an_effect_at_work_is_finished_before_the_body_is_let_go():
    ran: list[str] = []

    async def pay(key: str) -> str:
        await asyncio.sleep(0.05)
        ran.append(key)
        return key

    async def body(state: Any, ctx: Any) -> Any:
        async def pays() -> None:
            for name in "abc":
                await ctx.effect(name, pay)

        await asyncio.gather(ctx.sleep(1), pays())

    graph = bench(body)
    first = await graph.run({}, run_id=RUN)
    await wake(graph, *first.waits)
    assert len(ran) == 3


async def test_siblings_finish_first_and_do_not_run_again():
    ran: list[str] = []

    async def sleeps(state: Any, ctx: Any) -> Any:
        await ctx.sleep(1)
        return {"log": ["slept"]}

    async def works(state: Any, ctx: Any) -> Any:
        await asyncio.sleep(0.05)
        ran.append("works")
        return {"log": ["worked"]}

    graph = bench(sleeps, works)
    first = await graph.run({}, run_id=RUN)
    await wake(graph, *first.waits)
    assert (graph.values["log"], ran) == (["slept", "worked"], ["works"])


async def test_a_subgraphs_node_waits_and_goes_on():
    async def body(state: Any, ctx: Any) -> Any:
        return {"log": [await ctx.wait_for("go")]}

    child = plan(bare("s1", update(log=["s1"])), bare("s2", body), edges="s1>s2",
                 channels=channels(log=operator.add))  # fmt: skip
    sub = Node("sub", "subgraph", bare("sub", update()).call, subgraph=child)
    graph = Bench(plan(sub, bare("after", update(log=["after"])), edges="sub>after",
                       channels=channels(log=operator.add)))  # fmt: skip
    first = await graph.run({"log": ["0"]}, run_id=RUN)
    await wake(graph, *first.waits, result="go!")
    assert graph.values["log"][-2:] == ["go!", "after"]
    assert graph.values["log"].count("s1") == 1


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_durability_records_where_a_run_waits(durability: str):
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.emit("napping")
        await ctx.sleep(1)
        return {"log": ["slept"]}

    options = {"durability": durability, "stream_mode": "custom"}
    graph = bench(body, update(log=["beside"]))
    first = await graph.run({}, run_id=RUN, **options)
    await wake(graph, *first.waits, **options)
    assert graph.values["log"] == ["slept", "beside"]
    assert graph.frames() == [("custom", "napping")]


@pytest.mark.parametrize("name", ["", "x" * 256, 5, None])
async def test_a_name_that_no_signal_can_have_is_told(name):
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.wait_for(name)

    outcome = await bench(body).run({})
    assert b"no signal is named" in (outcome.error or b"")


async def test_a_signal_that_does_not_come_is_a_timeout_each_time():
    seen: list[str] = []

    async def body(state: Any, ctx: Any) -> Any:
        try:
            await ctx.wait_for("never", timeout=1)
        except TimeoutError as error:
            seen.append(str(error))
        await ctx.sleep(1)

    graph = bench(body)
    (wait,) = (await graph.run({}, run_id=RUN)).waits
    graph.record.add(Effect(wait.checkpoint_id, wait.key + TIMED_OUT, b"null"))
    slept = await wake(graph)
    await wake(graph, *slept.waits)
    assert seen == ["No signal 'never' came in time"] * 2


async def test_a_question_ends_the_run_and_what_waits_waits_again_in_the_next():
    async def sleeps(state: Any, ctx: Any) -> Any:
        await ctx.sleep(1)
        return {"log": ["slept"]}

    def asks(state: Any, ctx: Any) -> Any:
        return {"log": [ctx.interrupt("well?")]}

    graph = bench(sleeps, asks)
    asked = await graph.run({}, run_id=RUN)
    assert (asked.status, asked.interrupted) == ("success", True)
    answered = await graph.run(None, command={"resume": "yes"})
    assert told(answered) == [("sleep", 1, None)]


async def test_an_answer_is_kept_while_its_body_waits():
    async def body(state: Any, ctx: Any) -> Any:
        first = ctx.interrupt("one?")
        second = ctx.interrupt("two?")
        await ctx.sleep(1)
        return {"log": [first, second]}

    graph = bench(body)
    await graph.run({}, run_id="r0")
    await graph.run(None, command={"resume": 1}, run_id="r1")
    slept = await graph.run(None, command={"resume": 2}, run_id=RUN)
    for wait in slept.waits:
        graph.record.add(Effect(wait.checkpoint_id, wait.key, b"null"))
    await graph.run(None, command={"resume": 2}, run_id=RUN)
    assert graph.values["log"] == [1, 2]


async def test_except_exception_does_not_swallow_a_wait():
    async def body(state: Any, ctx: Any) -> Any:
        try:
            await ctx.sleep(1)
        except Exception:  # noqa: BLE001 - the point
            return {"log": ["swallowed"]}

    assert (await bench(body).run({}, run_id=RUN)).status == "waiting"


async def test_a_cancel_from_outside_is_none_of_a_wait():
    begun = asyncio.Event()

    async def body(state: Any, ctx: Any) -> Any:
        begun.set()
        await asyncio.gather(ctx.sleep(1), ctx.effect("long", lambda: asyncio.sleep(60)))

    graph = bench(body)
    running = asyncio.create_task(graph.run({}, run_id=RUN))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_cancel_that_comes_as_the_run_lets_go_of_a_body_is_heeded():
    async def waiting() -> Any:
        body = Body({})
        try:
            await body.suspend(Wait("c", "k", "sleep", seconds=1))
        except asyncio.CancelledError:
            return body.suspended()

    job = asyncio.create_task(waiting())
    while not job.cancelling():  # noqa: ASYNC110 - a cancel sets no event
        await asyncio.sleep(0)
    job.cancel()
    assert await job is None


async def test_a_body_that_minds_no_cancel_goes_on_and_leaves_none_behind():
    async def body(state: Any, ctx: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await ctx.sleep(1)
        return {"log": ["on"]}

    async def after(state: Any, ctx: Any) -> Any:
        task = asyncio.current_task()
        return {"log": [task.cancelling() if task else None]}

    nodes = bare("n", body), bare("after", after)
    graph = Bench(plan(*nodes, edges="n>after", channels=channels(log=operator.add)))
    await graph.run({}, run_id=RUN)
    assert graph.values["log"] == ["on", 0]


async def test_a_body_that_minds_no_cancel_and_waits_again_waits_for_both():
    async def body(state: Any, ctx: Any) -> Any:
        with contextlib.suppress(asyncio.CancelledError):
            await ctx.sleep(1)
        await ctx.sleep(2)

    async with asyncio.timeout(IN_TIME):
        outcome = await bench(body).run({}, run_id=RUN)
    assert told(outcome) == [("sleep", 1, None), ("sleep", 2, None)]


async def test_a_sync_body_waits_too():
    ended: queue.Queue[str] = queue.Queue()

    def body(state: Any, ctx: Any) -> Any:
        try:
            ctx.sleep.sync(days=1)
            return {"log": [ctx.wait_for.sync("go")]}
        finally:
            ended.put("thread")

    async def in_thread(state: Any, ctx: Any) -> Any:
        return await asyncio.to_thread(body, state, ctx)

    graph = bench(in_thread)
    async with asyncio.timeout(IN_TIME):
        first = await graph.run({}, run_id=RUN)
        second = await wake(graph, *first.waits)
        await wake(graph, *second.waits, result="went")
        for _ in range(3):
            await asyncio.to_thread(ended.get)
    assert graph.values["log"] == ["went"]


async def test_a_sync_twin_in_an_async_body_is_refused():
    async def body(state: Any, ctx: Any) -> Any:
        ctx.sleep.sync(1)

    async with asyncio.timeout(IN_TIME):
        outcome = await bench(body).run({}, run_id=RUN)
    assert b"await it here" in (outcome.error or b"")


async def test_a_nodes_timeout_does_not_count_what_it_waits():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.sleep(3600)
        return {"log": ["slept"]}

    graph = bench(body, timeout=0.5)
    first = await graph.run({}, run_id=RUN)
    assert (await wake(graph, *first.waits)).status == "success"


async def test_an_effect_does_not_wait():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("outer", lambda: ctx.sleep(1))

    async with asyncio.timeout(IN_TIME):
        outcome = await bench(body).run({}, run_id=RUN)
    assert b"effect 'outer' would wait" in (outcome.error or b"")


@pytest.mark.parametrize("seconds", [-1, float("nan"), 1e12])
async def test_a_length_that_is_none_is_refused(seconds: float):
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.sleep(seconds)

    outcome = await bench(body).run({}, run_id=RUN)
    assert b"a run waits 0 seconds to" in (outcome.error or b"")


async def test_one_name_twice_is_an_error():
    async def body(state: Any, ctx: Any) -> Any:
        await asyncio.gather(ctx.sleep(1, name="nap"), ctx.sleep(1, name="nap"))

    assert b"sleep 'nap' ran already" in ((await bench(body).run({}, run_id=RUN)).error or b"")


async def test_nothing_is_shown_twice_when_a_body_runs_again():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.emit("before")
        await ctx.emit("before")
        await ctx.sleep(1)
        await ctx.emit("after")
        return {"log": ["x"]}

    modes = ["values", "updates", "custom", "tasks", "events", "debug", "checkpoints"]
    graph = bench(body, update(log=["y"]))
    first = await graph.run({"log": ["0"]}, run_id=RUN, stream_mode=modes)
    await wake(graph, *first.waits, stream_mode=modes)
    assert [data for _, data in graph.frames("custom")] == ["before", "before", "after"]
    assert [data for _, data in graph.frames("updates")] == [
        {"first": None}, {"n1": {"log": ["y"]}}, {"n0": {"log": ["x"]}}
    ]  # fmt: skip
    assert [data["log"] for _, data in graph.frames("values")] == [["0"], ["0", "x", "y"]]
    starts = [d["name"] for _, d in graph.frames("events") if d["event"] == "on_chain_start"]
    assert starts == ["graph", "first", "n0", "n1"]
    begun = [data["name"] for _, data in graph.frames("tasks") if "triggers" in data]
    assert begun == ["first", "n0", "n1"]
    steps = [data["metadata"]["step"] for _, data in graph.frames("checkpoints")]
    assert steps == [-1, 0, 1, 2]


async def test_a_message_that_streamed_before_its_body_waited_does_not_come_again():
    async def body(state: Any, ctx: Any) -> Any:
        async def reply(key: str) -> str:
            ctx.message(AIMessageChunk("hello", id="m", chunk_position="last"))
            return "hello"

        said = await ctx.effect("reply", reply)
        await ctx.sleep(1)
        return {"messages": [AIMessage(said, id="m"), AIMessage("fresh", id="n")]}

    messages = {"messages": Channel("messages", list, add_messages, list)}
    graph = Bench(plan(bare("n", body), channels=messages))
    first = await graph.run({}, run_id=RUN, stream_mode="messages-tuple")
    await wake(graph, *first.waits, stream_mode="messages-tuple")
    assert [data[0]["content"] for _, data in graph.frames("messages")] == ["hello", "fresh"]


async def test_another_run_shows_what_the_one_before_it_has_shown():
    async def sleeps(state: Any, ctx: Any) -> Any:
        await ctx.emit("napping")
        await ctx.sleep(1)

    graph = bench(sleeps, lambda s, ctx: {"log": [ctx.interrupt("well?")]})
    await graph.run({}, run_id="r0", stream_mode="custom")
    await graph.run(None, command={"resume": 1}, run_id="r1", stream_mode="custom")
    assert graph.frames("custom") == [("custom", "napping")] * 2


async def test_followers_of_events_see_no_wait():
    def nesting(*, waits: bool) -> Bench:
        async def body(state: Any, ctx: Any) -> Any:
            await ctx.emit("here")
            if waits:
                await ctx.sleep(1)
            return {"log": ["done"]}

        child = plan(bare("inner", body), channels=channels(log=operator.add))
        sub = Node("sub", "subgraph", bare("sub", update()).call, subgraph=child)
        return Bench(plan(sub, channels=channels(log=operator.add)))

    waiting, straight = nesting(waits=True), nesting(waits=False)
    first = await waiting.run({"log": []}, run_id=RUN, stream_mode=EVENT_MODE)
    await wake(waiting, *first.waits, stream_mode=EVENT_MODE)
    await straight.run({"log": []}, run_id=RUN, stream_mode=EVENT_MODE)
    seen = [EventName.parse(event).method for event, _ in waiting.frames()]
    assert seen == [EventName.parse(event).method for event, _ in straight.frames()]
    assert seen.count("lifecycle") == 2


@pytest.mark.parametrize("limit", [3, 5])
async def test_the_recursion_limit_counts_over_wake_ups(limit: int):
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.sleep(1)
        return Command(update={"log": ["again"]}, goto="n")

    graph = Bench(plan(bare("n", body), channels=channels(log=operator.add)))
    config = {"recursion_limit": limit}
    outcome = await graph.run({"log": []}, run_id=RUN, config=config)
    while outcome.status == "waiting":
        outcome = await wake(graph, *outcome.waits, config=config)
    assert b"GraphRecursionError" in (outcome.error or b"")
    assert len(graph.values["log"]) == limit


# with no server


@Graph(id="patient")
class Patient:
    @node
    async def nap(self, state, ctx):
        await ctx.emit("napping")
        await ctx.sleep(seconds=0.05)
        return {"slept": True}

    @node
    async def ask(self, state, ctx):
        return {"said": await ctx.wait_for("go", timeout=state.get("patience"))}

    nap >> ask


def test_a_local_run_waits():
    result = Patient().run({"patience": 0.05})
    assert result.status == "error"
    assert isinstance(result.error, TimeoutError)
    assert result.output["slept"] is True


async def test_a_local_run_takes_signals_early_and_late():
    app = Patient()
    early = asyncio.create_task(app.arun({}, thread_id="t"))
    await asyncio.sleep(0)
    app.signal("t", "other", 1)
    app.signal("t", "go", {"by": "Ada"})
    assert (await asyncio.wait_for(early, IN_TIME)).output["said"] == {"by": "Ada"}
    parts = app.stream({}, thread_id="u", stream_mode=["custom", "updates"])
    seen = []
    async for part in parts:
        seen.append(part)
        if part == ("updates", {"nap": {"slept": True}}):
            app.signal("u", "go", "late")
    assert seen == [
        ("custom", "napping"),
        ("updates", {"nap": {"slept": True}}),
        ("updates", {"ask": {"said": "late"}}),
    ]


def test_a_thread_with_no_open_run_takes_no_signal():
    with pytest.raises(Conflict, match="no open run"):
        Patient().signal("t", "go")


async def test_a_sleep_on_disk_goes_on_where_it_was_cut(tmp_path):
    @Graph(id="sleeper")
    class Sleeper:
        @node
        async def nap(self, state, ctx):
            await ctx.effect("once", lambda: 1)
            await ctx.sleep(1.5)
            return {"slept": True}

    loop = asyncio.get_running_loop()
    began = loop.time()
    cut = asyncio.create_task(Sleeper(threads=tmp_path).arun({}, thread_id="t"))
    done, _ = await asyncio.wait([cut], timeout=1)
    assert not done
    cut.cancel()
    result = await Sleeper(threads=tmp_path).arun(None, thread_id="t")
    assert result.output["slept"] is True
    assert loop.time() - began < 2.2


def test_a_join_waits_for_who_sleeps():
    first, quick = bare("first", update()), bare("quick", update(log=["quick"]))

    async def nap(state: Any, ctx: Any) -> Any:
        await ctx.sleep(0.02)
        return {"log": ["slept"]}

    graph = plan(
        first, bare("nap", nap), quick, bare("last", update(log=["last"])),
        edges="first>nap first>quick", joins=(Join(("nap", "quick"), "last"),),
        channels=channels(log=operator.add),
    )  # fmt: skip
    assert Local(graph).run({}).output["log"] == ["slept", "quick", "last"]
