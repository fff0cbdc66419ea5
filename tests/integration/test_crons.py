"""Crons through the API, and the scheduler under a clock that the tests move."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from io import BytesIO

import asyncpg
import attrs
import msgspec
import pytest

from duragraph import pg
from duragraph.deps import DEPS
from duragraph.errors import DuraGraphError
from duragraph.scheduler import AGAIN_SECONDS, GRACE, Scheduler
from tests.schedules import Clock, utc

NOBODY = "00000000-0000-4000-8000-000000000000"
START = utc("2031-03-08 12:00")
"""Far from now, so that the planes' own schedulers find nothing due."""
WAITING = """
select count(*) from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database()
"""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@attrs.frozen
class Town:
    """A plane with an assistant, a second scheduler on it, and a look at the tables."""

    plane: object
    database: asyncpg.Connection
    time: Clock
    scheduler: Scheduler
    assistant_id: str
    thread_id: str

    async def cron(self, *, thread=False, due=START, **fields):
        """Made through the API, then put to where the tests' time is."""
        body = {"assistant_id": self.assistant_id, "schedule": "0 * * * *", "input": {"n": 1}}
        path = f"/threads/{self.thread_id}/runs/crons" if thread else "/runs/crons"
        made = await self.plane.post(path, body | fields)
        assert made.status == 200, made.body
        cron_id = made.json["cron_id"]
        await self.database.execute(
            "update cron set next_run_date = $2 where cron_id = $1", cron_id, due
        )
        return cron_id

    async def get(self, cron_id):
        return (await self.plane.get(f"/runs/crons/{cron_id}")).json

    async def look(self, at=None):
        """Fire all that is due `at` a moment; returns what the last look said."""
        self.time.now = at or self.time.now
        while (seconds := await self.scheduler.look()) == 0:
            pass
        return seconds

    async def ticks(self, cron_id):
        """The dates that its runs are for, in order of their making."""
        rows = await self.database.fetch(
            "select metadata->>'cron_run_date' as tick from run"
            " where metadata->>'cron_id' = $1 order by run_id",
            cron_id,
        )
        return [utc(row["tick"]) for row in rows]

    async def due(self, cron_id):
        found = (await self.get(cron_id))["next_run_date"]
        return None if found is None else utc(found)


@pytest.fixture
async def town(plane, database_url):
    await plane.worker("g")
    assistant = {"graph_id": "g", "config": {"tags": ["base"]}, "context": {"a": 1}}
    assistant_id = (await plane.post("/assistants", assistant)).json["assistant_id"]
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    database = await asyncpg.connect(database_url)
    deps, time = plane.app[DEPS], Clock(START)
    scheduler = Scheduler(deps.config, deps.engine, deps.creates, clock=time)
    yield Town(plane, database, time, scheduler, assistant_id, thread_id)
    await database.close()


async def runs_of(plane, thread_id):
    return (await plane.get(f"/threads/{thread_id}/runs")).json


async def test_a_tick_makes_the_run_that_the_body_asks_for(town):
    cron_id = await town.cron(
        thread=True,
        metadata={"mine": 1},
        config={"configurable": {"b": 2}, "recursion_limit": 7},
        stream_mode=["updates"],
        durability="sync",
        interrupt_before=["x"],
    )
    await town.plane.patch(f"/assistants/{town.assistant_id}", {"config": {"tags": ["new"]}})
    await town.look()
    (run,) = await runs_of(town.plane, town.thread_id)
    kwargs = run["kwargs"]
    assert run["assistant_id"] == town.assistant_id
    assert run["metadata"]["mine"] == 1
    assert run["metadata"]["cron_id"] == cron_id
    assert run["metadata"]["cron_run_date"] == START.isoformat()
    assert kwargs["input"] == {"n": 1}
    assert kwargs["config"]["tags"] == ["new"], "merged when it fires, not when it is made"
    assert kwargs["config"]["recursion_limit"] == 7
    assert kwargs["config"]["configurable"]["b"] == 2
    assert kwargs["config"]["configurable"]["cron_id"] == cron_id
    assert (kwargs["stream_mode"], kwargs["durability"]) == (["updates"], "sync")
    assert kwargs["interrupt_before"] == ["x"]
    thread = (await town.plane.get(f"/threads/{town.thread_id}")).json
    assert "cron_id" not in thread["config"]["configurable"]


