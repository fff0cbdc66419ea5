"""Events are kept for so many days after their run's end; who comes for older ones is told."""

import asyncio
import time
from uuid import UUID

import pytest

from duragraph.deps import DEPS
from duragraph.errors import Busy
from duragraph.ids import new_id
from duragraph.pg import partitions
from duragraph.protocol import Frame
from duragraph.retention import Retention

pytestmark = pytest.mark.timeout(30)

DAYS = 90
LONG_AGO_MS = time.time_ns() // 1_000_000 - 2 * DAYS * partitions.DAY_MS
WEEK = LONG_AGO_MS // partitions.WEEK_MS


@pytest.fixture
def make_partition(owner):
    """Make the partition of a week long ago; returns its name."""

    async def make():
        low, high = (UUID(int=(WEEK + n) * partitions.WEEK_MS << 80) for n in (0, 1))
        await owner.execute(partitions.MAKE.format(week=WEEK, low=low, high=high))
        return f"event_{WEEK}"

    return make


@pytest.fixture
async def sweep(plane):
    return Retention(plane.app[DEPS].engine, event_days=DAYS).sweep_events


async def run_of(hand, thread, *numbers):
    await hand.plane.start_run(thread)
    task = await hand.task()
    await hand.finish(task, frames=[Frame("custom", str(n).encode()) for n in numbers])
    return task.run_id


async def aged(owner, run_id, *, ended_days_ago=2 * DAYS):
    """The same run, made long ago; its new id."""
    old = str(UUID(int=(LONG_AGO_MS << 80) | UUID(run_id).int & (1 << 80) - 1))
    await owner.execute("update event set run_id = $2 where run_id = $1", run_id, old)
    await owner.execute(
        "update run set run_id = $2, updated_at = now() - make_interval(days => $3),"
        " ms = ms - $4 where run_id = $1",
        run_id, old, ended_days_ago, 2 * DAYS * partitions.DAY_MS,
    )  # fmt: skip
    return old


async def asked(plane, path, event_id):
    """`(status, code or number of frames)`."""
    headers = {} if event_id is None else {"Last-Event-ID": event_id}
    answer = await plane.get(path, headers=headers)
    if answer.status == 200:
        return 200, answer.body.count(b"event: custom")
    assert answer.json["hint"]
    return answer.status, answer.json["code"]


@pytest.mark.parametrize("place", ["partition", "default"])
async def test_who_asks_for_events_that_are_gone_is_told(hand, owner, sweep, make_partition, place):
    plane = hand.plane
    if place == "partition":
        await make_partition()
    thread = new_id()
    run_id = await aged(owner, await run_of(hand, thread, 1, 2))
    ms = await owner.fetchval("select ms from run where run_id = $1", run_id)
    path = f"/threads/{thread}/runs/{run_id}"
    assert await asked(plane, f"{path}/stream", "-1") == (200, 2)
    await sweep()
    for before in "-", "-1", "0", "0-0", "1", f"{ms}-0", f"{ms}-1":
        assert await asked(plane, f"{path}/stream", before) == (410, "gone"), before
        assert await asked(plane, f"/runs/{run_id}/stream", before) == (410, "gone"), before
    for behind in None, "zzz", f"{ms}-2", f"{ms}-9":
        assert await asked(plane, f"{path}/stream", behind) == (200, 0), behind
    assert (await plane.get(path)).json["status"] == "success"
    assert (await plane.get(f"{path}/join")).status == 200


async def test_a_whole_partition_is_dropped_whoever_comes_first(owner, hand, sweep, make_partition):
    name = await make_partition()
    await aged(owner, await run_of(hand, new_id(), 1))
    await asyncio.gather(*(sweep() for _ in range(4)))
    assert await owner.fetchval("select to_regclass($1)", name) is None


async def test_who_reads_the_log_is_not_disturbed_by_its_dropping(owner, sweep, make_partition):
    name = await make_partition()
    async with owner.transaction():
        await owner.execute("select from event")
        with pytest.raises(Busy):
            await sweep()
    await sweep()
    assert await owner.fetchval("select to_regclass($1)", name) is None


@pytest.mark.parametrize("place", ["partition", "default"])
async def test_events_of_open_runs_and_of_runs_that_ended_lately_are_kept(
    hand, owner, sweep, make_partition, place
):
    if place == "partition":
        await make_partition()
    thread = new_id()
    lately = await aged(owner, await run_of(hand, thread, 1), ended_days_ago=DAYS - 1)
    await sweep()
    assert await asked(hand.plane, f"/runs/{lately}/stream", "-") == (200, 1)
    await owner.execute("delete from event")
    await hand.plane.start_run(thread)
    task = await hand.task()
    await hand.report(task, frames=[Frame("custom", b"2")])
    await aged(owner, task.run_id)
    await sweep()
    assert await owner.fetchval("select count(*) from event") == 1


async def test_a_thread_stream_begins_with_what_is_kept_or_refuses(plane, hand, owner, sweep):
    thread = new_id()
    old = await aged(owner, await run_of(hand, thread, 1, 2))
    ms = await owner.fetchval("select ms from run where run_id = $1", old)
    await sweep()
    await run_of(hand, thread, 3)
    path = f"/threads/{thread}/stream"
    for before in "0", "1-0", f"{ms}-1", str(ms):
        assert await asked(plane, path, before) == (410, "gone"), before
    for behind in "-", f"{ms}-2", f"{ms}-3":
        headers = {"Last-Event-ID": behind}
        async with plane.http.get(path, headers=headers) as response:
            assert response.status == 200
            told = await response.content.readuntil(b"\r\n\r\n")
            if behind == f"{ms}-2":
                assert b"run_done" in told
                told = await response.content.readuntil(b"\r\n\r\n")
            assert b"data: 3\r\n" in told


async def test_who_follows_a_run_that_is_erased_is_told(plane, hand, owner):
    thread = new_id()
    run_id = await hand.plane.start_run(thread)
    async with plane.http.get(f"/threads/{thread}/runs/{run_id}/stream") as response:
        await owner.execute("delete from run")
        async with asyncio.timeout(10):
            assert b'event: error\r\ndata: {"error":"Gone"' in await response.read()


async def test_where_the_answer_has_begun_the_stream_says_so(plane, hand, owner):
    """The log loses what a follower never heard of."""
    thread = new_id()
    run_id = await hand.plane.start_run(thread)
    task = await hand.task()
    await hand.report(task, frames=[Frame("custom", b"1")])
    for path in f"/threads/{thread}/runs/{run_id}/stream", f"/threads/{thread}/stream":
        async with plane.http.get(path) as response:
            await owner.execute("update run set last_seq = last_seq + 5")
            async with asyncio.timeout(10):
                assert b'event: error\r\ndata: {"error":"Gone"' in await response.read()
