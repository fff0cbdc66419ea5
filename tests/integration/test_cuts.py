"""Streams cut at random bytes, through the official client's own reconnecting.

The long one, with planes that die, is in `tests/crash/test_cuts.py`.
"""

import asyncio
import random
from urllib.parse import urlsplit

import pytest
from langgraph_sdk import get_client, get_sync_client

from duragraph.api import sse
from duragraph.ids import new_id
from duragraph.protocol import Frame
from tests.cutting import Cutter

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:Reconnecting without a Last-Event-ID"),
]

FRAMES, CUTS = 300, 25


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    """The client waits a second before it comes back; here that would tell nothing."""
    for module in "_async", "_sync":
        monkeypatch.setattr(f"langgraph_sdk.{module}.http._reconnect_delay", lambda *_, **__: 0.01)
    seed = random.randrange(1 << 30)
    random.seed(seed)
    print(f"{seed=}")


@pytest.fixture
async def planes(start_plane):
    return [await start_plane(), await start_plane()]


@pytest.fixture
async def hand(planes):
    return await planes[0].worker("g")


@pytest.fixture
async def cutter(planes):
    async with Cutter([urlsplit(plane.url).port for plane in planes], CUTS) as cutter:
        yield cutter


@pytest.fixture
async def client(cutter):
    async with get_client(url=cutter.url) as client:
        yield client


async def work(hand, runs=1):
    """Do so many runs; between frames that are counted come others."""
    for _ in range(runs):
        task = await hand.task()
        for batch in range(1, FRAMES // 2 + 1):
            frames = [Frame("custom", str(2 * batch - 1).encode()), Frame("updates", b"{}")]
            await hand.report(task, batch=batch, frames=[*frames, custom(2 * batch)])
        await hand.finish(task, batch=batch + 1)


def custom(number):
    return Frame("custom", str(number).encode())


def check(parts, cutter, *, runs=1, filtered=False):
    """Each frame once and in order, and not for want of cuts."""
    assert cutter.cuts == 0
    counted = [part.data for part in parts if part.event == "custom"]
    assert counted == [*range(1, FRAMES + 1)] * runs
    if not filtered:
        assert len([part for part in parts if part.event == "updates"]) == runs * FRAMES // 2
    marks = [tuple(map(int, part.id.split("-"))) for part in parts]
    assert marks == sorted(set(marks))


async def begun(client):
    """A run in line: its thread and id."""
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "g", input={})
    return thread["thread_id"], run["run_id"]


@pytest.mark.parametrize("stateless", [False, True])
async def test_a_run_streamed_as_it_is_made(client, hand, cutter, stateless):
    working = asyncio.create_task(work(hand))
    thread_id = None if stateless else (await client.threads.create())["thread_id"]
    parts = [part async for part in client.runs.stream(thread_id, "g", input={})]
    await working
    check(parts, cutter)


async def test_a_run_joined(client, hand, cutter):
    ids = await begun(client)
    working = asyncio.create_task(work(hand))
    joined = client.runs.join_stream(*ids, last_event_id="-", stream_mode="custom")
    parts = [part async for part in joined]
    await working
    check(parts, cutter, filtered=True)
    assert {part.event for part in parts} == {"custom"}, "the filter was forgotten"


async def test_a_thread_joined_before_anything_happens_on_it(client, hand, cutter, planes):
    thread_id, parts = new_id(), []

    async def follow():
        ended = 0
        async for part in await client.threads.join_stream(thread_id):
            parts.append(part)
            ended += part.event == "metadata"
            if ended == 2:
                return

    following = asyncio.create_task(follow())
    while not (following.done() or any(plane.app[sse.OPEN] for plane in planes)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # planes set no event when a stream begins
    working = asyncio.create_task(work(hand, runs=2))
    for _ in range(2):
        await client.runs.create(thread_id, "g", input={}, if_not_exists="create")
    await asyncio.gather(following, working)
    check(parts, cutter, runs=2)


async def test_the_same_with_the_sync_client(client, hand, cutter):
    sync = get_sync_client(url=cutter.url)
    thread_id, run_id = await begun(client)
    working = asyncio.create_task(work(hand))

    def joined():
        with sync:
            return list(sync.runs.join_stream(thread_id, run_id, last_event_id="-"))

    parts = await asyncio.to_thread(joined)
    await working
    check(parts, cutter)
