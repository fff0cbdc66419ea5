"""A thousand ticks, while planes die and clocks are put: none twice, none lost."""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import attrs
import pytest

from duragraph import pg
from duragraph.deps import DEPS, Deps
from duragraph.errors import DuraGraphError
from duragraph.scheduler import AGAIN_SECONDS, Scheduler
from tests.crash.evidence import audit
from tests.schedules import Clock, due, utc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
SCHEDULES = [
    ("*/15 * * * *", NEW_YORK),
    ("0 * * * *", BERLIN),
    ("10,40 0-4 * * *", NEW_YORK),
    ("30 2 * * *", NEW_YORK),
    ("30 1 * * *", NEW_YORK),
    ("30 2 * * *", BERLIN),
    ("5 */2 * * *", BERLIN),
    ("*/20 1-3 * * *", NEW_YORK),
]
CHANGES = ("2031-03-09 07:00", "2031-10-26 01:00", "2031-11-02 06:00")
"""When New York goes forward, Berlin back, New York back."""
AROUND = timedelta(hours=16)
STEP = timedelta(minutes=10)

TICKS_WANTED, CRONS, KILLS = 1000, 40, 100
ENGINE = "duragraph_engine"

TICKS = """
select metadata->>'cron_id' as cron_id, metadata->>'cron_run_date' as tick from run
where metadata ? 'cron_id'
"""
POSTPONE = "update cron set next_run_date = $2 where cron_id = $1"
FIRE_ALL = "update cron set next_run_date = now() returning cron_id::text, next_run_date"
STILL_DUE = "select count(*) from cron where next_run_date <= now()"
FIRING = f"""
select pid from pg_stat_activity where application_name = '{ENGINE}' and xact_start is not null
    and datname = current_database() and query not like '%min(next_run_date)%'
"""


@attrs.define
class Replica:
    """A plane's scheduler; when it dies it is replaced by a new one."""

    deps: Deps
    database_url: str
    time: Clock
    pool: object = None

    async def fire(self):
        """Until nothing is due, whatever happens."""
        while True:
            try:
                if self.pool is None:
                    self.pool = await pg.open_pool(self.database_url, ENGINE, size=1)
                scheduler = Scheduler(
                    self.deps.config, self.pool, self.deps.creates, clock=self.time
                )
                while await scheduler.look() <= AGAIN_SECONDS:
                    pass
            except (DuraGraphError, asyncio.CancelledError):
                self.die()
            else:
                return

    def die(self):
        if self.pool is not None:
            self.pool.terminate()
            self.pool = None


async def test_a_thousand_ticks_by_three_schedulers_that_die_while_clocks_are_put(
    plane, database_url
):
    """They share a clock that the test moves."""
    await plane.worker("g")
    crons, expected, kills, time = await make_crons(plane), set(), [], Clock()
    replicas = [Replica(plane.app[DEPS], database_url, time) for _ in range(3)]
    async with AsyncExitStack() as stack:
        database = await asyncpg.connect(database_url)
        stack.push_async_callback(database.close)
        for replica in replicas:
            stack.callback(replica.die)
        for change in map(utc, CHANGES):
            for cron_id, (expression, zone) in crons.items():
                ticks = due(expression, zone, change - AROUND, change + AROUND)
                expected |= {(cron_id, tick) for tick in ticks}
                await database.execute(POSTPONE, cron_id, ticks[0])
            time.now = change - AROUND
            while time.now < change + AROUND:
                time.now += STEP
                async with asyncio.timeout(60):
                    planes = [asyncio.ensure_future(replica.fire()) for replica in replicas]
                    killing = asyncio.ensure_future(kill(database, planes, kills))
                    await asyncio.wait(planes)
                    killing.cancel()
                    await asyncio.wait([killing])
        found = await database.fetch(TICKS)
    fired = [(row["cron_id"], utc(row["tick"])) for row in found]
    print(f"\n{len(fired)} ticks, {len(kills)} kills")
    assert len(fired) > TICKS_WANTED
    assert len(fired) == len(set(fired)), "a tick was fired twice"
    assert set(fired) == expected
    assert len(kills) > KILLS


async def make_crons(plane):
    """By id, its schedule: each with a thread and without."""
    crons = {}
    for expression, zone in SCHEDULES:
        thread = (await plane.post("/threads", {})).json["thread_id"]
        for path in (f"/threads/{thread}/runs/crons", "/runs/crons"):
            body = {"assistant_id": "g", "schedule": expression, "timezone": zone}
            made = await plane.post(path, body)
            crons[made.json["cron_id"]] = expression, zone
    return crons


async def kill(database, planes, kills):
    """Once: either a connection that fires breaks, or its plane stops where it stands."""
    while not (busy := await database.fetch(FIRING)):
        pass
    kills += busy[:1]
    if random.random() < 0.5:
        await database.execute("select pg_terminate_backend($1)", busy[0]["pid"])
    else:
        random.choice(planes).cancel()


async def test_a_thousand_ticks_by_three_planes_that_are_killed(start_cluster):
    """The next tick of all crons is now, again and again, and each time a plane is killed."""
    async with start_cluster(planes=3, workers=1) as cluster, AsyncExitStack() as stack:
        database = await asyncpg.connect(cluster.database_url)
        stack.push_async_callback(database.close)
        client = cluster.client()
        for n in range(CRONS):
            thread = (await client.threads.create())["thread_id"] if n % 2 else None
            create = client.crons.create_for_thread if thread else client.crons.create
            where = {"thread_id": thread} if thread else {}
            await create(assistant_id="ten", schedule="0 0 1 1 *", **where)
        # Nobody is to run what the ticks make.
        await cluster.workers[0].kill()
        expected = set()
        for _ in range(TICKS_WANTED // CRONS):
            victim = random.choice(cluster.planes)
            rows = await database.fetch(FIRE_ALL)
            expected |= {(row["cron_id"], row["next_run_date"]) for row in rows}
            await asyncio.sleep(random.uniform(0, 0.2))  # the moment is the experiment
            await victim.kill()
            async with asyncio.timeout(60):
                while await database.fetchval(STILL_DUE):  # noqa: ASYNC110 - processes do it
                    await asyncio.sleep(0.05)
            await victim.start()
        fired = [(row["cron_id"], utc(row["tick"])) for row in await database.fetch(TICKS)]
        assert len(fired) == len(set(fired)) == TICKS_WANTED
        assert set(fired) == expected
        assert await audit(cluster.database_url) == TICKS_WANTED, "all wait, as nobody runs them"
