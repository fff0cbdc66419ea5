"""What hosting LangGraph graphs costs, beside LangGraph alone and over a long thread.

    python benchmarks/hosting.py cpu       # of the worker, a run of five nodes
    python benchmarks/hosting.py growth    # a turn, and GET state, at 2,000 messages

Starts the servers, a plane and a worker itself, in a directory that it removes. CPU is that of a
process and its children. Compare ratios within one run.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import attrs
from run import spent

from duragraph import embedded

ROOT = Path(__file__).parents[1]
WARM, MESSAGES, TURNS, GETS = 64, 2000, 64, 200
INPUT = {"msg": "hi"}


@attrs.frozen
class System:
    """A plane with one worker, all of it processes."""

    url: str
    database_url: str
    plane: int
    worker: int
    database: int
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> bytes:
        async with self.http.request(method, self.url + path, json=body) as response:
            answer = await response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
            return answer

    async def thread(self) -> str:
        return str(json.loads(await self.ask("POST", "/threads", {}))["thread_id"])

    async def run(self, thread_id: str, graph: str, given: Any) -> Any:
        body = {"assistant_id": graph, "input": given}
        return json.loads(await self.ask("POST", f"/threads/{thread_id}/runs/wait", body))


@asynccontextmanager
async def system(home: Path, *targets: str) -> AsyncIterator[System]:
    """`targets` are the worker's graphs, as its command takes them."""
    with ExitStack() as stack:
        servers = stack.enter_context(embedded.start(home))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        serve = ["duragraph", "serve", "--port", str(port), "--nats-url", servers.nats_url]
        serve += ["--database-url", servers.database_url]
        plane = stack.enter_context(serving(home / "plane.log", *serve))
        work = ["duragraph_worker", *targets, "--url", url, "--slots", "256"]
        worker = stack.enter_context(serving(home / "worker.log", *work))
        async with aiohttp.ClientSession() as http:
            database = servers.children[0].pid
            yield System(url, servers.database_url, plane, worker, database, http)


