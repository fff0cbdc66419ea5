"""Calling one node: its state, what is injected, tries, timeouts, the question of a human node.

Records nothing and shows nothing; whatever the body raises comes out as it is, but for ends of
the process, which are the node's failures.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from duragraph_worker import serialize, state
from duragraph_worker.errors import (
    GraphInterrupt,
    GraphWait,
    NodeCancelledError,
    NodeTimeoutError,
    ParentCommand,
    no_exit,
)
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.channels import Channels
from duragraph_worker.executor.context import Context
from duragraph_worker.executor.run import Clock
from duragraph_worker.plan import Node, Plan, Retry
from duragraph_worker.record import Fenced

_SIGNALS = GraphInterrupt, GraphWait, ParentCommand, Fenced, KeyboardInterrupt, GeneratorExit
"""No Exceptions, and no failures of a node: what the executor and the interpreter say."""

ContextOf = Callable[[int], Context]
"""The `ctx` of a try, by the number of tries before it."""


def visible(plan: Plan, task: NodeTask, channels: Channels) -> Any:
    """A private copy of what the node sees: the graph's state, or what a `Send` carries."""
    if task.arg is None:
        seen = state.private_copy(channels.values())
    else:
        seen = serialize.decode(task.arg)
        if not isinstance(seen, dict):
            return seen
    return seen if plan.load is None else plan.load(seen)


async def call(
    plan: Plan,
    node: Node,
    task: NodeTask,
    *,
    channels: Channels,
    context: ContextOf,
    clock: Clock,
) -> Any:
    """What the node returns, after as many tries as its retry allows."""
    tries = 0
    while True:
        try:
            seen = visible(plan, task, channels)
            return await _try(node, seen, context(tries))
        except Exception as error:
            if node.retry is None or tries >= node.retry.times:
                raise
            if not isinstance(error, node.retry.on):
                raise
            await asyncio.sleep(wait(node.retry, tries, clock))
            tries += 1


async def _try(node: Node, seen: Any, ctx: Context) -> Any:
    injected: dict[str, Any] = {"ctx": ctx, "config": ctx.config, "context": ctx.context}
    if node.kind == "human":
        prompt = node.prompt(seen) if callable(node.prompt) else node.prompt
        injected["decision"] = ctx.interrupt({"node": node.name, "prompt": prompt})
    try:
        with no_exit(f"Node {node.name!r}"):
            return await _within(node, seen, injected)
    except asyncio.CancelledError:
        if (waits := ctx.body.suspended()) is None:
            raise
        raise GraphWait(waits, ctx.body.shown) from None
    finally:
        ctx.body.leave()


async def _within(node: Node, seen: Any, injected: Mapping[str, Any]) -> Any:
    try:
        if node.timeout is None:
            return await node.call(seen, injected)
        limit = asyncio.timeout(node.timeout)
        try:
            async with limit:
                return await node.call(seen, injected)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise NodeTimeoutError(
                f"Node {node.name!r} took longer than its timeout of {node.timeout:g} s"
            ) from error
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        raise NodeCancelledError(f"Node {node.name!r} raised asyncio.CancelledError") from error
    except BaseExceptionGroup as group:
        raise _unwrapped(group) from group
    except (Exception, SystemExit, *_SIGNALS):
        raise
    except BaseException as error:
        raise RuntimeError(f"Node {node.name!r} raised {error!r}, no Exception") from error


def _unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of tasks in a body means: a lost lease, questions, or the group itself."""
    leaves = list(_leaves(group))
    if (fenced := next((e for e in leaves if isinstance(e, Fenced)), None)) is not None:
        return fenced
    stops = [e for e in leaves if isinstance(e, GraphInterrupt)]
    if stops:
        return GraphInterrupt(tuple(asked for stop in stops for asked in stop.interrupts))
    return group if isinstance(group, Exception) else leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def wait(retry: Retry, tries: int, clock: Clock) -> float:
    """Seconds before the next try, after `tries` that were retries themselves."""
    seconds = min(retry.first * retry.factor**tries, retry.longest)
    # Jitter spreads those who failed together: between half and the whole of the wait.
    return seconds * (1 + clock.jitter()) / 2 if retry.jitter else seconds
