"""Real servers for a session, a fresh database and planes of its own for each test."""

import asyncio
import contextlib
import os
import shutil
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import attrs
import pytest
from aiohttp import web

from duragraph import embedded, pg
from duragraph.app import build_app
from duragraph.config import Config
from tests.helpers import Plane

TEMPLATE = "migrated"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30
_numbers = count(1)


def pytest_configure():
    """Keep what tests write in memory, if there is enough: most would wait for a disk."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """PostgreSQL with a migrated template database, and NATS.

    Nothing here outlives the machine, so that nothing need reach its disks.
    """
    with embedded.start(tmp_path_factory.mktemp("servers")) as started:
        asyncio.run(statement(started.database_url, "alter system set fsync = off"))
        asyncio.run(statement(started.database_url, "select pg_reload_conf()"))
        template = database_named(started.database_url, TEMPLATE)
        asyncio.run(statement(started.database_url, f"create database {TEMPLATE}"))
        asyncio.run(pg.apply_schema(template))
        yield started


@pytest.fixture
async def database_url(servers):
    """An empty database with the schema applied; dropped after the test."""
    name = f"test_{next(_numbers)}"
    await statement(servers.database_url, f"create database {name} template {TEMPLATE}")
    yield database_named(servers.database_url, name)
    await statement(servers.database_url, f"drop database {name} with (force)")


@pytest.fixture
def config(servers, database_url):
    return Config(database_url=database_url, nats_url=servers.nats_url, port=0)


@pytest.fixture
async def start_plane(config):
    """Start a plane, with settings of its own where given; stopped after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings) -> Plane:
            app = build_app(attrs.evolve(config, **settings))
            # As `duragraph` runs it: a poll whose worker is gone must not be dealt a run.
            runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            http = await stack.enter_async_context(aiohttp.ClientSession(url))
            return Plane(url, http, runner.app)

        yield start


@pytest.fixture
async def plane(start_plane):
    return await start_plane()


@pytest.fixture
async def hand(plane):
    """A worker of the graph `g`, whose every message the test sends."""
    return await plane.worker("g")


@pytest.fixture
async def owner(database_url):
    """A connection as the database's owner, whom no row is hidden from."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def database_named(url, name):
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def statement(url, sql):
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
