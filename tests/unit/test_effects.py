"""`ctx`: effects, emitted values, and what is the same on every execution."""

import asyncio
import operator
import sys
import time
from typing import Any

import attrs
import msgspec
import pytest

from duragraph.protocol import Effect
from duragraph_worker.command import Send
from duragraph_worker.plan import Retry
from tests.unit.plans import Bench, channels, node, plan


def told(error: bytes | None) -> dict[str, Any]:
    return msgspec.json.decode(error or b"null")


async def test_an_effect_is_kept_over_the_tries_of_its_node():
    ran: list[str] = []

    async def body(state: Any, ctx: Any) -> Any:
        number = await ctx.effect("count", lambda key: ran.append(key) or len(ran))
        if ctx.attempt == 1:
            raise OSError("after the effect")
        return {"log": [number]}

    retry = Retry(times=1, first=0)
    bench = Bench(plan(node("n", body, retry=retry), channels=channels(log=operator.add)))
    await bench.run({})
    assert (len(ran), bench.values["log"]) == (1, [1])


async def test_an_effect_is_kept_while_a_person_is_asked():
    ran: list[str] = []

    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("mail", ran.append)
        return {"log": [ctx.interrupt("ok?")]}

    bench = Bench(plan(node("n", body), channels=channels(log=operator.add)))
    await bench.run({})
    await bench.run(None, command={"resume": "yes"})
    assert (len(ran), bench.values["log"]) == (1, ["yes"])


async def test_what_is_built_in_takes_no_key():
    async def body(state: Any, ctx: Any) -> Any:
        return {"log": [await ctx.effect("clock", time.time)]}

    bench = Bench(plan(node("n", body), channels=channels(log=operator.add)))
    await bench.run({})
    assert bench.values["log"][0] > 0


async def test_one_name_twice_in_a_body_is_an_error():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("pay", lambda: 1)
        await ctx.effect("pay", lambda: 2)

    error = told((await Bench(plan(node("n", body))).run({})).error)
    assert error["error"] == "ValueError"
    assert "'pay'" in error["message"]
    assert "'n'" in error["message"]


async def test_sends_have_keys_of_their_own():
    async def pay(state: Any, ctx: Any) -> Any:
        return {"keys": [await ctx.effect("pay", lambda key: key)]}

    bench = Bench(
        plan(
            node("a", lambda s, ctx: [Send("pay", {}), Send("pay", {})]),
            node("pay", pay),
            channels=channels(keys=operator.add),
        )
    )
    await bench.run({})
    assert len(set(bench.values["keys"])) == 2


async def test_an_effect_begins_once_its_checkpoint_is_recorded_and_returns_once_it_is():
    order: list[str] = []

    class Slow(Bench):
        async def settled(self) -> None:
            order.append("settled")

    async def fn(key: str) -> str:
        order.append("fn")
        return key

    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("pay", fn)
        order.append("returned")

    await Slow(plan(node("n", body))).run({})
    assert order[:4] == ["settled", "fn", "settled", "returned"]


async def test_an_effects_exception_is_not_recorded():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("pay", lambda: 1 / 0)

    bench = Bench(plan(node("n", body)))
    await bench.run({})
    assert not [item for item in bench.items if isinstance(item, Effect)]


async def test_a_result_that_is_no_json_is_refused_naming_its_type():
    async def body(state: Any, ctx: Any) -> Any:
        await ctx.effect("pay", object)

    error = told((await Bench(plan(node("n", body))).run({})).error)
    assert error["error"] == "TypeError"
    assert "object can't be written as JSON" in error["message"]


async def test_a_sync_body_has_sync_twins():
    def body(state: Any, ctx: Any) -> Any:
        ctx.emit.sync({"half": 1})
        return {"log": [ctx.effect.sync("one", lambda: 1)]}

    async def in_thread(state: Any, ctx: Any) -> Any:
        return await asyncio.to_thread(body, state, ctx)

    bench = Bench(plan(node("n", in_thread), channels=channels(log=operator.add)))
    await asyncio.wait_for(bench.run({}, stream_mode=["custom"]), 5)
    assert bench.frames() == [("custom", {"half": 1})]
    assert bench.values["log"] == [1]


@pytest.mark.parametrize("what", ["now", "random", "uuid"])
async def test_what_a_body_takes_for_chance_is_the_same_every_time(what: str):
    seen: list[Any] = []
    read = {
        "now": lambda ctx: ctx.now(),
        "random": lambda ctx: ctx.random.random(),
        "uuid": lambda ctx: ctx.uuid(),
    }[what]

    def body(state: Any, ctx: Any) -> Any:
        seen.append([read(ctx), read(ctx)])
        ctx.interrupt("again")

    bench = Bench(plan(node("n", body)))
    await bench.run({})
    await bench.run(None, attempt=2)
    assert seen[0] == seen[1]
    assert (seen[0][0] == seen[0][1]) is (what == "now")


async def test_each_part_of_a_body_draws_chance_of_its_own():
    seen: list[Any] = []

    def body(state: Any, ctx: Any) -> Any:
        seen.append([ctx.uuid(), ctx.within("a").uuid(), ctx.within("b").uuid()])
        ctx.interrupt("again")

    bench = Bench(plan(node("n", body)))
    await bench.run({})
    await bench.run(None, attempt=2)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


async def test_message_ids_differ_between_tries_attempts_and_runs():
    seen: list[str] = []

    def body(state: Any, ctx: Any) -> Any:
        seen.extend([ctx.message_id(0), ctx.message_id(1)])
        assert ctx.message_id(0) == seen[-2]
        if len(seen) == 2:
            raise OSError("once")
        ctx.interrupt("again")

    bench = Bench(plan(node("n", body, retry=Retry(times=1, first=0))))
    await bench.run({}, run_id="r0")
    await bench.run(None, run_id="r1")
    await bench.run(None, run_id="r1", attempt=2)
    assert len(set(seen)) == len(seen) == 8


async def test_a_node_knows_where_it_runs():
    def body(state: Any, ctx: Any) -> Any:
        return {"seen": [ctx.run_id, ctx.thread_id, ctx.node, ctx.context, ctx.attempt]}

    bench = Bench(plan(node("n", body)))
    await bench.run({}, run_id="r", context={"user": 1}, attempt=3)
    task = bench.task()
    assert bench.values["seen"] == ["r", task.thread_id, "n", {"user": 1}, 3]


async def test_a_context_that_does_not_fit_is_the_runs_error():
    @attrs.frozen
    class Wanted:
        user: int

    graph = plan(node("n", lambda s, ctx: {"seen": ctx.context}), context_type=Wanted)
    bench = Bench(graph)
    await bench.run({}, context={"user": 1})
    assert bench.values["seen"] == {"user": 1}
    error = told((await Bench(graph).run({}, context={"user": "x"})).error)
    assert error["error"] == "ValueError"
    assert "context" in error["message"]


async def exits() -> None:
    sys.exit(3)


@pytest.mark.parametrize("leave", [lambda: sys.exit(3), exits], ids=["sync", "async"])
async def test_an_effect_that_ends_the_process_fails_its_node_alone(leave):
    async def body(state: Any, ctx: Any) -> Any:
        await asyncio.gather(ctx.effect("leave", leave))

    outcome = await Bench(plan(node("n", body))).run({})
    assert told(outcome.error) == {
        "error": "RuntimeError",
        "message": "effect 'leave' called sys.exit(3)",
    }
