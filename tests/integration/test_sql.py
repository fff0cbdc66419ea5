"""Every statement fits `schema.sql`, hot ones use their index, and tenants don't meet."""

import importlib
import pkgutil
import re

import asyncpg
import msgspec
import pytest

from duragraph import ids, pg
from duragraph.pg import agents, crons, erasure, events, leases, reaping, store, waits, webhooks
from duragraph.protocol import ChannelWrite, Checkpoint, Effect, Frame, Outcome, Write
from duragraph.waiting import Wait

OTHER = "22222222-2222-2222-2222-222222222222"
ROLES = ("duragraph_api", "duragraph_engine")


def statements():
    """`(module.NAME, sql)` of every constant in `duragraph.pg` that is a whole statement."""
    for module in pkgutil.iter_modules(pg.__path__, "duragraph.pg."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for key, sql in value.items() if isinstance(value, dict) else [("", value)]:
                if name[0].isupper() and name.isupper() and is_statement(sql):
                    yield f"{module.name}.{name}{key}", sql


def is_statement(value):
    return isinstance(value, str) and re.match(r"\s*(select|with|insert|update|delete)\s", value)


@pytest.fixture
async def connect(database_url):
    """Connect as the plane does, under one of its roles."""
    pools = []

    async def connect(role):
        pool = await pg.open_pool(database_url, role, size=1)
        pools.append(pool)
        return await pool.acquire()

    yield connect
    for pool in pools:
        pool.terminate()


async def plan(connection, sql):
    """The generic plan, as the planes have it. Permissions are checked on the way."""
    parameters = (await connection.prepare(sql)).get_parameters()
    await connection.execute(f"prepare probe as {sql}")
    call = f"probe({','.join(['null'] * len(parameters))})" if parameters else "probe"
    try:
        rows = await connection.fetch(f"explain (costs off) execute {call}")
    finally:
        await connection.execute("deallocate probe")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("role", ROLES)
async def test_every_statement_fits_the_schema(connect, role):
    connection = await connect(role)
    checked = 0
    for name, sql in statements():
        try:
            await plan(connection, sql)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{name}: {error}")
        checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (leases.CLAIM, "run_claimable"),
        (events.AFTER, r"event_\w+_pkey"),
        (events.PROGRESS, "run_pkey"),
        (events.MARKS, "thread_pkey"),
        (events.RUNS_AFTER, "run_of_thread"),
        (erasure.EXPIRE, "thread_expiring"),
        (crons.FIRST_DUE, "cron_due_free"),
        (crons.FIRST_DUE, "cron_due_bound"),
        (crons.CLAIM, "cron_due_free"),
        (crons.CLAIM, "cron_due_bound"),
        (webhooks.CLAIM, "webhook_delivery_due"),
        (store.FORGET, "store_item_expired"),
        (reaping.EXPIRE, "run_held"),
        (reaping.DOOMED, "run_held"),
        (waits.NEXT_DUE, "wait_due"),
        (waits.WAKE, "wait_due"),
        (waits.ABANDONED, "wait_abandoned"),
    ],
    ids=[
        "claim",
        "follow",
        "progress",
        "marks",
        "runs after",
        "expire",
        "next cron",
        "next cron of a thread",
        "crons due",
        "crons of threads due",
        "webhooks due",
        "expired items",
        "leases that ran out",
        "runs past their deadline",
        "next wake-up",
        "wake-ups due",
        "children left",
    ],
)
async def test_hot_statements_use_their_index(connect, sql, index):
    found = await plan(await connect("duragraph_engine"), sql)
    assert re.search(rf"Index (Only )?Scan (using|on) {index}", found), found
    assert "Seq Scan" not in found, found


PAST = """
insert into thread (organization_id, thread_id, expires_at, erase_at)
select $1, gen_random_uuid(), now() - n * interval '1 s', case when n % 2 = 0 then now() end
from generate_series(1, 10000) n
"""


@pytest.mark.parametrize("sql", [erasure.EXPIRE, erasure.ERASE])
async def test_a_sweep_takes_a_batch_without_sorting_all_that_is_due(connect, owner, sql):
    await owner.execute(PAST, pg.DEFAULT_ORGANIZATION)
    await owner.execute("analyze thread")
    assert "Sort" not in await plan(await connect("duragraph_engine"), sql)


