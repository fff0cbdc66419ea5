"""What models took stands on the run that asked them, once, whatever is sent twice."""

from decimal import Decimal

import pytest

from duragraph.ids import new_id
from duragraph.protocol import Outcome
from duragraph.usage import Usage

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
