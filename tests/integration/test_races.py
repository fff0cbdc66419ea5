"""Requests that meet on one thread: each takes effect once, or says why not."""

import asyncio
import contextlib
import random

import asyncpg
import pytest

from duragraph import ids, pg
from duragraph.deps import DEPS
from duragraph.pg import endings, partitions, reaping, reports, runs
from duragraph.pg.reports import Reported
from duragraph.protocol import (
    ChannelWrite,
    Checkpoint,
    Frame,
    Outcome,
    Report,
    Verdict,
    pack,
    unpack,
)
from duragraph.reaper import Reaper
from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(30)

ORG = pg.DEFAULT_ORGANIZATION
IN_TIME = 10
RUN = {"assistant_id": "g", "input": {}}


@pytest.fixture
async def pool(database_url):
    pool = await pg.open_pool(database_url, "duragraph_engine", size=4)
    yield pool
    pool.terminate()


@pytest.fixture
async def plane(start_plane):
    """One that sweeps nothing by itself."""
    return await start_plane(sweep_seconds=3600)


async def thread_of(plane):
    return (await plane.post("/threads", {})).json["thread_id"]


async def create(plane, thread_id, **options):
    answer = await plane.post(f"/threads/{thread_id}/runs", RUN | options)
    assert answer.status == 200, answer.body
    return answer.json["run_id"]


async def task_of(hand):
    return await asyncio.wait_for(hand.task(), IN_TIME)


async def finish_only(pool, hand, task):
    """What a flush of reports does before it promotes the next run."""
    report = Report(task.run_id, task.epoch, 1, outcome=Outcome("success"))
    async with pool.acquire() as conn:
        assert await reports.record(conn, [Reported(hand.worker_id, report)])


async def promote(pool, thread_id):
    async with pool.acquire() as conn:
        return await runs.promote(conn, [(ORG, thread_id)])


async def blocked(pool, many=1):
    """Returns once so many statements wait for a lock."""
    waiting = "select count(distinct pid) from pg_locks where not granted"
    async with asyncio.timeout(IN_TIME), pool.acquire() as conn:
        while await conn.fetchval(waiting) < many:
            pass


async def test_a_run_cancelled_meanwhile_is_not_promoted(plane, hand, pool, database_url):
    thread_id = await thread_of(plane)
    await create(plane, thread_id)
    cancelled = await create(plane, thread_id)
    await create(plane, thread_id, after_seconds=3600)
    await finish_only(pool, hand, await task_of(hand))
    async with pool.acquire() as conn, conn.transaction():
        assert await endings.cancel(conn, ORG, thread_id, run_ids=[cancelled])
        promoting = asyncio.create_task(promote(pool, thread_id))
        await blocked(pool)
    assert await promoting == 0
    assert await audit(database_url) == 1


async def test_a_run_created_as_another_ends_does_not_jump_the_queue(plane, hand, pool):
    thread_id = await thread_of(plane)
    await create(plane, thread_id)
    first = await create(plane, thread_id)
    await finish_only(pool, hand, await task_of(hand))
    last = await create(plane, thread_id)
    await promote(pool, thread_id)
    for run_id in (first, last):
        task = await task_of(hand)
        assert task.run_id == run_id
        await hand.finish(task)


async def test_a_run_that_lost_its_worker_is_rolled_back_too(plane, hand, database_url):
    thread_id = await thread_of(plane)
    run_id = await create(plane, thread_id)
    task = await task_of(hand)
    at = ids.checkpoint_id()
    state = Checkpoint(at, None, "", "loop", 0, "", [], [ChannelWrite("a", b"1")], {"a": at})
    await plane.post(f"/api/v1/workers/{hand.worker_id}/drain")
    await hand.report(task, checkpoints=[state], outcome=Outcome("released"))
    rolled_back = f"/threads/{thread_id}/runs/{run_id}/cancel?action=rollback"
    assert (await plane.post(rolled_back)).status == 202
    assert (await plane.get(f"/threads/{thread_id}/state")).json["values"] == {}
    assert await audit(database_url) == 0


async def test_a_run_in_place_of_others_ends_them_only_if_it_is_made(plane, hand, start_plane):
    thread_id = await thread_of(plane)
    made = (await plane.post("/assistants", {"graph_id": "g"})).json["assistant_id"]
    instead = {"assistant_id": made, "multitask_strategy": "interrupt"}
    await create(plane, thread_id, **instead)
    await task_of(hand)
    elsewhere = await start_plane(sweep_seconds=3600)
    await elsewhere.patch(f"/assistants/{made}", {"name": "changed"})
    await create(plane, thread_id, **instead)
    control = (await asyncio.wait_for(hand.poll(), IN_TIME)).control
    assert [c.action for c in control] == ["cancel"]