async def test_context_reaches_the_run(town):
    await town.cron(thread=True, context={"b": 2})
    await town.look()
    (run,) = await runs_of(town.plane, town.thread_id)
    assert run["kwargs"]["context"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(("completed", "temporary"), [("keep", False), ("delete", True)])
async def test_a_cron_without_a_thread_makes_one_a_tick(town, completed, temporary):
    cron_id = await town.cron(on_run_completed=completed)
    await town.look()
    await town.look(START + HOUR)
    rows = await town.database.fetch(
        "select temporary from thread where thread_id <> $1", town.thread_id
    )
    assert [row["temporary"] for row in rows] == [temporary] * 2
    assert await town.ticks(cron_id) == [START, START + HOUR]


async def test_each_tick_is_fired_once_and_the_cron_moves_on(town):
    cron_id = await town.cron()
    before = await town.get(cron_id)
    for minutes in range(0, 181, 7):
        await town.look(START + minutes * MINUTE)
    assert await town.ticks(cron_id) == [START + n * HOUR for n in range(3)]
    after = await town.get(cron_id)
    assert utc(after["next_run_date"]) == START + 3 * HOUR
    assert after["updated_at"] == before["updated_at"]


async def test_it_sleeps_until_the_next_is_due(town):
    assert await town.scheduler.look() == town.plane.app[DEPS].config.sweep_seconds
    await town.cron(due=START + 90 * MINUTE)
    assert await town.look() == 90 * 60


async def test_ticks_that_were_missed_make_one_run(town):
    cron_id = await town.cron()
    await town.look(START + 9 * HOUR + MINUTE)
    assert await town.ticks(cron_id) == [START + 9 * HOUR]
    assert await town.due(cron_id) == START + 10 * HOUR


async def test_a_tick_missed_for_too_long_is_not_made_up_for(town):
    lost = await town.cron(schedule="0 12 * * SAT")
    kept = await town.cron(schedule="0 12 * * SAT", due=START + MINUTE)
    frequent = await town.cron()
    await town.look(START + GRACE + MINUTE)
    assert await town.ticks(lost) == []
    assert await town.due(lost) == START + timedelta(days=7)
    assert await town.ticks(kept) == [START + MINUTE]
    assert await town.ticks(frequent) == [START + GRACE]


async def test_no_tick_is_fired_after_the_end(town):
    cron_id = await town.cron(end_time=(START + HOUR).isoformat())
    for hours in range(4):
        await town.look(START + hours * HOUR)
    assert await town.ticks(cron_id) == [START, START + HOUR]
    assert await town.due(cron_id) is None
    await town.plane.patch(f"/runs/crons/{cron_id}", {"end_time": None})
    assert await town.due(cron_id) is not None


async def test_a_last_tick_missed_before_the_end_is_made_up_for(town):
    cron_id = await town.cron(end_time=(START + HOUR).isoformat())
    await town.look(START + 5 * HOUR)
    assert await town.ticks(cron_id) == [START + HOUR]
    assert await town.due(cron_id) is None


async def test_a_disabled_cron_rests_and_makes_up_for_nothing(town):
    cron_id, other = await town.cron(enabled=False), await town.cron()
    path = f"/runs/crons/{cron_id}"
    await town.look(START + 2 * HOUR)
    assert (await town.ticks(cron_id), len(await town.ticks(other))) == ([], 1)
    await town.database.execute(
        "update cron set next_run_date = '2001-01-01' where cron_id = $1", cron_id
    )
    enabled = (await town.plane.patch(path, {"enabled": True})).json
    assert utc(enabled["next_run_date"]) > datetime.now(UTC)


async def test_only_a_change_of_when_moves_the_next_tick(town):
    cron_id = await town.cron()
    for fields in (
        {"input": {}},
        {"enabled": True},
        {"metadata": {"a": 1}},
        {"schedule": "0 * * * *"},
    ):
        await town.plane.patch(f"/runs/crons/{cron_id}", fields)
        assert await town.due(cron_id) == START, fields
    await town.plane.patch(f"/runs/crons/{cron_id}", {"timezone": "Europe/Berlin"})
    assert await town.due(cron_id) < START


@pytest.mark.parametrize(
    ("strategy", "statuses"),
    [
        ("enqueue", ["pending", "pending"]),
        ("reject", ["pending"]),
        ("interrupt", ["interrupted", "pending"]),
        ("rollback", ["pending"]),
    ],
)
async def test_a_busy_thread_gets_what_the_strategy_says(town, strategy, statuses):
    cron_id = await town.cron(thread=True, multitask_strategy=strategy)
    await town.look()
    (first,) = await runs_of(town.plane, town.thread_id)
    await town.look(START + HOUR)
    runs = (await runs_of(town.plane, town.thread_id))[::-1]
    assert [run["status"] for run in runs] == statuses
    assert (runs[0]["run_id"] == first["run_id"]) == (strategy != "rollback")
    assert await town.due(cron_id) == START + 2 * HOUR


async def test_deleting_an_assistant_or_a_thread_deletes_its_crons(town):
    bound, free = await town.cron(thread=True), await town.cron()
    assert (await town.plane.delete(f"/threads/{town.thread_id}")).status == 204
    assert (await town.plane.get(f"/runs/crons/{bound}")).status == 404
    assert (await town.plane.get(f"/runs/crons/{free}")).status == 200
    assert (await town.plane.delete(f"/assistants/{town.assistant_id}")).status == 204
    assert (await town.plane.get(f"/runs/crons/{free}")).status == 404


HARMS = {
    "the thread goes": "update thread set erase_at = now() + interval '1 hour'",
    "the assistant is no good": "update assistant set revision = revision + 1,"
    """ config = '{"configurable": {"checkpoint_id": "nope"}}' where name = 'Untitled'""",
    "the body is no good": "update cron set payload = '[]' where thread_id is not null",
    "the database refuses": """
        create function refuse() returns trigger language plpgsql as
            'begin raise exception $$no$$; end';
        create trigger refuse before insert on run for each row
            when (new.multitask_strategy = 'reject') execute function refuse()""",
}


async def test_a_thread_that_goes_with_its_run_takes_no_cron(town):
    run = (await town.plane.post("/runs", {"assistant_id": "g", "input": {}})).json
    body = {"assistant_id": "g", "schedule": "@daily"}
    assert (await town.plane.post(f"/threads/{run['thread_id']}/runs/crons", body)).status == 404


async def test_no_cron_is_left_by_a_thread_that_is_being_deleted(town):
    body = {"assistant_id": "g", "schedule": "@daily"}
    path = f"/threads/{town.thread_id}/runs/crons"
    async with town.database.transaction():
        await town.database.execute("delete from thread where thread_id = $1", town.thread_id)
        making = asyncio.ensure_future(town.plane.post(path, body))
        while not making.done() and not await town.database.fetchval(WAITING):
            pass
    assert (await making).status == 404
    assert await town.database.fetchval("select count(*) from cron") == 0


async def test_a_cron_that_would_fill_the_scheduler_is_refused(town):
    cron_id = await town.cron()
    body = msgspec.json.encode(
        {"assistant_id": "g", "schedule": "@daily", "input": "x" * (1 << 20)}
    )
    for method, path in (("POST", "/runs/crons"), ("PATCH", f"/runs/crons/{cron_id}")):
        answer = await town.plane.call(method, path, data=BytesIO(body))
        assert (answer.status, answer.json["code"]) == (413, "too_large")


async def test_a_cron_is_made_once_under_a_key(town):
    body = {"assistant_id": "g", "schedule": "@daily"}
    for path in ("/runs/crons", f"/threads/{town.thread_id}/runs/crons"):
        headers = {"Idempotency-Key": path}
        first, second = [await town.plane.post(path, body, headers=headers) for _ in range(2)]
        assert first.json == second.json
        changed = await town.plane.post(path, body | {"schedule": "@hourly"}, headers=headers)
        assert changed.status == 409
    assert (await town.plane.post("/runs/crons/count", {})).json == 2


@pytest.mark.parametrize("harm", HARMS)
async def test_what_can_not_be_made_is_dropped_and_stops_no_other(town, harm):
    system = {"assistant_id": "g"}
    broken = await town.cron(thread=True, multitask_strategy="reject")
    whole = await town.cron(**system)
    await town.database.execute(HARMS[harm])
    await town.look()
    assert await town.ticks(broken) == []
    assert await town.ticks(whole) == [START]
    assert await town.due(broken) == START + HOUR, "it neither spins nor stays behind"


async def test_a_schedule_that_is_none_any_more_rests(town):
    cron_id = await town.cron()
    await town.database.execute("update cron set timezone = 'Atlantis' where cron_id = $1", cron_id)
    await town.look()
    assert (await town.ticks(cron_id), await town.due(cron_id)) == ([], None)


@pytest.mark.parametrize("held", ["cron", "thread"])
async def test_what_is_locked_is_left_and_fired_later(town, held):
    cron_id, other = await town.cron(thread=True), await town.cron()
    async with town.database.transaction():
        await town.database.execute(
            f"select from {held} where thread_id = $1 for update", town.thread_id
        )
        async with asyncio.timeout(4):  # less than a lock is waited for
            assert await town.look() == AGAIN_SECONDS
        assert (await town.ticks(cron_id), await town.ticks(other)) == ([], [START])
    await town.look()
    assert await town.ticks(cron_id) == [START]


async def test_a_tick_that_must_wait_is_neither_dropped_nor_in_the_way(town, database_url):
    deps = town.plane.app[DEPS]
    cron_id = await town.cron(thread=True, multitask_strategy="interrupt")
    await town.look()
    other = await town.cron(due=START + HOUR)
    impatient = {"lock_timeout": "50ms"}
    async with AsyncExitStack() as stack:
        pool = await pg.open_pool(database_url, "duragraph_engine", size=1, settings=impatient)
        stack.push_async_callback(pool.close)
        scheduler = Scheduler(deps.config, pool, deps.creates, clock=town.time)
        town.time.now = START + HOUR
        async with town.database.transaction():
            await town.database.execute("select from run for update")
            assert await scheduler.look() == 0
            assert await scheduler.look() == AGAIN_SECONDS
        assert (await town.ticks(cron_id), await town.ticks(other)) == ([START], [START + HOUR])
    await town.look()
    assert await town.ticks(cron_id) == [START, START + HOUR]


async def test_more_crons_than_a_transaction_holds_are_all_fired(town):
    made = [await town.cron(thread=n % 2 == 0) for n in range(90)]
    await town.look()
    for cron_id in made:
        assert await town.ticks(cron_id) == [START]


async def test_a_tick_is_fired_once_by_many_schedulers_that_lose_their_connections(
    town, database_url
):
    """They are cut off wherever they stand: a transaction is whole or nothing."""
    deps, made = town.plane.app[DEPS], [await town.cron(thread=n % 3 == 0) for n in range(40)]
    cuts = []
    async with AsyncExitStack() as stack:
        schedulers = []
        for _ in range(3):
            pool = await pg.open_pool(database_url, "duragraph_engine", size=2)
            stack.callback(pool.terminate)
            schedulers.append(Scheduler(deps.config, pool, deps.creates, clock=town.time))
        async with asyncio.timeout(60):
            for hour in range(3):
                town.time.now = START + hour * HOUR
                cutting = asyncio.ensure_future(cut(town.database, cuts, most=8 * (hour + 1)))
                await asyncio.gather(*map(fire, schedulers))
                cutting.cancel()
                await asyncio.wait([cutting])
    assert cuts
    for cron_id in made:
        assert await town.ticks(cron_id) == [START + hour * HOUR for hour in range(3)]


async def fire(scheduler):
    """Until nothing is due, whatever happens."""
    while True:
        try:
            seconds = await scheduler.look()
        except DuraGraphError:
            continue
        if seconds > AGAIN_SECONDS:
            return


async def cut(database, cuts, *, most):
    """Terminate transactions of the engine, at most so many over all."""
    while len(cuts) < most:
        cuts += await database.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity where xact_start is not null"
            " and application_name = 'duragraph_engine' and datname = current_database()"
            " order by random() limit 1"
        )


async def test_a_plane_fires_what_is_due_by_the_databases_clock(town):
    hand = await town.plane.worker("g")
    cron_id = await town.cron()
    await town.database.execute("update cron set next_run_date = now() where cron_id = $1", cron_id)
    task = await hand.task()
    assert f'"cron_id":"{cron_id}"'.encode() in task.kwargs
    metrics = (await town.plane.get("/metrics")).body.decode()
    assert 'duragraph_cron_ticks_total{outcome="fired"}' in metrics
