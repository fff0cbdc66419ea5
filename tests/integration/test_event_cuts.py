"""Thread events through the official client's own reconnecting: cuts, replicas, restarts."""

import asyncio
import random
from contextlib import aclosing
from itertools import count
from urllib.parse import urlsplit

import pytest
from langgraph_sdk import get_client, get_sync_client

from duragraph.api import sse
from duragraph.event_names import EventName
from duragraph.ids import new_id
from duragraph.protocol import Frame
from tests.cutting import Cutter

pytestmark = pytest.mark.timeout(60)

EVENTS, CUTS = 300, 20


@pytest.fixture
async def planes(start_plane):
    return [await start_plane(), await start_plane()]


@pytest.fixture
async def hand(planes):
    return await planes[0].worker("g")


def custom(number):
    name = EventName("custom", 1, "", ("sub:1",) if number % 2 else ())
    return Frame(str(name), b'{"payload":%d}' % number)


async def work(hand, *, between=None):
    """A run of so many events, a few at a time."""
    task = await hand.task()
    began = Frame("metadata", b'{"run_id":"%b","attempt":1}' % task.run_id.encode())
    await hand.report(task, frames=[began])
    for batch in range(1, EVENTS // 5 + 1):
        frames = [custom(5 * (batch - 1) + n) for n in range(1, 6)]
        await hand.report(task, batch=batch + 1, frames=frames)
        if between is not None:
            await between()
    await hand.finish(task, batch=batch + 2)


def numbers(events):
    return [event["params"]["data"]["payload"] for event in events]


async def test_each_event_once_through_cuts_at_random_bytes(planes, hand):
    ports = [urlsplit(plane.url).port for plane in planes]
    async with Cutter(ports, CUTS, heads=False) as cutter, get_client(url=cutter.url) as client:
        async with client.threads.stream(assistant_id="g") as thread:
            await thread.run.start(input={})
            working = asyncio.create_task(work(hand))
            async with aclosing(thread.subscribe(["custom"])) as told:
                seen = [event async for event in told]
            await working
        assert cutter.cuts < CUTS - 3, "nothing was cut"
    assert numbers(seen) == [*range(1, EVENTS + 1)]


async def test_each_event_once_with_the_sync_client(planes, hand):
    ports = [urlsplit(plane.url).port for plane in planes]

    def follow(url):
        with (
            get_sync_client(url=url) as client,
            client.threads.stream(assistant_id="g") as thread,
        ):
            thread.run.start(input={})
            return list(thread.subscribe(["custom"]))

    async with Cutter(ports, CUTS, heads=False) as cutter:
        working = asyncio.create_task(work(hand))
        seen = await asyncio.to_thread(follow, cutter.url)
        await working
        assert cutter.cuts < CUTS - 3, "nothing was cut"
    assert numbers(seen) == [*range(1, EVENTS + 1)]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_each_event_once_while_planes_drain_and_new_ones_begin(
    planes, hand, start_plane, transport
):
    """Every few events a plane aborts its streams; then all do, and one that is new goes on."""
    batches = count(1)
    async with (
        Cutter([urlsplit(plane.url).port for plane in planes], 0) as proxy,
        get_client(url=proxy.url) as client,
    ):

        async def cut():
            if next(batches) == EVENTS // 10:
                fresh = await start_plane()
                proxy.ports[:] = [urlsplit(fresh.url).port]
                for plane in planes:
                    sse.cut_all(plane.app)
                planes[:] = [fresh]
            elif random.random() < 0.2:
                sse.cut_all(random.choice(planes).app)
                await asyncio.sleep(0.01)

        late = client.threads.stream(new_id(), assistant_id="g", transport=transport)
        async with late as thread:
            await thread.run.start(input={})
            working = asyncio.create_task(work(hand, between=cut))
            async with aclosing(thread.subscribe(["custom"])) as told:
                seen = [event async for event in told]
            await working
    assert numbers(seen) == [*range(1, EVENTS + 1)]
    ids = [event["event_id"] for event in seen]
    assert len(set(ids)) == len(ids)
