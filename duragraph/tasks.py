"""The Supervisor owns every task that outlives a request; no other server file makes one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

INSIST_SECONDS = 2.0
"""Between two cancellations of a loop that has not ended."""

log = structlog.get_logger(__name__)


class Supervisor:
    """Runs named loops. One that dies is logged and stops the process: better loudly than half."""

    def __init__(self, fail: Callable[[], None]) -> None:
        """`fail` is called once, when a loop ends with an exception."""
        self._fail = fail
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def start(self, name: str, loop: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(loop)
        self._tasks[task] = name
        task.add_done_callback(self._ended)

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
            self._fail()
