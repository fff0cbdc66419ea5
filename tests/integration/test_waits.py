"""A run that waits gives its lease back, stays its thread's one run, and goes on in time."""

import asyncio

import pytest

from duragraph import ids, pg
from duragraph.pg import reaping, reports, waits
from duragraph.pg.reports import Reported
from duragraph.protocol import Frame, Outcome, Report
from duragraph.waiting import TIMED_OUT, Wait
from tests.crash.evidence import audit
from tests.integration.patient import IN_TIME, begin, next_task, report_all, signal, take

pytestmark = pytest.mark.timeout(60)

RUN = {"assistant_id": "g", "input": {}}
ROWS = "select kind, name, due_at, result from wait order by key"


@pytest.fixture
async def pool(database_url):
    pool = await pg.open_pool(database_url, "duragraph_engine", size=4)
    yield pool
    pool.terminate()


@pytest.fixture
async def waiting(hand):
    """A run that waits for long."""
    run = await begin(hand)
    assert (await run.wait(run.sleep())).verdict == "accepted"
    return run


async def status(plane, path):
    return (await plane.get(path)).json["status"]


async def test_a_sleep_ends_with_an_effect_under_the_next_lease(hand):
    run = await begin(hand)
    await run.wait(run.sleep(0.01, key="nap"))
    woken = await run.woken()
    assert woken.effects == {"nap": b"null"}
    assert woken.task.resuming
    assert woken.task.epoch > run.task.epoch


async def test_a_run_that_waits_is_running_for_clients_and_in_nobodys_hands(
    plane, waiting, database_url
):
    assert await status(plane, waiting.path) == "running"
    assert await status(plane, waiting.thread) == "busy"
    listed = await plane.get(f"{waiting.thread}/runs", params={"status": "running"})
    assert [run["run_id"] for run in listed.json] == [waiting.task.run_id]
    assert (await plane.get("/metrics")).body.count(b'status="waiting"} 1.0') == 1
    assert (await plane.get("/metrics?format=json")).json["workers"]["active"] == 0
    assert await audit(database_url) == 1


async def test_waiting_frees_the_slot(plane):
    hand = await plane.worker("g", slots=1)
    run = await begin(hand)
    await run.wait(run.sleep())
    other = await begin(hand)
    assert other.task.run_id != run.task.run_id


async def test_waiting_charges_no_attempt(start_plane):
    hand = await (await start_plane(max_attempts=2)).worker("g")
    run = await begin(hand)
    await run.wait(run.sleep(0, key="0"))
    for n in range(1, 4):
        run = await run.woken()
        assert run.task.attempt == 1
        await run.wait(run.sleep(0, key=str(n)), batch=1)


async def test_a_lease_lost_long_ago_is_forgiven(start_plane, owner):
    """A run of a year may see many workers die."""
    hand = await (await start_plane(max_attempts=2)).worker("g")
    run = await begin(hand)
    await owner.execute("update run set attempt = 2")
    await run.wait(run.sleep(0))
    assert (await run.woken()).task.attempt == 1


async def test_a_run_that_goes_on_after_a_wait_is_announced_already(hand):
    run = await begin(hand)
    assert not run.task.announced
    await hand.report(run.task, batch=2, frames=[Frame("metadata", b"{}")])
    await run.wait(run.sleep(0), batch=3)
    assert (await run.woken()).task.announced


async def test_a_run_that_was_given_back_before_it_began_is_not(hand, owner):
    run = await begin(hand)
    await owner.execute("update run set tied = true")
    await hand.report(run.task, batch=2, outcome=Outcome("released"))
    assert not (await run.woken()).task.announced


async def test_no_deadline_counts_what_is_waited(waiting, owner, pool):
    """Nor does a wait look like a lease that ran out."""
    await owner.execute("update run set leased_at = now() - interval '1 day'")
    async with pool.acquire() as conn:
        assert await reaping.doomed(conn, max_attempts=1, timeout_seconds=1) == []
        assert await reaping.expire(conn, max_attempts=3, timeout_seconds=1e6) == []


async def test_what_is_told_again_goes_on_and_what_is_not_is_forgotten(plane, hand, owner):
    run = await begin(hand)
    await run.wait(run.sleep(), run.signal(), run.signal("never", key="never"))
    before = await owner.fetchval("select due_at from wait where kind = 'sleep'")
    assert await signal(plane, run.thread) == 202
    woken = await run.woken()
    await woken.wait(woken.sleep(7200), batch=1)
    assert [(r["kind"], r["due_at"]) for r in await owner.fetch(ROWS)] == [("sleep", before)]


async def test_one_wait_that_is_over_is_enough(hand):
    run = await begin(hand)
    await run.wait(run.sleep(), run.sleep(0.01, key="nap"), run.signal())
    assert (await run.woken()).effects == {"nap": b"null"}


