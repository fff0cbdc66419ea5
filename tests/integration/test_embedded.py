"""The embedded servers: kept data, one holder a directory, and nothing left behind."""

import contextlib
import json
import os
import subprocess
import sys

import asyncpg
import nats
import psutil
import pytest

from duragraph import embedded

INSTANCE = """
import json, sys
from duragraph import embedded
with embedded.start(sys.argv[1]) as servers:
    pids = [child.pid for child in servers.children]
    print(json.dumps([servers.database_url, servers.nats_url, pids]), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def instance(directory):
    """Servers whose parent is a process of its own: (parent, database_url, server pids)."""
    command = [sys.executable, "-c", INSTANCE, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        try:
            database_url, _, pids = json.loads(parent.stdout.readline())
            yield parent, database_url, pids
        finally:
            parent.kill()


async def execute(database_url, statement):
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def test_data_is_kept_between_starts(tmp_path):
    with embedded.start(tmp_path) as servers:
        await execute(servers.database_url, "create table kept as select 42 as answer")
    with embedded.start(tmp_path) as servers:
        assert await execute(servers.database_url, "select answer from kept") == [(42,)]


async def test_both_servers_work_and_postgres_is_durable(tmp_path):
    with embedded.start(tmp_path) as servers:
        settings = await execute(
            servers.database_url,
            "select current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('listen_addresses'), current_setting('server_encoding')",
        )
        assert settings == [("on", "on", "", "UTF8")]
        bus = await nats.connect(servers.nats_url)
        heard = await bus.subscribe("hint")
        await bus.publish("hint", b"look")
        assert (await heard.next_msg(timeout=5)).data == b"look"
        await bus.close()


def test_only_the_owner_reaches_the_socket(tmp_path):
    with embedded.start(tmp_path / "data"):
        assert (tmp_path / "data" / "postgres").stat().st_mode & 0o777 == 0o700


def test_a_stop_leaves_no_process(tmp_path):
    before = psutil.Process().children(recursive=True)
    with embedded.start(tmp_path) as servers:
        started = set(psutil.Process().children(recursive=True)).difference(before)
        assert {child.pid for child in servers.children} <= {each.pid for each in started}
    assert not any(each.is_running() for each in started)


@pytest.mark.parametrize("attempt", range(3))
async def test_kill_9_of_the_parent_leaves_no_process_and_loses_nothing(tmp_path, attempt):
    with instance(tmp_path) as (parent, database_url, pids):
        started = psutil.Process(parent.pid).children(recursive=True)
        assert set(pids) <= {each.pid for each in started}
        await execute(database_url, "create table kept as select 42 as answer")
        parent.kill()
        _, alive = psutil.wait_procs(started, timeout=10)
        assert alive == []
    with embedded.start(tmp_path) as servers:
        assert await execute(servers.database_url, "select answer from kept") == [(42,)]


async def test_a_start_right_after_kill_9_waits_for_the_old_servers(tmp_path):
    with instance(tmp_path) as (parent, database_url, _):
        await execute(database_url, "create table kept as select 42 as answer")
        parent.kill()
        parent.wait()
        with embedded.start(tmp_path) as servers:
            assert await execute(servers.database_url, "select answer from kept") == [(42,)]


def test_kill_9_of_the_keepers_leaves_no_process(tmp_path):
    with instance(tmp_path) as (parent, _, _):
        keepers = psutil.Process(parent.pid).children()
        servers = [server for keeper in keepers for server in keeper.children(recursive=True)]
        for keeper in keepers:
            keeper.kill()
        assert psutil.wait_procs(servers, timeout=10)[1] == []


async def test_recovery_after_kill_9_of_postgres(tmp_path):
    with embedded.start(tmp_path) as servers:
        await execute(servers.database_url, "create table kept as select 42 as answer")
        postgres = psutil.Process(servers.children[0].pid)
        backends = postgres.children()
        postgres.kill()
        assert psutil.wait_procs([postgres, *backends], timeout=10)[1] == []
    with embedded.start(tmp_path) as servers:
        assert await execute(servers.database_url, "select answer from kept") == [(42,)]


def test_a_second_instance_is_refused_and_names_the_first(tmp_path):
    with (
        instance(tmp_path) as (parent, _, _),
        pytest.raises(embedded.ServerError, match=rf"{tmp_path} is in use by process {parent.pid}"),
        embedded.start(tmp_path),
    ):
        pass


async def test_two_instances_run_side_by_side(tmp_path):
    with embedded.start(tmp_path / "a") as one, embedded.start(tmp_path / "b") as other:
        assert one.nats_url != other.nats_url
        await execute(one.database_url, "create table mine as select 1")
        absent = await execute(other.database_url, "select to_regclass('mine')")
        assert absent == [(None,)]


async def test_a_directory_too_deep_for_a_socket(tmp_path):
    deep = tmp_path / ("x" * 120)
    with embedded.start(deep) as servers:
        assert await execute(servers.database_url, "select 1") == [(1,)]


async def test_a_first_start_that_was_killed_is_begun_again(tmp_path):
    unfinished = tmp_path / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18")
    with embedded.start(tmp_path) as servers:
        assert await execute(servers.database_url, "select 1") == [(1,)]


def test_data_of_another_version_is_refused(tmp_path):
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(embedded.ServerError, match="PostgreSQL 16"), embedded.start(tmp_path):
        pass


def test_a_server_that_does_not_start_says_why(tmp_path):
    with embedded.start(tmp_path):
        pass
    (tmp_path / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(embedded.ServerError, match="pg_control"), embedded.start(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(embedded.ServerError, match="--data-dir"), embedded.start(tmp_path / "file"):
        pass


def test_given_addresses_start_nothing(tmp_path):
    directory = tmp_path / "unused"
    with embedded.start(
        directory, database_url="postgresql://db", nats_url="nats://bus"
    ) as servers:
        assert servers.children == ()
    assert not directory.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(embedded.ServerError, match="--data-dir"), embedded.start(tmp_path):
        pass
