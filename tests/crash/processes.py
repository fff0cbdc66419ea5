"""PostgreSQL, NATS, planes and workers as processes that a test kills and starts again.

Each comes back on the same data and at the same address, and ends with the test at the latest.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from duragraph.embedded import Child, ServerError, nats, postgres, running

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
NAMES = ("Ten", "Ask", "Stall", "Tokens", "Deadly", "Sudden")
GRAPHS = [f"tests.crash.graphs:{name}" for name in NAMES]

Open = Callable[[], AbstractContextManager[Child]]


class Process:
    """One process at a time, made by `open`."""

    def __init__(self, open: Open) -> None:
        self._open = open
        self._stack = contextlib.ExitStack()
        self.child: Child

    @property
    def pid(self) -> int:
        return self.child.pid

    async def start(self) -> Self:
        """Start it, or start it anew; waits until it is ready."""
        self.child = await asyncio.to_thread(self._enter)
        return self

    def send(self, signum: int) -> None:
        os.kill(self.pid, signum)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stands still, with all processes below it."""
        process = psutil.Process(self.pid)
        family = [process, *process.children(recursive=True)]
        for each in family:
            each.suspend()
        try:
            yield
        finally:
            for each in family:
                each.resume()

    async def kill(self, signum: int = signal.SIGKILL) -> float:
        """Kill it and wait for its end; returns when (monotonic) it was killed."""
        self.send(signum)
        killed = time.monotonic()
        await asyncio.to_thread(self.child.wait)
        await self.stop()
        return killed

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)

    def _enter(self) -> Child:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._stack.enter_context(self._open())
            except ServerError:
                # The backends of a killed postmaster hold its memory until they notice.
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def new_postgres(home: Path) -> tuple[Process, str]:
    """Not started. Its URL is the same at every start: a socket in `home`."""

    @contextlib.contextmanager
    def opened() -> Iterator[Child]:
        with postgres.start(home) as started:
            yield started.server

    return Process(opened), f"postgresql://postgres@/postgres?host={home}"


def new_nats(home: Path) -> tuple[Process, str]:
    """Not started."""
    port = free_port()

    @contextlib.contextmanager
    def opened() -> Iterator[Child]:
        with nats.start(home, port=port) as started:
            yield started.server

    return Process(opened), f"nats://127.0.0.1:{port}"


def new_plane(log: Path, *, database_url: str, nats_url: str, **settings: object) -> "Plane":
    """Not started. `settings` are those of `duragraph.config`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "duragraph", "serve", "--port", str(port)]
    command += ["--database-url", database_url, "--nats-url", nats_url]
    environ = _environ({f"DURAGRAPH_{name.upper()}": value for name, value in settings.items()})
    return Plane(partial(_serving, "plane", command, log, environ), url)


class Plane(Process):
    def __init__(self, open: Open, url: str) -> None:
        super().__init__(open)
        self.url = url


def new_worker(
    log: Path, *, url: str, side_log: Path, slots: int, graphs: Sequence[str] = GRAPHS
) -> Process:
    """Not started. Ready means registered."""
    command = [sys.executable, "-m", "duragraph_worker", *graphs, "--url", url]
    command += ["--slots", str(slots)]
    environ = _environ({"CRASH_LOG": side_log})
    return Process(partial(_serving, "worker", command, log, environ))


@contextlib.contextmanager
def _serving(name: str, command: list[str], log: Path, environ: dict[str, str]) -> Iterator[Child]:
    """A process of ours, once it has logged that it serves."""
    before = log.stat().st_size if log.exists() else 0
    stop = (signal.SIGTERM, signal.SIGKILL)
    with running(name, command, stop=stop, grace=1, log=log, environ=environ) as child:
        child.wait_for(lambda: b'"serving"' in log.read_bytes()[before:] or None)
        yield child


def _environ(more: dict[str, object]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DURAGRAPH_")}
    return kept | {"PYTHONPATH": str(ROOT)} | {name: str(value) for name, value in more.items()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
