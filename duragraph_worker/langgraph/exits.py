"""Ends of the process that a node asks for are its own failures.

asyncio hands a task's SystemExit to the loop, which ends the worker and all the runs on it.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_running: ContextVar[bool] = ContextVar("duragraph_running", default=False)


def failure(ended: SystemExit) -> RuntimeError:
    return RuntimeError(f"A node called sys.exit({ended.code!r})")


@contextmanager
def caught() -> Iterator[None]:
    """In tasks that are made within the block a SystemExit becomes a RuntimeError.

    Needs the loop's task factory, and does nothing where that has another owner.
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        loop.set_task_factory(_task)  # type: ignore[arg-type]
    token = _running.set(True)
    try:
        yield
    finally:
        _running.reset(token)


def _task(
    loop: asyncio.AbstractEventLoop, job: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    return asyncio.Task(_failing(job) if _running.get() else job, loop=loop, **options)


async def _failing(job: Coroutine[Any, Any, T]) -> T:
    try:
        return await job
    except SystemExit as ended:
        raise failure(ended) from ended
