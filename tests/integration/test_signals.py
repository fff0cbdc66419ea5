"""A signal reaches the run that waits for it, whichever of the two comes first."""

import asyncio
import random

import pytest

from duragraph import ids, pg
from duragraph.errors import NotFound
from duragraph.pg import Limits, endings, runs, waits
from duragraph.protocol import Effect
from duragraph.waiting import TIMED_OUT
from tests.crash.evidence import audit
from tests.integration.patient import IN_TIME, begin, signal, take

pytestmark = pytest.mark.timeout(60)

KEPT = "select name, payload::text from signal order by signal_id"


@pytest.fixture
async def pool(database_url):
    pool = await pg.open_pool(database_url, "duragraph_engine", size=2)
    yield pool
    pool.terminate()


async def give(conn, run):
    """A signal, as part of the caller's transaction."""
    at = pg.DEFAULT_ORGANIZATION, run.task.thread_id
    return await waits.signal(conn, *at, name="go", payload=b"1")


async def stand_still(conn, many):
    """So many transactions wait for locks."""
    waiting = "select count(distinct pid) from pg_locks where not granted"
    async with asyncio.timeout(IN_TIME):
        while await conn.fetchval(waiting) < many:
            pass


async def kept(owner):
    return [tuple(row) for row in await owner.fetch(KEPT)]


@pytest.mark.parametrize("value", [None, False, "yes", {"by": ["Ann", 1.5, "\x00"]}])
async def test_it_wakes_the_run_that_waits_and_brings_its_value(plane, hand, value):
    run = await begin(hand)
    await run.wait(run.signal("approved"))
    assert await signal(plane, run.thread, "approved", value) == 202
    shown = {None: b"null", False: b"false", "yes": b'"yes"'}
    known = shown.get(value) if not isinstance(value, dict) else b'{"by":["Ann",1.5,"\\ufffd"]}'
    assert (await run.woken()).effects == {"signal": known}


async def test_its_value_may_be_left_out(plane, hand):
    run = await begin(hand)
    await run.wait(run.signal())
    answer = await plane.post(f"{run.thread}/signals", {"name": "go"})
    assert (answer.status, answer.json) == (202, {"run_id": run.task.run_id})
    assert (await run.woken()).effects == {"signal": b"null"}


async def test_one_that_comes_before_is_kept_until_the_run_asks(plane, hand, owner, database_url):
    run = await begin(hand)
    for value in (1, 2):
        assert await signal(plane, run.thread, value=value) == 202
    await run.wait(run.signal(key="first"), run.signal("other"))
    woken = await run.woken()
    assert woken.effects == {"first": b"1"}
    await woken.wait(woken.signal(key="second"), batch=1)
    assert (await woken.woken()).effects == {"first": b"1", "second": b"2"}
    assert await kept(owner) == []
    assert await audit(database_url) == 1


async def test_one_that_comes_before_its_run_has_begun_is_kept_too(plane, hand):
    hand.slots = 0
    thread_id = ids.new_id()
    run_id = await plane.start_run(thread_id, after_seconds=0.1)
    assert await signal(plane, f"/threads/{thread_id}") == 202
    hand.slots = 10
    run = await take(hand, run_id)
    await run.wait(run.signal())
    assert (await run.woken()).effects == {"signal": b"null"}


async def test_it_is_for_the_run_that_holds_the_thread_not_for_the_next(plane, hand, owner):
    run = await begin(hand)
    next_id = await plane.start_run(run.task.thread_id)
    assert await signal(plane, run.thread) == 202
    await hand.finish(run.task, batch=2)
    following = await take(hand, next_id)
    assert await kept(owner) == []
    await following.wait(following.signal())
    assert (await plane.get(following.path)).json["status"] == "running"


async def test_all_that_wait_for_it_have_it(plane, hand):
    run = await begin(hand)
    await run.wait(run.signal(key="one"), run.signal(key="two"), run.signal("other", key="three"))
    assert await signal(plane, run.thread, value=1) == 202
    assert (await run.woken()).effects == {"one": b"1", "two": b"1"}


