"""`update_state` of a LangGraph graph: checkpoints made by hand, as if nodes had written them.

Owns what of a task becomes which of LangGraph's updates, and that what follows each checkpoint
is recorded with it.
"""

from typing import Any

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.types import PregelTask, StateUpdate

from duragraph_worker.langgraph.given import ClientCommand, Given, command
from duragraph_worker.langgraph.saver import Saver
from duragraph_worker.langgraph.terms import Compiled


class _Update(msgspec.Struct):
    values: Any = None
    as_node: str | None = None
    command: ClientCommand | None = None
    """Counts in place of `values`."""


class _Kwargs(msgspec.Struct):
    values: Any = None
    as_node: str | None = None
    supersteps: list[list[_Update]] | None = None


async def update_state(graph: Compiled, given: Given, saver: Saver) -> bool:
    """Write the task's `values` as `as_node`, or the updates of `supersteps`.

    Returns whether nodes are left to run. Raises InvalidUpdateError: an unknown node, an
    ambiguous update.
    """
    kwargs = msgspec.json.decode(given.task.kwargs, type=_Kwargs)
    alone = _Update(kwargs.values, kwargs.as_node)
    supersteps = [[alone]] if kwargs.supersteps is None else kwargs.supersteps
    config = given.config
    ns = config["configurable"].setdefault("checkpoint_ns", "")
    recorded = await _recorded(saver, config) if given.task.resuming else 0
    if recorded:
        config["configurable"].pop("checkpoint_id", None)
    left = bool(ns) or bool(given.task.snapshot and given.task.snapshot.next)
    for updates in supersteps[recorded:]:
        made = await graph.abulk_update_state(config, [list(map(_translated, updates))])
        config["configurable"] |= made["configurable"]
        left = await _schedule(graph, config, saver, ns=ns) or bool(ns)
    return left


async def _recorded(saver: Saver, config: RunnableConfig) -> int:
    """How many supersteps an earlier attempt at this update has left on record."""
    conf = config["configurable"]
    at: RunnableConfig = {
        "configurable": {name: conf[name] for name in ("thread_id", "checkpoint_ns")}
    }
    made = saver.alist(at, filter={"run_id": conf["run_id"]})
    return len([each async for each in made])


def _translated(given: _Update) -> StateUpdate:
    values: Any = given.values if given.command is None else command(given.command)
    return StateUpdate(values, given.as_node)


async def _schedule(graph: Compiled, config: RunnableConfig, saver: Saver, *, ns: str) -> bool:
    """Record what follows the checkpoint just made, and say whether anything does."""
    state = await graph.aget_state(config)
    part = {
        "config": config,
        "values": state.values,
        "next": [task.name for task in state.tasks],
        "tasks": list(map(_listed, state.tasks)),
    }
    saver.scheduled(ns, part)
    return bool(state.next)


def _listed(task: PregelTask) -> dict[str, Any]:
    return {"id": task.id, "name": task.name, "interrupts": (), "state": task.state}
