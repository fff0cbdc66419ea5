"""Threads for what is sync: bodies of nodes, functions of effects, tools.

One may wait for another, as a body does for its effects, so there are as many as are asked for:
asyncio's own pool is a few threads, which bodies would fill and then wait for each other for ever.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST = 4096
"""Threads of a pool. It starts one only where none is idle."""

_pool = ThreadPoolExecutor(MOST, thread_name_prefix="node")


async def in_thread(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `fn` returns, called in a thread with the caller's context."""
    call = partial(copy_context().run, fn, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool, call)
