"""Tries, waits, deadlines, and what may not end the process."""

import asyncio
import operator
import sys
from typing import Any

import attrs
import msgspec
import pytest

from duragraph_worker.executor import calling
from duragraph_worker.executor.run import Clock
from duragraph_worker.plan import Plan, Retry
from tests.unit.plans import Bench, channels, nested, node, plan


def failing(times: int, error: BaseException) -> tuple[Any, list[int]]:
    """A body that raises `times` times, and the attempts it saw."""
    attempts: list[int] = []

    def body(state: Any, ctx: Any) -> Any:
        attempts.append(ctx.attempt)
        if len(attempts) <= times:
            raise error
        return {"log": ["done"]}

    return body, attempts


def one(body: Any, **options: Any) -> Plan:
    return plan(node("n", body, **options), channels=channels(log=operator.add))


def told(error: bytes | None) -> dict[str, Any]:
    return msgspec.json.decode(error or b"null")


async def test_a_node_is_tried_again_and_each_try_knows_its_number():
    body, attempts = failing(2, OSError("away"))
    bench = Bench(one(body, retry=Retry(times=2, on=[OSError], first=0)))
    assert (await bench.run({})).status == "success"
    assert attempts == [1, 2, 3]
    assert bench.values["log"] == ["done"]


async def test_after_the_last_try_the_error_is_the_outcome():
    body, attempts = failing(9, OSError("away"))
    outcome = await Bench(one(body, retry=Retry(times=1, first=0))).run({})
    assert told(outcome.error)["error"] == "OSError"
    assert len(attempts) == 2


async def test_other_errors_are_not_tried_again():
    body, attempts = failing(1, KeyError("x"))
    outcome = await Bench(one(body, retry=Retry(times=5, on=[OSError], first=0))).run({})
    assert told(outcome.error) == {"error": "KeyError", "message": "'x'"}
    assert len(attempts) == 1


@pytest.mark.parametrize(("tries", "seconds"), [(0, 1.0), (1, 3.0), (4, 10.0)])
def test_waits_grow_to_a_longest_one(tries: int, seconds: float):
    retry = Retry(first=1, factor=3, longest=10, jitter=False)
    assert calling.wait(retry, tries, Clock()) == seconds


def test_jitter_takes_up_to_half_of_a_wait():
    retry = Retry(first=8)
    assert calling.wait(retry, 0, Clock(jitter=lambda: 0.0)) == 4
    assert calling.wait(retry, 0, Clock(jitter=lambda: 1.0)) == 8


async def test_a_timeout_ends_a_try_and_may_be_retried():
    tries: list[int] = []

    async def slow_at_first(state: Any, ctx: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.Event().wait()
        return {"log": ["done"]}

    retry = Retry(times=1, on=[TimeoutError], first=0)
    bench = Bench(one(slow_at_first, timeout=0.01, retry=retry))
    assert (await bench.run({})).status == "success"


async def test_a_timeout_names_node_and_seconds():
    outcome = await Bench(one(lambda s, ctx: asyncio.Event().wait(), timeout=0.01)).run({})
    assert told(outcome.error) == {
        "error": "NodeTimeoutError",
        "message": "Node 'n' took longer than its timeout of 0.01 s",
    }


async def test_a_timeout_of_the_nodes_own_is_its_own():
    async def impatient(state: Any, ctx: Any) -> Any:
        raise TimeoutError("mine")

    outcome = await Bench(one(impatient, timeout=60)).run({})
    assert told(outcome.error) == {"error": "TimeoutError", "message": "mine"}


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        (asyncio.CancelledError(), "NodeCancelledError"),
        (SystemExit(3), "RuntimeError"),
        (BaseException("other"), "RuntimeError"),
        (StopIteration(), "RuntimeError"),
        (RecursionError("deep"), "RecursionError"),
    ],
)
async def test_whatever_a_node_raises_is_an_outcome(raised: BaseException, name: str):
    async def body(state: Any, ctx: Any) -> Any:
        raise raised

    outcome = await asyncio.wait_for(Bench(one(body)).run({}), 5)
    assert told(outcome.error)["error"] == name


async def test_cancelling_the_run_cancels_its_node_and_records_no_failure():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(state: Any, ctx: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bench = Bench(one(wait))
    running = asyncio.create_task(bench.run({}))
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()
    assert not [item for item in bench.items if getattr(item, "error", None)]


async def test_cancelled_under_exit_durability_it_records_where_it_was():
    begun = asyncio.Event()

    async def wait(state: Any, ctx: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    graph = plan(
        node("a", lambda s, ctx: {"log": ["a"]}),
        node("b", wait),
        edges="a>b",
        channels=channels(log=operator.add),
    )
    bench = Bench(graph)
    running = asyncio.create_task(bench.run({}, durability="exit"))
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.values["log"] == ["a"]
    snapshot = bench.record.snapshot()
    assert snapshot is not None
    assert snapshot.next == ["b"]


async def test_a_retried_subgraph_goes_on_from_what_it_finished():
    body, attempts = failing(1, OSError("away"))
    graph = nested(lambda s, ctx: {"notes": body(s, ctx)["log"]})
    sub = node("sub", lambda s, ctx: None, kind="subgraph", retry=Retry(times=1, first=0))
    nodes = dict(graph.nodes)
    nodes["sub"] = attrs.evolve(sub, subgraph=nodes["sub"].subgraph)
    bench = Bench(attrs.evolve(graph, nodes=nodes))
    outcome = await bench.run({"topic": "t"}, stream_mode=["updates"], subgraphs=True)
    assert outcome.status == "success"
    assert len(attempts) == 2
    assert [d for e, d in bench.frames("updates") if "s1" in d] == [{"s1": {"notes": ["s1:t!"]}}]


async def test_an_error_is_masked_for_clients_and_traced_for_operators():
    class Secret(Exception):
        pass

    def body(state: Any, ctx: Any) -> Any:
        raise Secret("password is 1234")

    outcome = await Bench(one(body)).run({})
    assert told(outcome.error) == {
        "error": "Secret",
        "message": "An internal error occurred",
    }
    assert "password is 1234" in (outcome.trace or "")
    assert "calling.py" not in (outcome.trace or "")
    assert sys.modules[__name__].__file__ in (outcome.trace or "")
