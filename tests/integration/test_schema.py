"""`schema.sql` on a database in use: applied when it is new, and no lock taken when it isn't."""

import asyncio

import asyncpg
import pytest

from duragraph import pg

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