async def test_threads_made_at_once_in_another_order_do_not_deadlock(plane, hand, pool):
    first, middle, last = sorted(ids.new_id() for _ in range(3))

    async def batch(*thread_ids):
        async with pool.acquire() as conn:
            return await runs.create(conn, [new_run(t) for t in thread_ids])

    async with pool.acquire() as conn:
        held = conn.transaction()
        await held.start()
        await conn.execute(
            "insert into thread (organization_id, thread_id) values ($1, $2)", ORG, middle
        )
        batches = [
            asyncio.create_task(batch(*order))
            for order in ((first, middle, last), (last, middle, first))
        ]
        await blocked(pool, 2)
        await held.rollback()
        made = await asyncio.gather(*batches)
    assert sorted(map(len, made)) == [0, 3]


def new_run(thread_id):
    return runs.NewRun(
        run_id=ids.new_id(),
        organization_id=ORG,
        thread_id=thread_id,
        assistant_id=ids.system_assistant_id("g"),
        revision=1,
        graph_id="g",
        queue="default",
        kind="run",
        multitask_strategy="enqueue",
        base_metadata=b"{}",
        thread_metadata=b"{}",
        metadata=b"{}",
        kwargs=b"{}",
        thread_config=b"{}",
        after_seconds=0,
        checkpoint_id=None,
        on_disconnect="continue",
        on_completion="keep",
        make_thread=True,
        temporary=False,
    )


STRATEGIES = ("reject", "enqueue", "interrupt", "rollback")
EXPECTED = {200, 202, 204, 404, 409}
"""Of requests that meet: done, or refused for what another did."""


async def work(hand):
    """Take tasks, each to a checkpoint and then to its end, until cancelled."""
    while True:
        for task in (await hand.poll()).tasks:
            parent = task.snapshot and task.snapshot.checkpoint_id
            at = ids.checkpoint_id(parent)
            written = [ChannelWrite("a", b"1")]
            state = Checkpoint(at, parent, "", "loop", 0, "", [], written, {"a": at})
            first = await hand.report(task, checkpoints=[state])
            last = await hand.finish(task, batch=2)
            assert {first.verdict, last.verdict} <= {"accepted", "cancelled", "fenced"}


@contextlib.asynccontextmanager
async def working(*hands):
    jobs = [asyncio.create_task(work(hand)) for hand in hands]
    yield
    for job in jobs:
        job.cancel()
    ended = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


async def settled(pool):
    """Returns once no run is open."""
    async with asyncio.timeout(IN_TIME), pool.acquire() as conn:
        while await conn.fetchval("select count(*) from thread where open_runs > 0"):
            await runs.promote_strays(conn)


