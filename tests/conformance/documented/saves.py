"""A functional graph that returns one thing and saves another for its next run."""

from typing import Any

from langgraph.func import entrypoint, task
from langgraph.runtime import Runtime


@task
async def double(n: int) -> int:
    return n * 2


@task
def triple(n: int) -> int:
    return n * 3


@entrypoint()
async def graph(n: int, *, previous: Any = None, runtime: Runtime) -> Any:
    runtime.stream_writer({"previous": runtime.previous})
    total = await double(n) + await triple(n) + (previous or 0)
    return entrypoint.final(value={"previous": previous, "n": n}, save=total)