@contextmanager
def serving(log: Path, *command: str) -> Iterator[int]:
    """The id of a process of ours that serves."""
    with embedded.running(
        command[0],
        [sys.executable, "-m", *command],
        stop=(signal.SIGTERM, signal.SIGKILL),
        log=log,
        environ={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        child.wait_for(lambda: b'"serving"' in log.read_bytes() or None)
        yield child.pid


async def hosted_cpu(system: System, threads: list[str], runs: int) -> float:
    """The worker's CPU ms a run."""

    async def call(thread_id: str) -> None:
        for _ in range(runs // len(threads)):
            answer = await system.run(thread_id, "five", INPUT)
            if answer != {"msg": "hi", "out": "hi"}:
                raise RuntimeError(f"the answer was {answer}")

    before = spent(system.worker)
    await asyncio.gather(*map(call, threads))
    return (spent(system.worker) - before) / runs * 1e3


def alone() -> None:
    """LangGraph with its in-memory saver: reads `callers runs` a line, answers CPU ms a run."""
    import uvloop  # noqa: PLC0415 - in this process only, as a worker has them
    from hosted import five  # noqa: PLC0415
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415

    five.checkpointer = InMemorySaver()

    async def call(thread_id: str, runs: int) -> None:
        for _ in range(runs):
            await five.ainvoke(INPUT, {"configurable": {"thread_id": thread_id}})

    async def load(callers: int, runs: int) -> None:
        await asyncio.gather(*(call(f"t{n}", runs // callers) for n in range(callers)))

    for line in sys.stdin:
        callers, runs = map(int, line.split())
        before = time.process_time()
        uvloop.run(load(callers, runs))
        print((time.process_time() - before) / runs * 1e3, flush=True)


async def cpu(system: System, *, rounds: int, callers: int, runs: int) -> None:
    threads = [await system.thread() for _ in range(callers)]
    ours: list[float] = []
    theirs: list[float] = []
    pipe = asyncio.subprocess.PIPE
    lone = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "alone", stdin=pipe, stdout=pipe
    )
    assert lone.stdin is not None
    assert lone.stdout is not None
    for n in range(rounds + 1):
        lone.stdin.write(f"{callers} {runs if n else WARM}\n".encode())
        theirs.append(float(await lone.stdout.readline()))
        ours.append(await hosted_cpu(system, threads, runs if n else WARM))
        print(f"round {n}: hosted {ours[-1]:.2f}, alone {theirs[-1]:.2f} ms a run", flush=True)
    lone.stdin.close()
    await lone.wait()
    hosted, alone = statistics.median(ours[1:]), statistics.median(theirs[1:])
    print(f"CPU ms a run: hosted {hosted:.2f}, alone {alone:.2f}: x{hosted / alone:.2f}")


async def growth(system: System) -> None:
    connection = await asyncpg.connect(system.database_url)
    fresh, long = await system.thread(), await system.thread()
    words = [{"role": "human", "content": f"message {n} " + "x" * 200} for n in range(MESSAGES)]
    await system.run(long, "chat", {"messages": words})
    threads = {"fresh": fresh, "long": long}
    wal = {name: await wal_a_turn(system, connection, at) for name, at in threads.items()}
    await connection.close()
    print(f"WAL bytes a turn: fresh {wal['fresh']:,.0f}, long {wal['long']:,.0f}", end="")
    print(f": x{wal['long'] / wal['fresh']:.2f}")
    short = await system.thread()
    await system.run(short, "chat", {"messages": words[:1]})
    took = get_state(system, {"fresh": short, "long": long})
    for what in ("wall", "cpu"):
        one, other = took["fresh", what], took["long", what]
        print(f"GET state, {what} ms: fresh {one:.2f}, long {other:.2f}: x{other / one:.2f}")


async def wal_a_turn(system: System, connection: Any, thread_id: str) -> float:
    """Mean of as many turns as there are between two snapshots of a channel."""
    turn = {"messages": [{"role": "human", "content": "x" * 200}]}
    before = await connection.fetchval("select pg_current_wal_insert_lsn()")
    for _ in range(TURNS):
        await system.run(thread_id, "chat", turn)
    sql = "select (pg_current_wal_insert_lsn() - $1::pg_lsn)::float8"
    return float(await connection.fetchval(sql, before)) / TURNS


def get_state(system: System, threads: dict[str, str]) -> dict[tuple[str, str], float]:
    """Medians by thread, in turns: ms until the answer is there, CPU ms of plane and database.

    The bytes are taken and left alone: what a client does with them is not the server's.
    """
    taken: dict[tuple[str, str], list[float]] = {}
    room = bytearray(1 << 20)
    with closing(HTTPConnection(urlsplit(system.url).netloc)) as http:
        for _ in range(5):
            for name, thread_id in threads.items():
                used, began = spent(system.plane) + spent(system.database), time.perf_counter()
                for _ in range(GETS):
                    http.request("GET", f"/threads/{thread_id}/state")
                    answer = http.getresponse()
                    if answer.status != HTTPStatus.OK:
                        raise RuntimeError(f"GET {thread_id}: {answer.status}")
                    while answer.readinto(room):
                        pass
                wall = time.perf_counter() - began
                used = spent(system.plane) + spent(system.database) - used
                taken.setdefault((name, "wall"), []).append(wall / GETS * 1e3)
                taken.setdefault((name, "cpu"), []).append(used / GETS * 1e3)
    return {key: statistics.median(values) for key, values in taken.items()}


async def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as home:
        hosted = [f"benchmarks.hosted:{name}" for name in ("five", "chat")]
        async with system(Path(home), *hosted) as started:
            if options.what == "growth":
                await growth(started)
                return
            await cpu(started, rounds=options.rounds, callers=options.callers, runs=options.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cpu", "growth", "alone"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--runs", type=int, default=512)
    options = parser.parse_args()
    if options.what == "alone":
        alone()
    else:
        asyncio.run(measure(options))


if __name__ == "__main__":
    main()
