"""`update_state`: checkpoints made by hand, as if nodes had written them."""

from typing import Any

import msgspec

from duragraph.protocol import RUN_TASK
from duragraph_worker import serialize
from duragraph_worker.command import Command
from duragraph_worker.errors import EmptyInputError, InvalidUpdateError
from duragraph_worker.executor import calling, pending_writes, subgraphs, writes
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.checkpoints import Place
from duragraph_worker.executor.graph_state import GraphState
from duragraph_worker.executor.run import goto
from duragraph_worker.executor.writes import RunCommand
from duragraph_worker.plan import END, START, Plan

INPUT = "__input__"
"""As which node a run's input is given."""
COPY = "__copy__"
"""As which node a state is repeated, to go on from there anew."""


class _Command(msgspec.Struct):
    update: Any = None
    goto: Any = None
    resume: Any = None


class _Update(msgspec.Struct):
    values: Any = None
    as_node: str | None = None
    command: _Command | None = None
    """Counts in place of `values`."""


class _Kwargs(msgspec.Struct):
    values: Any = None
    as_node: str | None = None
    supersteps: list[list[_Update]] | None = None


async def update_state(root: GraphState) -> bool:
    """Write the task's `values` as `as_node`, or the updates of `supersteps`, and follow the edges.

    Returns whether nodes are left to run. Raises InvalidUpdateError: an unknown node, an ambiguous
    or conflicting update; and EmptyInputError.
    """
    given = msgspec.json.decode(root.run.task.kwargs, type=_Kwargs)
    ns = root.run.config["configurable"].get("checkpoint_ns") or ""
    graph = _take_up_below(root, ns) if ns else _take_up(root)
    alone = _Update(given.values, given.as_node)
    supersteps = [[alone]] if given.supersteps is None else given.supersteps
    for number in range(_recorded(graph), len(supersteps)):
        await _superstep(graph, supersteps[number], number + 1)
    return bool(graph.tasks or ns)


def _recorded(graph: GraphState) -> int:
    """How many supersteps an earlier attempt at this update has left on record."""
    run_id, number = graph.agenda.update or ("", 0)
    return number if run_id == graph.run.task.run_id else 0


def _take_up(root: GraphState) -> GraphState:
    if (snapshot := root.run.task.snapshot) is None:
        return root
    # What was written at an older checkpoint belongs to the line that went on from it.
    addressed = "checkpoint_id" in root.run.config["configurable"] and not root.run.task.resuming
    root.restore(snapshot)
    for write in () if addressed else snapshot.writes:
        if write.task_id == RUN_TASK:
            root.command(RunCommand.load(write))
    root.schedule(snapshot.writes)
    if not addressed:
        root.channels.apply(pending_writes.updates(root.tasks))
    return root


def _take_up_below(root: GraphState, ns: str) -> GraphState:
    """The subgraph at work at namespace `ns`. Raises InvalidUpdateError if there is none."""
    plan: Plan = root.plan
    for segment in ns.split("|"):
        name = segment.partition(":")[0]
        node = plan.nodes.get(name)
        if node is None or node.subgraph is None:
            raise InvalidUpdateError(f"Subgraph {name} not found")
        plan = node.subgraph
    start = root.run.task.snapshot
    found = [start, *subgraphs.below(start)] if start is not None else []
    snapshot = next((each for each in found if each.ns == ns), None)
    if snapshot is None:
        raise InvalidUpdateError(f"No subgraph is at work at {ns!r}")
    parents = serialize.decode(snapshot.metadata)["parents"]
    graph = GraphState(root.run, plan, Place(ns, parents[""], parents, {"checkpoint_ns": ns}))
    graph.restore(snapshot)
    graph.schedule(snapshot.writes)
    graph.channels.apply(pending_writes.updates(graph.tasks))
    return graph


async def _superstep(graph: GraphState, updates: list[_Update], number: int) -> None:
    mark = graph.run.task.run_id, number
    _check(updates, "No updates provided")
    answers = any(each.command is not None and each.command.resume is not None for each in updates)
    _check(not answers, "Only a run can resume")
    first, alone = updates[0], len(updates) == 1
    if first.as_node == INPUT:
        _check(alone, "Cannot apply multiple updates when updating as input")
        graph.agenda.update = mark
        _enter(graph, first)
    elif first.as_node == COPY:
        _check(alone, "Cannot copy checkpoint with multiple updates")
        _check(graph.checkpoints.checkpoint_id, "Cannot copy a non-existent checkpoint")
        graph.agenda.update = mark
        graph.checkpoints.step_aside()
        graph.fork()
    elif first.as_node == END and first.values is None and first.command is None:
        _check(alone, "Cannot apply multiple updates when clearing state")
        graph.agenda.discard()
        graph.agenda.update = mark
        graph.checkpoint("update")
    else:
        await _write_as_nodes(graph, updates)
        graph.agenda.update = mark
        graph.checkpoint("update")


def _enter(graph: GraphState, update: _Update) -> None:
    if update.command is not None:
        pairs = writes.pairs(update.command.update)
        values = serialize.join_object((key, serialize.encode(value)) for key, value in pairs)
        graph.enter(values, goto(update.command.goto))
    elif update.values is None:
        raise EmptyInputError("Received no input writes for __start__")
    else:
        graph.enter(serialize.encode(update.values))


def _last(graph: GraphState) -> str:
    """The node that wrote last. Raises InvalidUpdateError if that were several."""
    ran = set(graph.agenda.ran) or ({START} if graph.checkpoints.checkpoint_id is None else set())
    if len(ran) != 1:
        raise InvalidUpdateError("Ambiguous update, specify as_node")
    return ran.pop()


async def _write_as_nodes(graph: GraphState, updates: list[_Update]) -> None:
    """Each update becomes that of the first task of its node that is still to run, if any."""
    tasks = [_task_of(graph, each.as_node or _last(graph), each) for each in updates]
    graph.channels.apply([update for task in tasks for update in task.updates])
    for task, update in zip(tasks, updates, strict=True):
        node = graph.plan.nodes.get(task.name)
        if node is not None and node.routes is not None and update.command is None:
            seen = calling.visible(graph.plan, task, graph.channels)
            writes.route(task, await node.call(seen, {}), node)
    for task in tasks:
        if task.id:  # history shows the values as what the node returned
            graph.put_write(task)
    graph.agenda.advance(tasks)


def _task_of(graph: GraphState, name: str, update: _Update) -> NodeTask:
    if name != START and name not in graph.plan.nodes:
        raise InvalidUpdateError(f"Node {name} does not exist")
    due = next((t for t in graph.tasks if t.name == name and t.result is None), None)
    task = due or NodeTask("", name, ("", name), (), "")
    if update.command is None:
        writes.take(task, update.values, graph.channels)
    else:
        writes.take(task, Command(update=update.command.update), graph.channels)
        task.goto += goto(update.command.goto)
    return task


def _check(holds: object, problem: str) -> None:
    if not holds:
        raise InvalidUpdateError(problem)