async def test_a_hundred_creations_at_once_on_two_planes(start_plane, pool, database_url):
    planes = [await start_plane(), await start_plane()]
    hands = [await plane.worker("g") for plane in planes]
    thread_id = ids.new_id()
    async with working(*hands):
        answers = await asyncio.gather(
            *(
                planes[n % 2].post(
                    f"/threads/{thread_id}/runs",
                    RUN | {"multitask_strategy": STRATEGIES[n // 2 % 4], "if_not_exists": "create"},
                )
                for n in range(100)
            )
        )
        assert {a.status for a in answers} <= {200, 409}
        assert all(
            a.status == 200 for n, a in enumerate(answers) if STRATEGIES[n // 2 % 4] != "reject"
        )
        await settled(pool)
    assert await audit(database_url, deletions=True) == 0
    assert await deadlocks(pool) == 0


async def test_everything_at_once_on_few_threads(start_plane, pool, database_url):
    planes = [await start_plane(), await start_plane()]
    hands = [await plane.worker("g") for plane in planes]
    chance = random.Random(11)
    threads, created = [ids.new_id() for _ in range(3)], []

    async def something(plane):
        thread_id = chance.choice(threads)
        path = f"/threads/{thread_id}"
        match chance.randrange(8):
            case 0 | 1 | 2 | 3:
                options = {
                    "multitask_strategy": chance.choice(STRATEGIES),
                    "if_not_exists": "create",
                    "after_seconds": chance.choice([0, 0, 0, 0.05]),
                }
                answer = await plane.post(f"{path}/runs", RUN | options)
                if answer.status == 200:
                    created.append((thread_id, answer.json["run_id"]))
                return answer
            case 4 | 5 if created:
                thread_id, run_id = chance.choice(created)
                action = chance.choice(["interrupt", "rollback"])
                return await plane.post(
                    f"/threads/{thread_id}/runs/{run_id}/cancel?action={action}"
                )
            case 6 if created:
                thread_id, run_id = chance.choice(created)
                return await plane.delete(f"/threads/{thread_id}/runs/{run_id}")
            case _ if chance.random() < 0.2:
                return await plane.delete(path)
            case _:
                return await plane.get(f"{path}/state")

    async with working(*hands):
        for _ in range(10):
            answers = await asyncio.gather(*(something(planes[n % 2]) for n in range(40)))
            bad = [(a.status, a.body) for a in answers if a.status not in EXPECTED]
            assert not bad
        await settled(pool)
    assert await audit(database_url, deletions=True) == 0
    assert await deadlocks(pool) == 0


async def deadlocks(pool):
    async with pool.acquire() as conn:
        return await conn.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )


@pytest.mark.parametrize("how", ["cancel", "bury"])
async def test_a_temporary_thread_goes_however_its_run_ends(plane, hand, pool, how):
    run_id = (await plane.post("/runs", RUN)).json["run_id"]
    task = await task_of(hand)
    async with pool.acquire() as conn:
        if how == "cancel":
            path = f"/threads/{task.thread_id}/runs/{run_id}/cancel"
            assert (await plane.post(path)).status == 202
        else:
            (run,) = await reaping.doomed(conn, max_attempts=1, timeout_seconds=0)
            assert await reaping.bury(conn, run, b'{"error":"E","message":""}')
        assert await conn.fetchval("select erase_at > now() from thread where temporary")


async def test_a_lease_renewed_meanwhile_is_not_judged(plane, hand, pool, database_url):
    run_id = (await plane.post("/runs", RUN)).json["run_id"]
    task = await task_of(hand)
    async with pool.acquire() as conn:
        await conn.execute("update run set lease_until = now() - interval '1 s'")
        (run,) = await reaping.doomed(conn, max_attempts=1, timeout_seconds=3600)
        assert (await hand.report(task)).verdict == "accepted"
        assert await reaping.bury(conn, run, b'{"error":"E","message":""}') is None
    assert (await hand.finish(task, batch=2)).verdict == "accepted"
    assert run.run_id == run_id
    assert await audit(database_url) == 0


REFUSE = """
create function refuse() returns trigger language plpgsql as $$ begin raise 'not this one'; end $$;
create trigger refuse before update on run for each row
    when (new.status = 'timeout' and new.run_id = '{}') execute function refuse();
"""


async def test_a_run_that_cant_be_given_up_keeps_no_other_from_its_end(
    plane, hand, pool, config, owner
):
    threads = [await thread_of(plane) for _ in range(2)]
    refused, doomed = [await create(plane, thread) for thread in threads]
    for _ in threads:
        await task_of(hand)
    await owner.execute("update run set leased_at = now() - interval '1 day'")
    await owner.execute(REFUSE.format(refused))
    deps = plane.app[DEPS]
    async with pg.acquire(pool) as conn:
        await Reaper(config, pool, deps.dispatcher, deps.streams, deps.cancels).reap(conn)
    ended = await owner.fetch("select run_id::text from run where status = 'timeout'")
    assert [r["run_id"] for r in ended] == [doomed]


async def test_reports_of_the_same_runs_in_another_order_do_not_deadlock(plane, hand, pool):
    for _ in range(3):
        await plane.post("/runs", RUN)
    tasks = {}
    while len(tasks) < 3:
        tasks |= {task.run_id: task for task in (await hand.poll()).tasks}
    given = [tasks[run_id] for run_id in sorted(tasks)]

    async def batch(*order):
        sent = [Report(t.run_id, t.epoch, 1, [Frame("custom", b"1")]) for t in order]
        async with pool.acquire() as conn:
            return await reports.record(conn, [Reported(hand.worker_id, r) for r in sent])

    async with pool.acquire() as conn:
        held = conn.transaction()
        await held.start()
        await conn.execute("select from run where run_id = $1 for update", given[1].run_id)
        batches = [asyncio.create_task(batch(*order)) for order in (given, reversed(given))]
        await blocked(pool, 2)
        await held.rollback()
        assert sorted(map(len, await asyncio.gather(*batches))) == [0, 3]


async def test_a_connection_lost_in_the_middle_of_a_flush_loses_and_doubles_nothing(
    plane, hand, pool, database_url
):
    thread_id = await thread_of(plane)
    killer = await asyncpg.connect(database_url)

    async def cut(request):
        """Start `request`, cut its connection to the database while it waits for the thread."""
        async with killer.transaction():
            await killer.execute("select from thread for update")
            started = asyncio.create_task(request)
            await blocked(pool)
            await killer.fetch("select pg_terminate_backend(pid) from pg_locks where not granted")
            return await started

    path = f"/threads/{thread_id}/runs"
    assert (await cut(plane.post(path, RUN))).status == 503
    await create(plane, thread_id)
    task = await task_of(hand)
    last = Report(task.run_id, task.epoch, 1, [Frame("custom", b"1")], outcome=Outcome("success"))
    report = f"/api/v1/workers/{hand.worker_id}/report"
    assert (await cut(plane.post(report, data=pack([last])))).status == 503
    for _ in range(2):
        answer = await plane.post(report, data=pack([last]))
        assert [v.verdict for v in unpack(answer.body, list[Verdict])] == ["accepted"]
    await killer.close()
    assert await audit(database_url) == 0


async def test_planes_make_partitions_in_turn(pool, database_url):
    async def ahead():
        async with pool.acquire() as conn:
            await partitions.make_ahead(conn)

    await asyncio.gather(*(ahead() for _ in range(4)))