async def test_what_ends_while_the_run_is_at_work_waits_for_it(plane, hand, owner, database_url):
    run = await begin(hand)
    await run.wait(run.signal(), run.sleep())
    assert await signal(plane, run.thread) == 202
    woken = await run.woken()
    await owner.execute("update wait set due_at = now()")
    async with asyncio.timeout(IN_TIME):
        while await owner.fetchval("select count(*) from effect") < 2:
            pass
    assert await audit(database_url) == 1
    assert (await woken.wait(woken.sleep(), batch=1)).verdict == "accepted"
    assert (await woken.woken()).effects == {"signal": b"null", "sleep": b"null"}


async def test_frames_that_come_with_a_wait_are_followed_through_it(plane, hand):
    run = await begin(hand)
    async with plane.http.get(f"{run.path}/stream", headers={"Last-Event-ID": "-1"}) as stream:
        await hand.report(
            run.task, batch=2, frames=[Frame("custom", b"1")],
            outcome=Outcome("waiting", waits=[run.sleep(0.01)]),
        )  # fmt: skip
        woken = await run.woken()
        await hand.finish(woken.task, frames=[Frame("custom", b"2")])
        lines = (await stream.text()).splitlines()
    assert [line for line in lines if line.startswith("data: ")] == ["data: 1", "data: 2"]


async def test_a_report_sent_twice_counts_once(hand, owner):
    run = await begin(hand)
    for _ in range(2):
        assert (await run.wait(run.sleep())).verdict == "accepted"
    assert len(await owner.fetch(ROWS)) == 1


async def test_who_lost_its_lease_makes_nothing_wait(plane, hand, owner):
    run = await begin(hand)
    await plane.post(f"{run.path}/cancel")
    assert (await run.wait(run.sleep())).verdict == "cancelled"
    assert await owner.fetch(ROWS) == []


@pytest.mark.parametrize(
    "waits",
    [
        [],
        [Wait(ids.checkpoint_id(), "k", "sleep")],
        [Wait(ids.checkpoint_id(), "k", "signal")],
        [Wait("nowhere", "k", "sleep", seconds=1)],
        [Wait("00000000-0000-0000-0000-000000000000", "k", "sleep", seconds=1)] * 2,
    ],
    ids=["nothing", "no length", "no name", "no checkpoint", "twice the same"],
)
async def test_a_wait_that_would_never_end_fails_its_run(plane, hand, waits):
    run = await begin(hand)
    assert (await run.wait(*waits)).verdict == "invalid"
    assert await status(plane, run.path) == "error"


# what happens to a run meanwhile


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_run_that_waits_can_be_cancelled(plane, waiting, owner, database_url, action):
    answer = await plane.post(f"{waiting.path}/cancel", params={"action": action, "wait": "true"})
    assert answer.status == 200
    assert await status(plane, waiting.thread) in ("idle", "interrupted")
    assert await owner.fetch(ROWS) == []
    assert await audit(database_url) == 0


@pytest.mark.parametrize(("strategy", "found"), [("interrupt", 200), ("rollback", 404)])
async def test_another_run_comes_in_its_place(plane, waiting, database_url, strategy, found):
    run_id = await plane.start_run(waiting.task.thread_id, multitask_strategy=strategy)
    assert (await plane.get(waiting.path)).status == found
    assert (await next_task(waiting.hand)).run_id == run_id
    assert await audit(database_url) == 1


async def test_another_run_stands_in_line_behind_it(plane, waiting, database_url):
    run_id = await plane.start_run(waiting.task.thread_id)
    assert await status(plane, f"{waiting.thread}/runs/{run_id}") == "pending"
    assert await audit(database_url) == 2
    await plane.post(f"{waiting.path}/cancel")
    assert (await next_task(waiting.hand)).run_id == run_id


async def test_the_thread_is_taken_meanwhile(plane, waiting):
    body = RUN | {"multitask_strategy": "reject"}
    assert (await plane.post(f"{waiting.thread}/runs", body)).status == 409
    update = {"values": {}, "as_node": "a"}
    assert (await plane.post(f"{waiting.thread}/state", update)).status == 409
    prune = {"thread_ids": [waiting.task.thread_id], "strategy": "keep_latest"}
    await plane.post("/threads/prune", prune)
    assert await status(plane, waiting.thread) == "busy"


@pytest.mark.parametrize("what", ["run", "thread"])
async def test_a_run_that_waits_can_be_deleted(plane, waiting, owner, database_url, what):
    path = waiting.path if what == "run" else waiting.thread
    assert (await plane.delete(path)).status == 204
    assert await owner.fetch(ROWS) == []
    assert await audit(database_url) == 0


async def test_a_copy_of_its_thread_waits_for_nothing(plane, waiting, database_url):
    copy = await plane.post(f"{waiting.thread}/copy")
    assert copy.json["status"] == "idle"
    assert await audit(database_url) == 1


