"""`schema.sql` on a database in use: applied when it is new, and no lock taken when it isn't."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from duragraph import pg
from tests.conftest import database_named, statement

FIRST = Path(__file__).with_name("first_schema.sql")

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def reader(database_url):
    """A connection whose transaction has just read from every table that runs need."""
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.fetch("select from run, thread, event, checkpoint, organization")
        yield connection
    await connection.close()


async def test_a_plane_that_starts_takes_no_lock_where_the_schema_stands(database_url, reader):
    await asyncio.wait_for(pg.apply_schema(database_url), 5)


async def test_a_new_schema_is_applied_over_an_old_one(database_url):
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("comment on table organization is 'schema.sql of before'")
        await connection.execute("drop table effect")
        await pg.apply_schema(database_url)
        assert await connection.fetchval("select count(*) from effect") == 0
    finally:
        await connection.close()


CATALOG = """
select table_name || '.' || column_name as name,
    concat_ws(' ', data_type, is_nullable, column_default) as definition
from information_schema.columns where table_schema = 'public'
union all select indexname, indexdef from pg_indexes where schemaname = 'public'
union all select tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(oid)
    from pg_trigger where not tgisinternal
union all select conname || ' on ' || conrelid::regclass, pg_get_constraintdef(oid)
    from pg_constraint where conrelid <> 0
union all select policyname || ' on ' || tablename, concat_ws(' ', roles, qual) from pg_policies
"""


async def catalog(url):
    connection = await asyncpg.connect(url)
    try:
        return dict(await connection.fetch(CATALOG))
    finally:
        await connection.close()


async def test_the_first_schema_becomes_the_newest(servers, database_url):
    """`first_schema.sql` is what the first planes applied."""
    old = database_named(servers.database_url, "first_schema")
    await statement(servers.database_url, "create database first_schema")
    await statement(old, FIRST.read_text())
    await pg.apply_schema(old)
    assert await catalog(old) == await catalog(database_url)
