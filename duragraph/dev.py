"""What `duragraph dev` puts around the plane: an eye on its servers, a worker, a banner.

The worker is a process of its own, since it alone loads user code.
"""

import asyncio
import contextlib
import re
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import structlog

from duragraph import __version__
from duragraph.config import Config
from duragraph.embedded import Child, Servers, running
from duragraph.project import Project

EXAMPLE = "duragraph_worker.example:Demo"

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 15.0
DRAIN_SECONDS = 3.0
"""What a worker has for its drain. After a `kill -9` of this process it drains to nobody."""
STEADY_SECONDS = 30.0
"""After a life this long a worker's end counts as its first."""
REFUSED = 1
"""How a worker exits whose graphs can't be loaded, or are refused by the plane."""

log = structlog.get_logger(__name__)


async def watch(children: Sequence[Child]) -> None:
    """Raises ServerError when the first of `children` ends; until then waits to be cancelled."""
    if not children:
        await asyncio.Event().wait()
    ends = [asyncio.ensure_future(_ended(child)) for child in children]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    raise done.pop().result().ended()


@attrs.frozen
class Graphs:
    """What the worker is to serve: what the command line names, a project's graphs, or a demo."""

    targets: Sequence[str]
    project: Project | None

    @property
    def arguments(self) -> list[str]:
        """For `duragraph-worker`."""
        if self.project is None:
            return [*(self.targets or [EXAMPLE])]
        return [*self.targets, "--config", str(self.project.file)]

    def __str__(self) -> str:
        names = [*self.targets, *(self.project.graphs if self.project else ())]
        return " ".join(names or [EXAMPLE])


async def keep_worker(
    url: str,
    graphs: Graphs,
    *,
    environ: Mapping[str, str],
    edited: asyncio.Event | None = None,
) -> None:
    """Run a worker until cancelled, then let it drain. One that dies is started again.

    When `edited` is set, a new one takes its place; one that could not start waits for that.
    """
    # As the installed command: without -P a project's calendar.py would hide Python's own.
    python = [sys.executable, "-P", "-m", "duragraph_worker"]
    command = [*python, *graphs.arguments, "--url", url]
    stop = signal.SIGTERM, signal.SIGKILL
    delay, reloads = FIRST_DELAY_SECONDS, edited is not None
    edited = edited or asyncio.Event()
    while True:
        started = time.monotonic()
        edited.clear()
        with contextlib.ExitStack() as stack:
            worker = stack.enter_context(
                running("worker", command, stop=stop, grace=DRAIN_SECONDS, environ=environ)
            )
            try:
                await _first(_ended(worker), edited.wait())
            finally:
                # Its drain speaks to the plane, so this loop must run meanwhile.
                await asyncio.to_thread(stack.close)
        if edited.is_set() or time.monotonic() - started > STEADY_SECONDS:
            delay = FIRST_DELAY_SECONDS
        if edited.is_set():
            continue
        if reloads and worker.wait() == REFUSED:
            log.error("the worker can't start; once a file has changed it is tried again")
            await edited.wait()
        else:
            log.error("worker ended, starting another", code=worker.wait(), seconds=delay)
            await _first(asyncio.sleep(delay), edited.wait())
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Until one of these is over."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _ended(child: Child) -> Child:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(child.fileno(), ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(child.fileno())
    return child


def without_auth(config: Config) -> Config:
    """For a project that names no auth handlers: those it named once are forgotten."""
    return attrs.evolve(config, auth_handlers="off") if config.auth_handlers == "auto" else config


def address(config: Config) -> str:
    """The plane's URL as this machine reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104
    return f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}"


def banner(config: Config, servers: Servers, graphs: Graphs | None) -> str:
    """`graphs` is None where no worker was asked for."""
    url = address(config)
    lines = {
        "API": url,
        "Docs": f"{url}/docs",
        "Graphs": "no worker" if graphs is None else graphs,
        "Data": Path(config.data_dir).resolve() if servers.children else "on the servers given",
        "Database": _without_password(servers.database_url),
        "NATS": _without_password(servers.nats_url),
    }
    who = "everyone on this machine" if config.loopback else f"EVERYONE who reaches {config.host}"
    known = config.auth or config.auth_handlers == "required"
    warning = "" if known else f"\n  No API keys: open to {who}. For development only.\n"
    table = "\n".join(f"  {name:<9} {value}" for name, value in lines.items())
    return f"\n  DuraGraph {__version__}\n\n{table}\n{warning}"


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", url)