async def test_a_thread_past_its_time_to_live_stays_as_long_as_it_waits(
    start_plane, owner, database_url
):
    plane = await start_plane(sweep_seconds=0.05)
    run = await begin(await plane.worker("g"))
    await run.wait(run.sleep())
    await owner.execute("update thread set expires_at = now() - interval '1 day'")
    other = (await plane.post("/threads", {})).json["thread_id"]
    expired = "update thread set expires_at = now() - interval '1 day' where thread_id = $1"
    await owner.execute(expired, other)
    async with asyncio.timeout(IN_TIME):
        while (await plane.get(f"/threads/{other}")).status != 404:
            pass
    assert await status(plane, run.thread) == "busy"
    assert await audit(database_url) == 1


async def test_it_ends_with_its_client_where_it_is_to(plane, hand, database_url):
    body = RUN | {"on_disconnect": "cancel"}
    async with plane.http.post("/runs/stream", json=body) as stream:
        run_id = stream.headers["Content-Location"].rpartition("/")[2]
        run = await take(hand, run_id)
        await run.wait(run.sleep())
        stream.close()
    async with asyncio.timeout(IN_TIME):
        while await audit(database_url):
            pass


async def test_its_worker_may_drain(plane, waiting, owner):
    await plane.post(f"/api/v1/workers/{waiting.hand.worker_id}/drain")
    other = await plane.worker("g")
    await owner.execute("update wait set due_at = now()")
    assert (await waiting.woken(other)).effects == {"sleep": b"null"}


# planes that die


async def record_only(pool, run, *told):
    """What a plane does with a report, before it would look after the wait."""
    outcome = Outcome("waiting", waits=list(told))
    sent = Reported(run.hand.worker_id, Report(run.task.run_id, run.task.epoch, 2, outcome=outcome))
    async with pool.acquire() as conn, conn.transaction():
        assert await reports.record(conn, [sent])
        await waits.tell(conn, [(run.task.run_id, each) for each in told])


async def test_a_wait_outlives_the_plane_that_recorded_it(hand, pool):
    run = await begin(hand)
    await record_only(pool, run, run.sleep(0.01))
    assert (await run.woken()).effects == {"sleep": b"null"}


async def test_of_planes_that_wake_at_once_one_does(hand, pool, owner):
    run = await begin(hand)
    await record_only(pool, run, run.sleep())
    await owner.execute("update wait set due_at = now()")

    async def wake():
        async with pool.acquire() as conn:
            return await waits.wake(conn)

    assert sum(await asyncio.gather(*(wake() for _ in range(4)))) <= 1
    assert (await run.woken()).effects == {"sleep": b"null"}


async def test_a_run_in_other_hands_holds_up_no_other(hand, owner, pool):
    held, other = await begin(hand), await begin(hand)
    for run in (held, other):
        await run.wait(run.sleep())
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("select from run where run_id = $1 for update", held.task.run_id)
        await owner.execute("update wait set due_at = now()")
        assert (await other.woken()).effects == {"sleep": b"null"}
    assert (await held.woken()).effects == {"sleep": b"null"}


async def test_a_cancel_that_meets_the_wake_up_is_final(plane, hand, owner, pool, database_url):
    for _ in range(20):
        run = await begin(hand)
        await run.wait(run.sleep())
        await owner.execute("update wait set due_at = now()")

        async def wake():
            async with pool.acquire() as conn:
                await waits.wake(conn)

        _, cancelled = await asyncio.gather(wake(), plane.post(f"{run.path}/cancel"))
        assert cancelled.status == 202
        assert await status(plane, run.path) == "interrupted"
        assert await audit(database_url) == 0


async def test_many_sleep_at_once(plane, database_url):
    """All of them wake, and each once."""
    many, sleeping = 600, {}
    hand = await plane.worker("g", slots=1000)
    assert (await plane.post("/runs/batch", [RUN] * many)).status == 200
    while len(sleeping) < many:
        polled = await asyncio.wait_for(hand.poll(), IN_TIME)
        told = [
            Report(
                task.run_id, task.epoch, 1,
                outcome=Outcome("waiting", waits=[Wait(ids.checkpoint_id(), "k", "sleep", 0.5)]),
            )
            for task in polled.tasks
            if task.run_id not in sleeping
        ]  # fmt: skip
        sleeping |= {report.run_id: report for report in told}
        await report_all(hand, told)
    woken = set()
    while len(woken) < many:
        polled = await asyncio.wait_for(hand.poll(), IN_TIME)
        woken |= {(task.run_id, task.epoch) for task in polled.tasks}
    assert sorted(run_id for run_id, _ in woken) == sorted(sleeping)
    assert await audit(database_url) == many


async def test_a_signal_may_come_too_late(plane, hand):
    run = await begin(hand)
    await run.wait(run.signal(seconds=0.01))
    woken = await run.woken()
    assert woken.effects == {"signal" + TIMED_OUT: b"null"}
