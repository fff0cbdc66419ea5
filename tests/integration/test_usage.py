"""What models took stands on the run that asked them, once, whatever is sent twice."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from duragraph.ids import checkpoint_id, new_id
from duragraph.protocol import Checkpoint, Effect, Outcome
from duragraph.usage import Usage
from duragraph_worker import AIMessage, Cache, Graph, llm_node, node
from duragraph_worker.testing import scripted
from tests.integration.talking import serving

RELEASED = Outcome("released")


def call(model="mini", cost="0.0000315", **fields):
    tokens = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    details = {"input_token_details": {"cache_read": 4}}
    price = None if cost is None else Decimal(cost)
    return Usage(model=model, provider="openai", cost_usd=price, **{**tokens, **details, **fields})


def hit():
    return Usage(model="mini", provider="openai", cached=True, cost_usd=Decimal(0))


@pytest.fixture
async def hand(plane):
    return await plane.worker("g")


@pytest.fixture
async def task(plane, hand):
    await plane.start_run(new_id())
    return await hand.task()


async def of(plane, task):
    run = (await plane.get(f"/threads/{task.thread_id}/runs/{task.run_id}")).json
    return run.get("usage", "none")


async def test_batches_add_up_exactly(plane, hand, task):
    await hand.report(task, usages=[call(), call("big", cost=None)])
    assert (await of(plane, task))["calls"] == 2
    await hand.finish(task, batch=2, usages=[call(cost="0.1"), call(cost="0.2"), hit()])
    mini = {
        "input_tokens": 30,
        "output_tokens": 15,
        "total_tokens": 45,
        "calls": 3,
        "cached_calls": 1,
        "input_token_details": {"cache_read": 12},
        "cost_usd": 0.3000315,
    }
    big = {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "calls": 1,
        "unpriced_calls": 1,
        "input_token_details": {"cache_read": 4},
    }
    assert await of(plane, task) == {
        "input_tokens": 40,
        "output_tokens": 20,
        "total_tokens": 60,
        "calls": 4,
        "cached_calls": 1,
        "unpriced_calls": 1,
        "input_token_details": {"cache_read": 16},
        "cost_usd": 0.3000315,
        "models": {"openai/mini": mini, "openai/big": big},
    }


async def test_a_batch_sent_twice_counts_once(plane, hand, task):
    for _ in range(2):
        assert (await hand.report(task, usages=[call()])).verdict == "accepted"
    for _ in range(2):
        assert (await hand.finish(task, batch=2, usages=[call()])).verdict == "accepted"
    assert (await of(plane, task))["calls"] == 2


async def test_a_takeover_adds_to_what_was_paid_before_it(plane, hand, task):
    await hand.report(task, outcome=RELEASED, usages=[call()])
    again = await hand.task()
    assert again.run_id == task.run_id
    assert (await hand.report(task, batch=2, usages=[call()])).verdict != "accepted"
    await hand.finish(again, usages=[call(failed=True)])
    usage = await of(plane, task)
    assert (usage["calls"], usage["failed_calls"], usage["total_tokens"]) == (2, 1, 30)


async def test_a_run_that_asked_no_model_says_nothing_of_usage(plane, hand, task):
    await hand.finish(task)
    assert await of(plane, task) == "none"
    path = f"/threads/{task.thread_id}/runs"
    assert (await plane.get(f"{path}?select=run_id&select=usage")).json == [{"run_id": task.run_id}]


async def test_a_search_of_runs_shows_it(plane, hand, task):
    await hand.finish(task, usages=[call()])
    path = f"/threads/{task.thread_id}/runs"
    (run,) = (await plane.get(path)).json
    assert run["usage"]["calls"] == 1
    (chosen,) = (await plane.get(f"{path}?select=usage")).json
    assert chosen == {"usage": run["usage"]}


async def test_a_name_that_json_can_hold_and_postgresql_cannot_costs_no_run(plane, hand, task):
    await hand.finish(task, usages=[call("a\0b")])
    assert list((await of(plane, task))["models"]) == ["openai/a\N{REPLACEMENT CHARACTER}b"]


async def test_what_is_no_amount_of_money_fails_its_run_alone(plane, hand, task):
    assert (await hand.finish(task, usages=[call(cost="NaN")])).verdict == "invalid"
    run = (await plane.get(f"/threads/{task.thread_id}/runs/{task.run_id}")).json
    assert run["status"] == "error"


# what is known all through a run


@pytest.fixture
async def count(database_url):
    connection = await asyncpg.connect(database_url)
    yield lambda: connection.fetchval("select count(*) from effect")
    await connection.close()


def begun(task):
    """A first checkpoint, and a memo of the run."""
    at = checkpoint_id(None)
    first = Checkpoint(
        at, None, "", "input", -1, "2026-01-01T00:00:00+00:00", ["n"], [], {},
        metadata=b'{"run_id":"%s"}' % task.run_id.encode(),
    )  # fmt: skip
    return {"checkpoints": [first], "effects": [Effect(task.run_id, "memo", b'"known"')]}


async def test_a_memo_comes_with_its_run_whoever_takes_it_over_and_with_no_other(
    plane, hand, task, count
):
    await hand.report(task, outcome=RELEASED, **begun(task))
    again = await hand.task()
    assert again.effects == [Effect(task.run_id, "memo", b'"known"')]
    await hand.finish(again)
    await plane.start_run(task.thread_id)
    assert (await hand.task()).effects == []
    assert await count() == 1


@pytest.mark.parametrize("end", ["delete", "rollback", "prune"])
async def test_a_memo_goes_with_its_run(plane, hand, task, count, end):
    path = f"/threads/{task.thread_id}/runs/{task.run_id}"
    if end == "rollback":
        await hand.report(task, **begun(task))
        assert (await plane.post(f"{path}/cancel?action=rollback")).status < 300
    elif end == "delete":
        await hand.finish(task, **begun(task))
        assert (await plane.delete(path)).status < 300
    else:
        await hand.finish(task, **begun(task))
        body = {"thread_ids": [task.thread_id], "strategy": "keep_latest"}
        assert (await plane.post("/threads/prune", body)).status < 300
    assert await count() == 0


# with a worker


def reply(text):
    tokens = {"input_tokens": 1000, "output_tokens": 200, "total_tokens": 1200}
    return AIMessage(text, usage_metadata=tokens)


HI = {"messages": [{"role": "user", "content": "hi"}]}


async def ended(plane, graph, thread_id, input=HI):
    body = {"assistant_id": graph, "input": input, "if_not_exists": "create"}
    assert (await plane.post(f"/threads/{thread_id}/runs/wait", body)).status == 200
    (run, *_) = (await plane.get(f"/threads/{thread_id}/runs")).json
    assert run["status"] == "success"
    return run


async def test_a_local_run_tells_what_the_run_s_row_would(plane):
    @Graph(id="g")
    class Chain:
        @llm_node(model=["first/a", "gpt-4o-mini"])
        def one(self, state): ...

        @llm_node(model="gpt-4.1", memo=True)
        def two(self, state): ...

        one >> two

    def script():
        return scripted("openai", [reply("one"), reply("two")])

    with scripted("first", [ConnectionError()] * 2), script():
        local = (await Chain().arun(HI, raise_error=True)).usage
        async with serving(plane, Chain):
            with script():
                row = (await ended(plane, "g", new_id()))["usage"]
    assert row == local
    assert row["cost_usd"] == pytest.approx(0.00027 + 0.0036)


async def test_what_one_worker_has_paid_for_the_next_one_recalls(plane):
    reached, go_on = asyncio.Event(), asyncio.Event()

    @Graph(id="g")
    class Slow:
        @llm_node(memo=True, into="a")
        def one(self, state):
            return "the question"

        @node
        async def pause(self, state):
            reached.set()
            await go_on.wait()

        @llm_node(memo=True, into="b")
        def two(self, state):
            return "the question"

        one >> pause >> two

    thread_id = new_id()
    with scripted("openai", [reply("paid once")]):
        async with serving(plane, Slow):
            run = asyncio.create_task(ended(plane, "g", thread_id))
            await asyncio.wait_for(reached.wait(), 10)
        go_on.set()
        async with serving(plane, Slow):
            usage = (await asyncio.wait_for(run, 20))["usage"]
    assert (usage["calls"], usage["cached_calls"], usage["total_tokens"]) == (1, 1, 1200)
    values = (await plane.get(f"/threads/{thread_id}/state")).json["values"]
    assert values["a"] == values["b"] == "paid once"


async def test_a_stream_shows_each_call_to_those_who_ask_for_usage(plane):
    @Graph(id="g")
    class G:
        @llm_node(model="gpt-4o-mini")
        def ask(self, state): ...

    body = {"assistant_id": "g", "input": HI, "stream_mode": ["usage", "values"]}
    async with serving(plane, G):
        with scripted("openai", [reply("x"), reply("y")]):
            shown = (await plane.post("/runs/stream", body)).body.decode()
            hidden = (await plane.post("/runs/stream", body | {"stream_mode": "values"})).body
    assert shown.count("event: usage\r\n") == 1
    assert '"node":"ask","model":"gpt-4o-mini","provider":"openai"' in shown
    assert b"event: usage" not in hidden


async def test_workers_share_a_cache_in_the_plane_s_store(plane):
    def graph() -> Any:
        @Graph(id="g")
        class G:
            @llm_node(cache=Cache(60, shared=True))
            def ask(self, state): ...

        return G

    with scripted("openai", [reply("paid once")]):
        usages = []
        for _ in range(2):
            async with serving(plane, graph()):
                usages.append((await ended(plane, "g", new_id()))["usage"])
    assert usages[0]["calls"] == 1
    assert usages[1]["cached_calls"] == 1
    assert "calls" not in usages[1]
    found = (await plane.post("/store/items/search", {"namespace_prefix": ["llm_cache"]})).json
    assert [item["value"]["content"] for item in found["items"]] == ["paid once"]
