"""The `duragraph` command as its users start it: a process of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import psutil
import pytest
import stamina

COMMAND = [sys.executable, "-P", "-m", "duragraph"]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("DURAGRAPH_")}


def run(*arguments, **variables):
    environ = CLEAN | variables
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=90, env=environ, check=False
    )


@contextlib.contextmanager
def dev(directory, *arguments, cwd=None, **variables):
    """A running `duragraph dev` and its URL, once its banner is out."""
    command = [*COMMAND, "dev", "--port", "0", "--data-dir", str(directory), *arguments]
    streams = {"stdout": subprocess.PIPE, "text": True}
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, stderr=log, env=CLEAN | variables, cwd=cwd, **streams) as plane,
    ):
        try:
            urls = (re.search(r"API +(http\S+)", line) for line in plane.stdout)
            yield plane, next(url[1] for url in urls if url)
        finally:
            plane.kill()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_dev_stops_in_order_on_a_signal(tmp_path, stop):
    with dev(tmp_path) as (plane, url):
        assert urllib.request.urlopen(f"{url}/ok", timeout=10).status == 200
        started = psutil.Process(plane.pid).children(recursive=True)
        plane.send_signal(stop)
        assert plane.wait(30) == 0
        assert not any(each.is_running() for each in started)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_kill_9_of_dev_leaves_no_process(tmp_path):
    with dev(tmp_path) as (plane, _):
        started = psutil.Process(plane.pid).children(recursive=True)
        plane.kill()
        assert psutil.wait_procs(started, timeout=15)[1] == []


def test_dev_says_when_its_database_has_ended(tmp_path):
    with dev(tmp_path, "--no-worker") as (plane, _):
        postmaster = (tmp_path / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGKILL)
        assert plane.wait(30) == 1
    assert "duragraph: PostgreSQL ended with code" in (tmp_path / "log").read_text()


def test_dev_starts_another_worker_for_one_that_died(tmp_path):
    with dev(tmp_path) as (plane, _):
        first = wait_for_worker(plane, other_than=None)
        first.kill()
        assert wait_for_worker(plane, other_than=first).pid != first.pid


@stamina.retry(on=LookupError, attempts=None, timeout=30, wait_initial=0.05, wait_max=0.2)
def wait_for_worker(plane, *, other_than):
    for each in psutil.Process(plane.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if each != other_than and "duragraph_worker" in each.cmdline():
                return each
    raise LookupError("no worker")


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("dev", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"port {port}: Address already in use" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_dev_on_the_same_data_is_refused(tmp_path):
    with dev(tmp_path, "--no-worker") as (plane, _):
        done = run("dev", "--port", "0", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert f"is in use by process {plane.pid}" in done.stderr


def test_serve_refuses_to_be_open_to_others():
    servers = ("--database-url", "postgresql://db", "--nats-url", "nats://bus")
    done = run("serve", "--host", "0.0.0.0", *servers)
    assert done.returncode == 1
    assert "DURAGRAPH_API_KEYS is missing" in done.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_missing_database_names_its_variable(command):
    done = run(command, DURAGRAPH_NATS_URL="nats://bus")
    assert done.returncode == 1
    assert "DURAGRAPH_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_told_without_a_trace():
    done = run("migrate", "--database-url", "postgresql://nobody:hush@127.0.0.1:9/none")
    assert done.returncode == 1
    assert "The database is not reachable" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_the_demo_runs_to_its_end():
    done = run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done" in done.stdout
