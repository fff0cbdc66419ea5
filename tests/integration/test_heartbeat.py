import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from duragraph.protocol import Control, Lease
from duragraph_worker.process.leases import Heartbeat

pytestmark = pytest.mark.timeout(30)

EVERY = 0.1
HOLDER = f"""
import asyncio, ctypes, sys
from duragraph.protocol import Lease
from duragraph_worker.process.leases import Heartbeat

async def main():
    heartbeat = Heartbeat(
        sys.argv[1],
        headers={{}},
        every={EVERY},
        renewed=lambda *_: print("renewed", flush=True),
        lost=print,
    )
    heartbeat.hold([Lease("run", 7)])
    asyncio.get_running_loop().add_reader(0, hold_the_gil)
    await heartbeat.run()

def hold_the_gil():
    sys.stdin.readline()
    print("holding", flush=True)
    ctypes.PyDLL(None).usleep(5_000_000)
    print("released", flush=True)

asyncio.run(main())
"""


class Beats:
    """The plane's end: every renewal as it comes."""

    def __init__(self):
        self.came: asyncio.Queue[dict] = asyncio.Queue()
        self.lost: list[dict] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.came.put_nowait(body | {"key": request.headers.get("x-api-key")})
        return web.json_response({"lost": self.lost})

    async def next(self) -> dict:
        async with asyncio.timeout(5):
            return await self.came.get()

    def forget(self) -> None:
        self.came = asyncio.Queue()


@pytest.fixture
async def plane() -> AsyncIterator[tuple[Beats, str]]:
    beats = Beats()
    app = web.Application()
    app.router.add_post("/heartbeat", beats.answer)
    async with TestServer(app) as server:
        yield beats, str(server.make_url("/heartbeat"))


@contextlib.asynccontextmanager
async def holder(url: str) -> AsyncIterator[tuple[Process, int]]:
    """A process that holds a lease, and its child's id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, url, stdin=PIPE, stdout=PIPE
    )
    try:
        assert await process.stdout.readline() == b"renewed\n"
        (child,) = psutil.Process(process.pid).children()
        yield process, child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def ended(pid: int) -> None:
    descriptor, over = os.pidfd_open(pid), asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, over.set)
    try:
        async with asyncio.timeout(5):
            await over.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def line(process: Process, wanted: bytes) -> None:
    async with asyncio.timeout(5):
        while (heard := await process.stdout.readline()) != wanted:
            assert heard, "the holder ended"


async def test_leases_are_renewed_while_a_node_holds_the_gil(plane):
    beats, url = plane
    async with holder(url) as (process, _):
        process.stdin.write(b"hold\n")
        await line(process, b"holding\n")
        released = asyncio.create_task(line(process, b"released\n"))
        beats.forget()
        for _ in range(5):
            assert (await beats.next())["active"] == [{"run_id": "run", "epoch": 7}]
        assert not released.done()
        process.kill()
        await asyncio.wait([released])


async def test_the_child_ends_with_its_parent(plane):
    _, url = plane
    async with holder(url) as (process, child):
        process.kill()
        await ended(child)


async def test_a_stopped_worker_is_not_renewed_until_it_goes_on(plane):
    beats, url = plane
    async with holder(url) as (process, _):
        process.send_signal(signal.SIGSTOP)
        # One may be on its way already.
        await asyncio.wait([asyncio.ensure_future(beats.next())], timeout=2 * EVERY)
        beats.forget()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10 * EVERY):
                await beats.came.get()
        process.send_signal(signal.SIGCONT)
        await beats.next()


async def test_signals_to_the_whole_group_leave_the_leases_alone(plane):
    beats, url = plane
    async with holder(url) as (_, child):
        os.kill(child, signal.SIGTERM)
        os.kill(child, signal.SIGINT)
        beats.forget()
        for _ in range(3):
            await beats.next()


@contextlib.asynccontextmanager
async def heartbeat(url: str) -> AsyncIterator[tuple[Heartbeat, asyncio.Queue]]:
    news: asyncio.Queue = asyncio.Queue()
    beating = Heartbeat(
        url,
        headers={"x-api-key": "k"},
        every=EVERY,
        renewed=lambda lease, sent: news.put_nowait((lease, sent)),
        lost=news.put_nowait,
    )
    running = asyncio.create_task(beating.run())
    try:
        yield beating, news
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_renewal_counts_from_when_it_was_sent(plane):
    beats, url = plane
    before = time.monotonic()
    async with heartbeat(url) as (beating, news):
        beating.hold([Lease("a", 1)])
        async with asyncio.timeout(5):
            lease, sent = await news.get()
    assert lease == Lease("a", 1)
    assert before < sent < time.monotonic()
    assert (await beats.next())["key"] == "k"


async def test_a_lost_lease_is_told_once_and_a_dropped_one_named_no_more(plane):
    beats, url = plane
    async with heartbeat(url) as (beating, news):
        beats.lost = [{"run_id": "a", "epoch": 1, "action": "cancel"}]
        beating.hold([Lease("a", 1), Lease("b", 1), Lease("c", 2)])
        beating.drop(Lease("b", 1))
        await beats.next()
        async with asyncio.timeout(5):
            assert await news.get() == Control("a", 1, "cancel")
        beats.lost = []
        assert (await beats.next())["active"] == [{"run_id": "c", "epoch": 2}]


async def test_a_killed_child_is_replaced_and_knows_the_leases(plane):
    beats, url = plane
    async with heartbeat(url) as (beating, _):
        beating.hold([Lease("a", 1)])
        await beats.next()
        children = psutil.Process().children()
        (child,) = [c for c in children if "heartbeat" in " ".join(c.cmdline())]
        child.kill()
        beats.forget()
        # One of the old child's may have been on its way.
        for _ in range(2):
            assert (await beats.next())["active"] == [{"run_id": "a", "epoch": 1}]