async def test_one_that_comes_while_the_run_is_at_work_is_kept_for_what_it_asks_next(plane, hand):
    """What it waited for before may be given up by then."""
    run = await begin(hand)
    await run.wait(run.signal(key="given up"), run.sleep(0))
    woken = await run.woken()
    assert await signal(plane, run.thread, value=1) == 202
    await woken.wait(woken.signal(key="asked next"), batch=1)
    assert (await woken.woken()).effects == {"sleep": b"null", "asked next": b"1"}


async def test_a_wait_ends_once_also_where_its_time_was_up(plane, hand, owner):
    run = await begin(hand)
    await run.wait(run.signal(seconds=0))
    woken = await run.woken()
    assert await signal(plane, run.thread, value=1) == 202
    assert woken.effects == {"signal" + TIMED_OUT: b"null"}
    await woken.wait(woken.signal(seconds=0), batch=1)
    again = await woken.woken()
    assert again.effects == woken.effects
    assert await kept(owner) == [("go", "1")]


async def test_one_that_comes_too_late_is_kept_though_nobody_has_woken_the_run_yet(
    hand, pool, owner
):
    run = await begin(hand)
    await run.wait(run.signal(seconds=3600))
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("update wait set due_at = now() - interval '1 s'")
        await give(conn, run)
    assert (await run.woken()).effects == {"signal" + TIMED_OUT: b"null"}
    assert await kept(owner) == [("go", "1")]


async def test_one_in_time_is_no_time_out(plane, hand):
    run = await begin(hand)
    await run.wait(run.signal(seconds=3600))
    assert await signal(plane, run.thread) == 202
    assert (await run.woken()).effects == {"signal": b"null"}


async def test_one_that_comes_to_a_run_just_woken_is_there_as_it_goes_on(plane, hand):
    run = await begin(hand)
    await plane.post(f"/api/v1/workers/{hand.worker_id}/drain")
    await run.wait(run.sleep(0), run.signal())
    assert await signal(plane, run.thread) == 202
    woken = await run.woken(await plane.worker("g"))
    assert woken.effects == {"sleep": b"null", "signal": b"null"}


async def test_users_signal_what_is_theirs(plane, hand, database_url):
    """Within the limits of `duragraph_user`, whether the run waits already or not."""
    users = await pg.open_pool(database_url, "duragraph_user", size=1)
    run = await begin(hand)
    await plane.patch(run.thread, {"metadata": {"owner": "ann"}})

    async def send(owner):
        limits = Limits(threads=f'{{"owner":{{"$eq":"{owner}"}}}}')
        async with pg.limited(users, pg.DEFAULT_ORGANIZATION, limits) as conn, conn.transaction():
            return await give(conn, run)

    with pytest.raises(NotFound):
        await send("bob")
    assert (await send("ann")).taken
    await run.wait(run.signal(key="kept"))
    run = await run.woken()
    await run.wait(run.signal(key="waited for"), batch=1)
    with pytest.raises(NotFound):
        await send("bob")
    assert (await send("ann")).taken
    assert (await run.woken()).effects == {"kept": b"1", "waited for": b"1"}
    users.terminate()


# what is refused


async def test_there_must_be_a_thread_with_an_open_run(plane, hand):
    run = await begin(hand)
    await hand.finish(run.task, batch=2)
    answer = await plane.post(f"{run.thread}/signals", {"name": "go"})
    assert answer.status == 409
    assert "open run" in answer.json["detail"]
    assert await signal(plane, f"/threads/{ids.new_id()}") == 404


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 1}, {"name": "n" * 256}, []])
async def test_it_must_have_a_name(plane, hand, body):
    run = await begin(hand)
    assert (await plane.post(f"{run.thread}/signals", body)).status == 422