CONVERSATION = """
with t as (insert into thread (organization_id, thread_id) values ($1, $1))
insert into run (run_id, organization_id, thread_id, assistant_id, graph_id, queue, status, active,
    multitask_strategy, metadata, kwargs)
select id, $1, $1, $1, 'g', 'q', 'success', false, 'enqueue', jsonb_build_object('a2a_task', id),
    '{}'
from (select gen_random_uuid() as id from generate_series(1, 1000)) made
"""


@pytest.mark.parametrize(("sql", "more"), [(agents.TASKS, "null, 11"), (agents.COUNT, None)])
async def test_a_long_conversation_is_listed_in_passing(connect, owner, sql, more):
    """By the buffers that the generic plan touches: fewer than tasks times tasks."""
    await owner.execute(CONVERSATION, pg.DEFAULT_ORGANIZATION)
    connection = await connect("duragraph_api")
    await connection.serve(pg.DEFAULT_ORGANIZATION)
    await connection.execute(f"prepare probe as {sql}")
    org = f"'{pg.DEFAULT_ORGANIZATION}'"
    given = ", ".join([org, org, org, "null", *([more] if more else [])])
    (plan,) = await connection.fetchrow(
        f"explain (analyze, buffers, format json) execute probe({given})"
    )
    (top,) = msgspec.json.decode(plan)
    assert top["Plan"]["Actual Rows"] > 0
    assert top["Plan"]["Shared Hit Blocks"] < 5000


async def tenant_tables(connection):
    rows = await connection.fetch(
        "select c.relname, c.relrowsecurity"
        " from pg_attribute a join pg_class c on c.oid = a.attrelid"
        " where a.attname = 'organization_id' and c.relkind in ('r', 'p') and not c.relispartition"
        " and c.relname <> 'organization'"
    )
    return {r["relname"]: r["relrowsecurity"] for r in rows}


async def fill(plane):
    """A row in every tenant's table, made as in real life."""
    hand = await plane.worker("g")
    body = {"assistant_id": "g", "input": {}, "webhook": "https://webhook.invalid/"}
    assert (await plane.post("/runs", body)).status == 200
    assert (await plane.post("/threads", {}, headers={"Idempotency-Key": "k"})).status == 200
    cron = {"assistant_id": "g", "schedule": "@yearly"}
    assert (await plane.post("/runs/crons", cron)).status == 200
    item = {"namespace": ["a"], "key": "k", "value": {}}
    assert (await plane.call("PUT", "/store/items", item)).status == 204
    task = await hand.task()
    at = ids.checkpoint_id()
    await hand.finish(
        task,
        frames=[Frame("metadata", b"{}")],
        checkpoints=[
            Checkpoint(at, None, "", "loop", 0, "", [], [ChannelWrite("a", b"1")], {"a": at})
        ],
        writes=[Write(at, "", "t")],
        effects=[Effect(at, "k", b"1")],
    )
    thread_id = ids.new_id()
    await plane.start_run(thread_id)
    asked = Wait(at, "k", "signal", name="come")
    await hand.report(await hand.task(), outcome=Outcome("waiting", waits=[asked]))
    other = {"name": "other"}
    assert (await plane.post(f"/threads/{thread_id}/signals", other)).status == 202


async def test_a_tenant_meets_no_other(plane, owner, connect):
    await fill(plane)
    await owner.execute("insert into organization values ($1, 'other')", OTHER)
    tables = await tenant_tables(owner)
    assert len(tables) >= 11
    assert all(tables.values()), "a table without row-level security"

    connection = await connect("duragraph_api")
    for table in tables:
        await connection.serve(pg.DEFAULT_ORGANIZATION)
        own = await connection.fetchval(f"select count(*) from {table}")
        assert own > 0, f"{table} is empty, so the rest proves nothing"
        await connection.serve(OTHER)
        assert await connection.fetchval(f"select count(*) from {table}") == 0, table
        moved = f"update {table} set organization_id = '{OTHER}'"
        assert await connection.execute(moved) == "UPDATE 0", table
        assert await connection.execute(f"delete from {table}") == "DELETE 0", table

    foreign = "insert into thread (organization_id, thread_id) values ($1, $2)"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await connection.execute(foreign, pg.DEFAULT_ORGANIZATION, OTHER)


async def test_a_connection_that_serves_nobody_sees_nothing(plane, database_url):
    await fill(plane)
    connection = await asyncpg.connect(database_url, server_settings={"role": "duragraph_api"})
    with pytest.raises(asyncpg.PostgresError):
        await connection.fetch("select * from thread")
    await connection.close()
