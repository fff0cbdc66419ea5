"""Auth handlers over several planes and past the death of workers: late perhaps, never open."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duragraph import consult
from duragraph.deps import DEPS
from tests.integration import owned
from tests.integration.owned import IN_TIME, Somebody

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def process(url, folder):
    """A worker with handlers, in a process of its own."""
    command = [sys.executable, "-m", "duragraph_worker", "--config", str(owned.project(folder))]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "OWNED_MARK": str(folder / "mark")}
    child = subprocess.Popen([*command, "--url", url], env=environ)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(IN_TIME)


async def answering(plane, many):
    """Until so many auth workers poll the plane."""
    async with asyncio.timeout(3 * IN_TIME):
        while len(plane.app[DEPS].dispatcher.answering()) < many:
            await plane.get("/ok")


async def answers(plane, status):
    """Until the plane answers so to whom nobody knows: with 401 once it asks handlers."""
    async with asyncio.timeout(IN_TIME):
        while (await plane.post("/threads/search", {})).status != status:
            pass


@pytest.fixture
async def planes(start_plane):
    """Two that know of each other."""
    return await start_plane(), await start_plane()


async def test_a_plane_that_no_auth_worker_polls_asks_one_that_does(planes):
    first, second = planes
    async with owned.serving(first.url):
        await owned.known(Somebody(first, "alice"))
        await answers(second, 401)
        assert second.app[DEPS].dispatcher.answering() == []
        alice, bob = (Somebody(second, name) for name in ("alice", "bob"))
        thread = (await alice.post("/threads", {})).json
        assert thread["metadata"] == {"owner": "alice"}
        assert (await bob.get(f"/threads/{thread['thread_id']}")).status == 404
        assert (await Somebody(first, "alice").get(f"/threads/{thread['thread_id']}")).status == 200


async def test_what_is_too_big_for_one_message_is_asked_in_pieces(planes):
    first, second = planes
    async with owned.serving(first.url):
        await owned.known(Somebody(first, "alice"))
        await answers(second, 401)
        body = {"assistant_id": "owned", "input": {"secret": "x" * (3 << 20)}}
        data = io.BytesIO(json.dumps(body).encode())
        assert (await Somebody(second, "alice").post("/runs", data=data)).status == 200


async def test_without_its_only_auth_worker_a_plane_is_shut_and_so_is_the_next(
    start_plane, monkeypatch
):
    monkeypatch.setattr(consult, "ABSENT_SECONDS", 0.3)
    plane = await start_plane()
    assert (await plane.post("/threads/search", {})).status == 200
    async with owned.serving(plane.url):
        await owned.known(Somebody(plane, "alice"))
    for _ in range(2):
        answer = await plane.post(
            "/threads/search", {}, headers={"authorization": "Bearer mallory"}
        )
        assert answer.status == 503
        assert "Start a worker" in answer.json["hint"]
        assert (await plane.get("/ok")).status == 200
        plane = await start_plane()  # what was registered is kept
    async with owned.serving(plane.url):
        await owned.known(Somebody(plane, "alice"))


@pytest.mark.parametrize(("mode", "status"), [("required", 503), ("auto", 200), ("off", 200)])
async def test_before_any_handlers_are_registered(start_plane, monkeypatch, mode, status):
    monkeypatch.setattr(consult, "ABSENT_SECONDS", 0.3)
    plane = await start_plane(auth_handlers=mode)
    assert (await plane.post("/threads/search", {})).status == status


async def test_handlers_that_are_off_are_forgotten(start_plane):
    first = await start_plane()
    async with owned.serving(first.url):
        await owned.known(Somebody(first, "alice"))
        await start_plane(auth_handlers="off")
        await answers(first, 200)


async def test_a_worker_killed_with_a_question_leaves_it_to_the_next(start_plane, tmp_path):
    plane = await start_plane()
    alice, fatal = Somebody(plane, "alice"), Somebody(plane, "fatal")
    with process(plane.url, tmp_path) as first, process(plane.url, tmp_path) as second:
        await answering(plane, 2)
        await owned.known(alice)
        answer = await fatal.post("/threads", {})
        assert (answer.status, answer.json["metadata"]) == (200, {"owner": "fatal"})
        ended = [child.wait() for child in (first, second) if child.poll() is not None]
        assert ended == [-signal.SIGKILL]


async def test_the_only_worker_killed_is_waited_for(start_plane, tmp_path):
    plane = await start_plane()
    with process(plane.url, tmp_path) as first:
        await answering(plane, 1)
        asking = asyncio.create_task(Somebody(plane, "fatal").post("/threads", {}))
        assert await asyncio.to_thread(first.wait) == -signal.SIGKILL
        with process(plane.url, tmp_path):
            answer = await asking
            assert answer.status in {200, 503}, answer.body
            await owned.known(Somebody(plane, "fatal"))
    assert (tmp_path / "mark").exists()
