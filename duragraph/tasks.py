"""The Supervisor owns every task that outlives a request; no other server file makes one."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import structlog

INSIST_SECONDS = 2.0
"""Between two cancellations of a loop that has not ended."""

log = structlog.get_logger(__name__)


class LoopDied(Exception):
    """A loop that should run for ever ended; the process must not go on without it."""


class Supervisor:
    """Runs named loops. Whoever owns the process waits in `watch` for one that dies."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._died: asyncio.Queue[LoopDied] = asyncio.Queue()

    def start(self, name: str, loop: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(loop)
        self._tasks[task] = name
        task.add_done_callback(self._ended)

    async def watch(self) -> None:
        """Raises LoopDied when a loop dies: better loudly stopped than half at work."""
        raise await self._died.get()

    async def stop(self) -> None:
        """Cancel all until all have ended; safe to call twice.

        Once is not enough: a library may swallow it, as `asyncio.wait_for` of Python 3.11 does
        when what it waits for ends at the same moment.
        """
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=INSIST_SECONDS)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        name = self._tasks.pop(task)
        if task.cancelled():
            return
        if error := task.exception():
            log.critical("loop died", loop=name, exc_info=error)
            self._died.put_nowait(LoopDied(name))
