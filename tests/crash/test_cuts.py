"""A thousand events through two hundred cuts, on planes that die meanwhile: each once."""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient, SyncLangGraphClient, get_client

from duragraph.ids import new_id
from tests.crash.clients import until
from tests.crash.evidence import audit
from tests.cutting import LONG, Cutter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:Reconnecting without a Last-Event-ID"),
]

EVENTS, CUTS = 1000, 200
RUN = {"input": {"ms": [20]}}
"""An event each 20 ms."""
MODE = "custom"

Parts = list[Any]


async def streamed(client: LangGraphClient, parts: Parts, *, stateless: bool) -> None:
    thread_id = None if stateless else (await client.threads.create())["thread_id"]
    async for part in client.runs.stream(thread_id, "tokens", **RUN, stream_mode=MODE):
        parts.append(part)


async def joined(client: LangGraphClient, parts: Parts) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "tokens", **RUN, stream_mode=MODE)
    async for part in client.runs.join_stream(thread, run["run_id"], last_event_id="-"):
        parts.append(part)


async def thread_joined(client: LangGraphClient, parts: Parts) -> None:
    thread = new_id()
    await client.runs.create(thread, "tokens", **RUN, stream_mode=MODE, if_not_exists="create")
    async for part in await client.threads.join_stream(thread, last_event_id="-"):
        if done(part):
            return
        parts.append(part)


def done(part: Any) -> bool:
    return part.event == "metadata" and part.data.get("status") == "run_done"


def sync_streamed(client: SyncLangGraphClient) -> Iterator[Any]:
    thread = client.threads.create()["thread_id"]
    return client.runs.stream(thread, "tokens", **RUN, stream_mode=MODE)


def sync_joined(client: SyncLangGraphClient) -> Iterator[Any]:
    thread = client.threads.create()["thread_id"]
    run = client.runs.create(thread, "tokens", **RUN, stream_mode=MODE)
    return client.runs.join_stream(thread, run["run_id"], last_event_id="-")


def sync_thread_joined(client: SyncLangGraphClient) -> Iterator[Any]:
    thread = client.threads.create()["thread_id"]
    client.runs.create(thread, "tokens", **RUN, stream_mode=MODE)
    stream = client.threads.join_stream(thread, last_event_id="-")
    return itertools.takewhile(lambda part: not done(part), stream)


ASYNC = [
    partial(streamed, stateless=False),
    partial(streamed, stateless=True),
    joined,
    thread_joined,
]
SYNC = [sync_streamed, sync_joined, sync_thread_joined]


async def test_each_event_comes_once_and_in_order(start_cluster, monkeypatch):
    for module in "_async", "_sync":  # the client waits a second; that is not what is tried here
        monkeypatch.setattr(f"langgraph_sdk.{module}.http._reconnect_delay", lambda *_, **__: 0.05)
    async with start_cluster(planes=2, workers=1) as cluster, contextlib.AsyncExitStack() as stack:
        ports = [urlsplit(plane.url).port for plane in cluster.planes]
        cutters = [await stack.enter_async_context(Cutter(ports, CUTS)) for _ in [*ASYNC, *SYNC]]
        all_parts: list[Parts] = [[] for _ in cutters]
        following = []
        for way, cutter, parts in zip([*ASYNC, *SYNC], cutters, all_parts, strict=True):
            if way in SYNC:
                client = stack.enter_context(get_sync_client(url=cutter.url))
                follow = asyncio.to_thread(lambda w=way, c=client, p=parts: p.extend(w(c)))
            else:
                follow = way(await stack.enter_async_context(get_client(url=cutter.url)), parts)
            following.append(asyncio.ensure_future(follow))
        await until(lambda: all(all_parts))
        kills = await kill_in_turn(cluster, following, cutters)
        await asyncio.gather(*following)
        print(f"\n{len(cutters)} streams, {CUTS} cuts each, {kills} planes killed")
        for parts, cutter in zip(all_parts, cutters, strict=True):
            assert cutter.cuts == 0
            check(parts)
        assert await audit(cluster.database_url) == 0


async def kill_in_turn(
    cluster: Any, following: list["asyncio.Future[None]"], cutters: list[Cutter]
) -> int:
    """One plane after the other, rudely and politely, until all is seen; returns how often.

    Between two kills each stream comes on, as it does where planes don't die twice a second:
    clients give up after five returns that bring nothing.
    """
    for n in itertools.count():
        if all(future.done() for future in following):
            return n
        plane = cluster.planes[n % 2]
        await plane.kill(signal.SIGKILL if n % 4 < 2 else signal.SIGTERM)
        await plane.start()
        enough = [cutter.streamed + LONG for cutter in cutters]
        await until(
            lambda enough=enough: all(
                future.done() or cutter.streamed > passed
                for future, cutter, passed in zip(following, cutters, enough, strict=True)
            )
        )
    raise AssertionError


def check(parts: Parts) -> None:
    assert [part.data["n"] for part in parts if part.event == "custom"] == list(range(EVENTS))
    assert {part.data["epoch"] for part in parts if part.event == "custom"} == {1}
    marks = [tuple(map(int, part.id.split("-"))) for part in parts]
    assert marks == [(marks[0][0], n) for n in range(1, len(marks) + 1)]