async def test_a_run_keeps_so_many_only(plane, hand, owner):
    run = await begin(hand)
    await owner.execute(
        "insert into signal (organization_id, thread_id, run_id, name, payload)"
        " select organization_id, thread_id, run_id, 'go', '1' from run, generate_series(1, 1000)"
    )
    assert await signal(plane, run.thread) == 409
    await run.wait(run.signal())
    await run.woken()
    assert await signal(plane, run.thread) == 202


async def test_it_is_sent_once_under_a_key(plane, hand, owner):
    run = await begin(hand)
    for _ in range(2):
        answer = await plane.post(
            f"{run.thread}/signals", {"name": "go"}, headers={"Idempotency-Key": "k"}
        )
        assert (answer.status, answer.json) == (202, {"run_id": run.task.run_id})
    assert len(await kept(owner)) == 1


# what meets


async def test_it_meets_the_end_of_its_run_and_goes_to_the_next(plane, hand, pool):
    run = await begin(hand)
    following = await plane.start_run(run.task.thread_id)
    at = pg.DEFAULT_ORGANIZATION, run.task.thread_id
    async with pool.acquire() as conn, conn.transaction():
        assert await endings.cancel(conn, *at, run_ids=[run.task.run_id])
        await runs.promote(conn, [at])
        sending = asyncio.create_task(plane.post(f"{run.thread}/signals", {"name": "go"}))
        await stand_still(conn, 1)
    sent = await sending
    assert (sent.status, sent.json) == (202, {"run_id": following})


async def test_it_goes_to_the_run_that_takes_the_place_of_its_own_meanwhile(plane, hand, pool):
    """When the signal looked there was no other run yet."""
    run = await begin(hand)
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("select from run where run_id = $1 for update", run.task.run_id)
        replacing = asyncio.create_task(
            plane.start_run(run.task.thread_id, multitask_strategy="interrupt")
        )
        await stand_still(conn, 1)
        sending = asyncio.create_task(plane.post(f"{run.thread}/signals", {"name": "go"}))
        await stand_still(conn, 2)
    sent = await sending
    assert (sent.status, sent.json) == (202, {"run_id": await replacing})


async def test_it_meets_the_report_that_waits_for_it_at_another_plane(start_plane, database_url):
    """Whichever is first, the run goes on, and takes the signal once."""
    one, other = await start_plane(), await start_plane()
    hand = await one.worker("g", slots=100)
    dice = random.Random(1)
    for _ in range(30):
        run = await begin(hand)

        async def later(coroutine):
            for _ in range(dice.randrange(5)):
                await asyncio.sleep(0)
            return await coroutine

        verdict, status = await asyncio.gather(
            later(run.wait(run.signal())), later(signal(other, run.thread, value=1))
        )
        assert (verdict.verdict, status) == ("accepted", 202)
        woken = await run.woken()
        assert woken.task.effects == [Effect(run.at, "signal", b"1")]
        assert (await hand.finish(woken.task)).verdict == "accepted"
    assert await audit(database_url) == 0


async def test_it_meets_a_cancel(plane, hand, database_url):
    for _ in range(20):
        run = await begin(hand)
        await run.wait(run.signal())
        status, cancelled = await asyncio.gather(
            signal(plane, run.thread), plane.post(f"{run.path}/cancel")
        )
        assert status in (202, 409)
        assert cancelled.status == 202
        assert (await plane.get(run.path)).json["status"] == "interrupted"
        assert await audit(database_url) == 0


async def test_many_at_once_are_all_taken_in_turn(start_plane, database_url):
    one, other = await start_plane(), await start_plane()
    hand = await one.worker("g")
    run = await begin(hand)
    await run.wait(run.signal(key="0"))
    sent = [signal((one, other)[n % 2], run.thread, value=n) for n in range(10)]
    assert await asyncio.gather(*sent) == [202] * 10
    for n in range(1, 10):
        run = await run.woken()
        await run.wait(run.signal(key=str(n)), batch=1)
    values = (await run.woken()).effects.values()
    assert sorted(int(value) for value in values) == list(range(10))
    assert await audit(database_url) == 1
