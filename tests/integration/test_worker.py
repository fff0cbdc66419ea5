"""Worker processes against a real plane: what survives which end of which of them."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

GRAPHS = f"{Path(__file__).with_name('served.py')}:Steps"
TAKEOVER_SECONDS = 15


class Witness:
    """Meets the nodes of `Steps` as they begin, and tells `second` what to do."""

    def __init__(self):
        self.met: list[tuple[int, str]] = []
        self.left = asyncio.Event()
        """A node went away before it was told anything."""
        self.port = 0
        self._changed = asyncio.Condition()
        self._orders: defaultdict[int, asyncio.Queue[str]] = defaultdict(asyncio.Queue)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, name = (await reader.readline()).decode().split()
        async with self._changed:
            self.met.append((int(pid), name))
            self._changed.notify_all()
        if name == "second":
            order, gone = (
                asyncio.ensure_future(self._orders[int(pid)].get()),
                asyncio.ensure_future(reader.read()),
            )
            await asyncio.wait({order, gone}, return_when=asyncio.FIRST_COMPLETED)
            if order.done():
                writer.write(f"{order.result()}\n".encode())
            else:
                self.left.set()
            order.cancel()
            gone.cancel()
        else:
            writer.write(b"go\n")
        writer.close()

    def tell(self, pid: int, order: str) -> None:
        """What the next `second` of this process is to do."""
        self._orders[pid].put_nowait(order)

    async def sees(self, name: str) -> int:
        """The first process that begins this node."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: name in [began for _, began in self.met])
        return next(pid for pid, began in self.met if began == name)


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    witness = Witness()
    async with await asyncio.start_server(witness.meet, "127.0.0.1", 0) as server:
        witness.port = server.sockets[0].getsockname()[1]
        yield witness


@pytest.fixture
async def spawn(plane) -> AsyncIterator:
    """Start a worker process that serves `Steps`."""
    async with contextlib.AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(worker(plane.url))


@contextlib.asynccontextmanager
async def worker(url: str) -> AsyncIterator[Process]:
    command = [sys.executable, "-m", "duragraph_worker", GRAPHS, "--url", url, "--slots", "4"]
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE)
    try:
        async with asyncio.timeout(20):
            while b"serving" not in (line := await process.stderr.readline()):
                assert line, "the worker ended"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


class Run:
    """A run of `Steps`."""

    def __init__(self, plane, path: str):
        self._plane = plane
        self._path = path

    async def status(self, seconds: float = 10) -> str:
        """How it ended, at the latest after `seconds`."""
        async with asyncio.timeout(seconds):
            await self._plane.get(f"{self._path}/join")
        return (await self._plane.get(self._path)).json["status"]

    async def cancel(self) -> None:
        answer = await self._plane.post(f"{self._path}/cancel")
        assert answer.status < 300, answer.body


@pytest.fixture
def start(plane, witness):
    """Start a run of `Steps`."""

    async def start() -> Run:
        thread = (await plane.post("/threads", {})).json["thread_id"]
        task = {"assistant_id": "steps", "input": {"port": witness.port}, "durability": "sync"}
        run = await plane.post(f"/threads/{thread}/runs", task)
        assert run.status == 200, run.body
        return Run(plane, f"/threads/{thread}/runs/{run.json['run_id']}")

    return start


async def test_a_run_goes_through_a_worker_process(spawn, start, witness):
    process = await spawn()
    witness.tell(process.pid, "go")
    run = await start()
    assert await run.status() == "success"
    assert witness.met == [(process.pid, name) for name in ("first", "second", "third")]


async def test_a_killed_workers_run_goes_on_elsewhere_from_its_last_checkpoint(
    spawn, start, witness
):
    victim = await spawn()
    run = await start()
    await witness.sees("second")
    heir = await spawn()
    victim.kill()
    witness.tell(heir.pid, "go")
    assert await run.status(TAKEOVER_SECONDS) == "success"
    assert witness.met == [
        (victim.pid, "first"),
        (victim.pid, "second"),
        (heir.pid, "second"),
        (heir.pid, "third"),
    ]


async def test_a_terminated_worker_gives_its_run_back_at_once(spawn, start, witness):
    leaver = await spawn()
    run = await start()
    await witness.sees("second")
    heir = await spawn()
    leaver.terminate()
    assert await asyncio.wait_for(leaver.wait(), 5) == 0
    witness.tell(heir.pid, "go")
    assert await run.status(5) == "success"
    assert witness.met[2:] == [(heir.pid, "second"), (heir.pid, "third")]


@pytest.mark.slow
async def test_a_node_that_ends_its_process_is_run_by_another(spawn, start, witness):
    pids = [(await spawn()).pid, (await spawn()).pid]
    run = await start()
    victim = await witness.sees("second")
    witness.tell(victim, "exit")
    witness.tell(sum(pids) - victim, "go")
    assert await run.status(TAKEOVER_SECONDS) == "success"
    assert [name for _, name in witness.met] == ["first", "second", "second", "third"]


@pytest.mark.slow
async def test_a_worker_stopped_past_its_lease_loses_the_run_and_lives_on(spawn, start, witness):
    sleeper = await spawn()
    run = await start()
    await witness.sees("second")
    sleeper.send_signal(signal.SIGSTOP)
    heir = await spawn()
    witness.tell(heir.pid, "go")
    assert await run.status(TAKEOVER_SECONDS) == "success"
    taken = list(witness.met)
    sleeper.send_signal(signal.SIGCONT)
    heir.terminate()
    await heir.wait()
    witness.tell(sleeper.pid, "go")
    assert await (await start()).status() == "success"
    assert witness.met[len(taken) :] == [(sleeper.pid, n) for n in ("first", "second", "third")]
    assert taken[2:] == [(heir.pid, "second"), (heir.pid, "third")]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["block 30", "hold-gil 30"])
async def test_a_node_that_holds_its_process_up_loses_nothing(spawn, start, witness, order):
    await spawn()
    await spawn()
    run = await start()
    busy = await witness.sees("second")
    witness.tell(busy, order)
    assert await run.status(40) == "success"
    assert witness.met == [(busy, name) for name in ("first", "second", "third")]


async def test_a_cancel_reaches_the_node_within_two_seconds(spawn, start, witness):
    await spawn()
    run = await start()
    await witness.sees("second")
    await run.cancel()
    await asyncio.wait_for(witness.left.wait(), 2)
    assert await run.status() == "interrupted"
