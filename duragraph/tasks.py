"""The Supervisor owns every task that outlives a request; no other server file makes one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

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
        """Cancel all, wait for all; safe to call twice."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        name = self._tasks.pop(task)
        if task.cancelled():
            return
        if error := task.exception():
            log.critical("loop died", loop=name, exc_info=error)
            self._fail()
