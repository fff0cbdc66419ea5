"""Threads that live for some minutes: then they go, or are cut to their newest state."""

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from duragraph import ids, pg
from duragraph.pg import erasure
from duragraph.protocol import ChannelWrite, Checkpoint

RUN = {"assistant_id": "g", "input": {}}


@asynccontextmanager
async def sweeper(database_url):
    """One sweep, as the reaper's."""
    pool = await pg.open_pool(database_url, "duragraph_engine", size=2)

    async def sweep():
        async with pg.acquire(pool) as conn:
            await erasure.sweep(conn)

    yield sweep
    await pool.close()


@pytest.fixture
async def sweep(database_url):
    async with sweeper(database_url) as sweep:
        yield sweep


@pytest.fixture
async def sweep_too(database_url):
    async with sweeper(database_url) as sweep:
        yield sweep


async def make(plane, **body):
    answer = await plane.post("/threads", body)
    assert answer.status == 200, answer.body
    return f"/threads/{answer.json['thread_id']}"


async def left(plane, path):
    """What there is of its time to live, and the minutes until then."""
    found = (await plane.get(f"{path}?include=ttl")).json
    if (ttl := found.get("ttl")) is None:
        return None
    assert ttl.keys() == {"strategy", "ttl_minutes", "expires_at"}
    expires = datetime.fromisoformat(ttl["expires_at"])
    since = expires - datetime.fromisoformat(found["updated_at"])
    return ttl["strategy"], ttl["ttl_minutes"], round(since / timedelta(minutes=1), 1)


async def age(owner, minutes):
    """As if so much time had passed."""
    await owner.execute(
        "update thread set expires_at = expires_at - make_interval(mins => $1)", minutes
    )


async def recorded(plane, hand, path, checkpoints=3):
    """A run that leaves so many checkpoints."""
    assert (await plane.post(f"{path}/runs", RUN)).status == 200
    task, made = await hand.task(), []
    parent = task.snapshot and task.snapshot.checkpoint_id
    for _ in range(checkpoints):
        own = ids.checkpoint_id(parent)
        part = ChannelWrite("a", b"1")
        made.append(Checkpoint(own, parent, "", "loop", 0, "", [], [part], {"a": own}))
        parent = own
    await hand.finish(task, checkpoints=made)


async def history(plane, path):
    return len((await plane.post(f"{path}/history", {"limit": 100})).json)


async def test_it_is_shown_where_it_is_asked_for(plane):
    path = await make(plane, ttl={"ttl": 5})
    assert await left(plane, path) == ("delete", 5, 5)
    assert "ttl" not in (await plane.get(path)).json
    assert "ttl" not in (await plane.get(f"{path}?include=nope")).json
    assert "ttl" in (await plane.get(f"{path}?include=nope,ttl")).json
    assert await left(plane, await make(plane)) is None


async def test_a_patch_counts_anew(plane):
    path = await make(plane)
    for ttl, expected in (
        ({"ttl": 1.5, "strategy": "keep_latest"}, ("keep_latest", 1.5, 1.5)),
        ({"ttl": 3}, ("keep_latest", 3, 3)),
        ({"strategy": "delete"}, ("delete", 3, 3)),
        (None, None),
    ):
        answer = await plane.patch(path, {"metadata": None, "ttl": ttl})
        assert answer.status == 200
        assert "ttl" not in answer.json
        assert await left(plane, path) == expected


@pytest.mark.parametrize("ttl", [5, {"ttl": 0}, {"ttl": -1}, {"ttl": "x"}, {"strategy": "nope"}])
async def test_other_times_are_refused(plane, ttl):
    assert (await plane.post("/threads", {"ttl": ttl})).status == 422
    assert (await plane.patch(await make(plane), {"ttl": ttl})).status == 422


async def test_the_configuration_has_a_default(start_plane):
    plane = await start_plane(thread_ttl_minutes=7.5, thread_ttl_strategy="keep_latest")
    hand = await plane.worker("g")
    assert await left(plane, await make(plane)) == ("keep_latest", 7.5, 7.5)
    assert await left(plane, await make(plane, ttl={"ttl": 1})) == ("keep_latest", 1, 1)
    assert await left(plane, await make(plane, ttl=None)) is None
    run = (await plane.post("/runs", RUN | {"on_completion": "keep"})).json
    await hand.finish(await hand.task())
    path = f"/threads/{run['thread_id']}"
    assert (await left(plane, path))[:2] == ("keep_latest", 7.5)
    copied = (await plane.post(f"{path}/copy")).json
    assert (await left(plane, f"/threads/{copied['thread_id']}"))[:2] == ("keep_latest", 7.5)


