"""`POST /runs/cancel`: many runs at once, by their status or by their ids."""

import asyncio

import asyncpg
import pytest

from duragraph import cancels, ids
from tests.crash.evidence import audit
from tests.integration.test_races import blocked

pytestmark = pytest.mark.timeout(60)

RUN = {"assistant_id": "g", "input": {}}
UNKNOWN = "22222222-2222-2222-2222-222222222222"


@pytest.fixture
async def plane(start_plane):
    """One that promotes nothing by itself."""
    return await start_plane(sweep_seconds=3600)


@pytest.fixture
async def hand(plane):
    return await plane.worker("g", slots=1)


async def create(plane, thread_id, **options):
    body = RUN | {"if_not_exists": "create"} | options
    answer = await plane.post(f"/threads/{thread_id}/runs", body)
    assert answer.status == 200, answer.body
    return answer.json["run_id"]


async def statuses(plane, thread_id):
    """Of its runs, oldest first."""
    found = (await plane.get(f"/threads/{thread_id}/runs?limit=10000&select=status")).json
    return [run["status"] for run in reversed(found)]


async def three_of_each(plane, hand):
    """A thread with a run that is leased, one in line and one for later."""
    thread_id = ids.new_id()
    await create(plane, thread_id)
    task = await hand.task()
    await create(plane, thread_id)
    await create(plane, thread_id, after_seconds=3600)
    return thread_id, task


@pytest.mark.parametrize(
    ("status", "left"),
    [
        ("running", ["interrupted", "pending", "pending"]),
        ("pending", ["pending", "interrupted", "interrupted"]),
        ("all", ["interrupted"] * 3),
    ],
)
async def test_by_status(plane, hand, database_url, status, left):
    thread_id, task = await three_of_each(plane, hand)
    assert (await plane.post("/runs/cancel", {"status": status})).status == 204
    shown = await statuses(plane, thread_id)
    assert ["pending" if s == "running" else s for s in shown] == left
    if status != "pending":
        assert [c.run_id for c in (await hand.poll()).control] == [task.run_id]
    if status == "running":
        assert (await hand.task()).run_id != task.run_id, "the next run of the thread"
    await audit(database_url)


async def test_rollback_leaves_no_run_and_no_progress(plane, hand, database_url):
    thread_id, _ = await three_of_each(plane, hand)
    rolled_back = "/runs/cancel?action=rollback"
    assert (await plane.post(rolled_back, {"status": "all"})).status == 204
    assert await statuses(plane, thread_id) == []
    shown = (await plane.get(f"/threads/{thread_id}")).json
    assert (shown["status"], shown["error"]["error"]) == ("idle", "UserRollback")
    await audit(database_url)


async def test_by_ids_of_one_thread(plane, hand):
    thread_id = ids.new_id()
    first, second = [await create(plane, thread_id) for _ in range(2)]
    other = await create(plane, ids.new_id())
    asked = {"thread_id": thread_id, "run_ids": [first, other, UNKNOWN]}
    assert (await plane.post("/runs/cancel", asked)).status == 204
    assert await statuses(plane, thread_id) == ["interrupted", "pending"]
    assert {(await hand.task()).run_id} <= {second, other}


async def test_nothing_to_cancel(plane, hand):
    thread_id = ids.new_id()
    ended = await create(plane, thread_id)
    asked = {"thread_id": thread_id, "run_ids": [ended]}
    assert (await plane.post("/runs/cancel", asked)).status == 204
    for body, detail in (
        ({"status": "all"}, "No runs found to cancel."),
        ({"thread_id": thread_id, "run_ids": []}, "No runs found to cancel."),
        ({"thread_id": thread_id, "run_ids": [UNKNOWN]}, "No runs found to cancel."),
        ({"thread_id": UNKNOWN, "run_ids": [ended]}, "No runs found to cancel."),
        (asked, "No matching runs to cancel."),
    ):
        answer = await plane.post("/runs/cancel", body)
        assert answer.status == 404
        assert answer.json["detail"].startswith(detail)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "done"},
        {"status": None},
        {"status": "all", "thread_id": UNKNOWN, "run_ids": [UNKNOWN]},
        {"status": "all", "thread_id": UNKNOWN},
        {"thread_id": UNKNOWN},
        {"run_ids": [UNKNOWN]},
        {"thread_id": "nope", "run_ids": [UNKNOWN]},
        {"thread_id": UNKNOWN, "run_ids": ["nope"]},
    ],
)
async def test_exactly_one_way_to_say_which(plane, body):
    assert (await plane.post("/runs/cancel", body)).status == 422