async def test_a_thread_goes_when_its_time_is_over(plane, hand, owner, sweep):
    going, staying = await make(plane, ttl={"ttl": 5}), await make(plane)
    await recorded(plane, hand, going)
    await age(owner, 4)
    await sweep()
    assert (await plane.get(going)).status == 200
    await age(owner, 2)
    await sweep()
    assert (await plane.get(going)).status == 404
    assert (await plane.get(staying)).status == 200
    for table in ("thread", "run", "checkpoint", "channel_value"):
        count = await owner.fetchval(f"select count(*) from {table}")
        assert count == (table == "thread"), table


async def test_the_reaper_sweeps(start_plane, owner):
    plane = await start_plane(sweep_seconds=0.01)
    path = await make(plane, ttl={"ttl": 5})
    await age(owner, 6)
    while (await plane.get(path)).status != 404:
        pass


async def test_a_thread_with_an_open_run_stays_until_that_ends(plane, hand, owner, sweep):
    path = await make(plane, ttl={"ttl": 5})
    assert (await plane.post(f"{path}/runs", RUN)).status == 200
    task = await hand.task()
    await age(owner, 6)
    await sweep()
    assert (await plane.get(path)).json["status"] == "busy"
    assert (await hand.finish(task)).verdict == "accepted"
    await sweep()
    assert (await plane.get(path)).status == 404


async def test_keep_latest_prunes_each_time(plane, hand, owner, sweep):
    path = await make(plane, ttl={"ttl": 5, "strategy": "keep_latest"})
    for runs in (1, 2):
        await recorded(plane, hand, path)
        assert await history(plane, path) == 2 + runs
        await age(owner, 6)
        for _ in range(3):
            await sweep()
        assert await history(plane, path) == 1
        assert (await left(plane, path))[:2] == ("keep_latest", 5)
        due = await owner.fetchval("select count(*) from thread where expires_at < now()")
        assert due == 0, "its time is counted anew"
    assert (await plane.get(f"{path}/state")).json["values"] == {"a": 1}


async def test_keep_latest_leaves_a_thread_with_an_open_run_alone(plane, hand, owner, sweep):
    path = await make(plane, ttl={"ttl": 5, "strategy": "keep_latest"})
    await recorded(plane, hand, path)
    assert (await plane.post(f"{path}/runs", RUN)).status == 200
    await age(owner, 6)
    await sweep()
    assert await history(plane, path) == 3


async def test_planes_sweep_side_by_side(plane, hand, owner, sweep, sweep_too):
    for strategy in ("delete", "keep_latest"):
        for _ in range(5):
            path = await make(plane, ttl={"ttl": 5, "strategy": strategy})
            await recorded(plane, hand, path)
    await age(owner, 6)
    for _ in range(4):
        await asyncio.gather(sweep(), sweep_too(), sweep())
    assert await owner.fetchval("select count(*) from thread") == 5
    assert await owner.fetchval("select count(*) from checkpoint") == 5
    assert await owner.fetchval("select count(*) from channel_value") == 5


async def test_a_thread_in_use_holds_up_no_sweep(plane, hand, owner, sweep):
    held = await make(plane, ttl={"ttl": 5, "strategy": "keep_latest"})
    other = await make(plane, ttl={"ttl": 5})
    await recorded(plane, hand, held)
    await age(owner, 6)
    async with owner.transaction():
        await owner.execute("select from thread where ttl_strategy = 'keep_latest' for update")
        await sweep()
        assert (await plane.get(other)).status == 404
        assert await history(plane, held) == 3


async def test_what_a_crash_left_half_erased_goes_with_the_next_sweep(plane, owner, sweep):
    path = await make(plane)
    await owner.execute("update thread set erase_at = now()")
    assert (await plane.get(path)).status == 404
    await sweep()
    assert await owner.fetchval("select count(*) from thread") == 0


async def test_a_long_history_goes_over_some_batches(plane, hand, owner, sweep, monkeypatch):
    path = await make(plane, ttl={"ttl": 5})
    for _ in range(3):
        await recorded(plane, hand, path, checkpoints=230)
    await age(owner, 6)
    monkeypatch.setattr(erasure, "BATCHES_A_SWEEP", 2)
    await sweep()
    assert 0 < await owner.fetchval("select count(*) from checkpoint") < 690
    assert (await plane.get(path)).status == 404
    monkeypatch.setattr(erasure, "BATCHES_A_SWEEP", 25)
    await sweep()
    assert await owner.fetchval("select count(*) from checkpoint") == 0