async def test_thousands_are_cancelled_a_chunk_at_a_time(plane, hand, database_url, monkeypatch):
    monkeypatch.setattr(cancels, "AT_ONCE", 7)
    threads = [ids.new_id() for _ in range(20)]
    await asyncio.gather(*(create(plane, threads[n % 20]) for n in range(60)))
    long = ids.new_id()
    for _ in range(30):
        await create(plane, long)
    assert (await plane.post("/runs/cancel", {"status": "all"})).status == 204
    for thread_id in (*threads, long):
        assert set(await statuses(plane, thread_id)) == {"interrupted"}
    assert await audit(database_url) == 0


async def test_of_what_is_being_cancelled_nothing_starts(plane, database_url, monkeypatch):
    monkeypatch.setattr(cancels, "AT_ONCE", 1)
    hand, thread_id = await plane.worker("g"), ids.new_id()
    for _ in range(30):
        await create(plane, thread_id)
    first = await hand.task()
    poll = asyncio.create_task(hand.poll())
    assert (await plane.post("/runs/cancel", {"status": "all"})).status == 204
    assert [c.run_id for c in (await poll).control] == [first.run_id]
    connection = await asyncpg.connect(database_url)
    leased = await connection.fetch("select run_id::text from run where leased_at is not null")
    await connection.close()
    assert [row["run_id"] for row in leased] == [first.run_id]
    assert await audit(database_url) == 0


async def test_cancelling_all_meets_creations_and_other_cancels(start_plane, database_url):
    planes = [await start_plane(), await start_plane()]
    await planes[0].worker("g", slots=5)
    threads = [ids.new_id() for _ in range(5)]

    async def something(n):
        plane = planes[n % 2]
        if n % 5 == 0:
            action = ("interrupt", "rollback")[n % 2]
            return await plane.post(f"/runs/cancel?action={action}", {"status": "all"})
        body = RUN | {"if_not_exists": "create"}
        return await plane.post(f"/threads/{threads[n % 5 - 1]}/runs", body)

    answers = await asyncio.gather(*(something(n) for n in range(100)))
    assert {answer.status for answer in answers} <= {200, 204, 404}
    await planes[0].post("/runs/cancel", {"status": "all"})
    assert await audit(database_url, deletions=True) == 0


async def test_a_thread_made_anew_meanwhile_is_no_deadlock(plane, database_url):
    """Its lock was not taken with the others, in their order."""
    await plane.worker("g", slots=1)
    first, again, last = sorted(ids.new_id() for _ in range(3))
    for thread_id in (first, again, last):
        await create(plane, thread_id)
    lock = "select from thread where thread_id = $1 for update"
    async with asyncpg.create_pool(database_url, min_size=3) as pool, pool.acquire() as other:
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute(lock, first)
            cancelling = asyncio.create_task(plane.post("/runs/cancel", {"status": "all"}))
            await blocked(pool)
            assert (await plane.delete(f"/threads/{again}")).status == 204
            await create(plane, again, after_seconds=0.001)
            held = other.transaction()
            await held.start()
            await other.execute(lock, again)
        await other.execute(lock, first)  # raises if the cancel holds this and waits for that
        await held.rollback()
    assert (await cancelling).status == 204
    assert await audit(database_url) == 1
