"""`update_state`: a checkpoint made by hand, as if a node had written it."""

from typing import Any

import msgspec

from duragraph_worker import serialize
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.executor import calling, writes
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.execution import Execution
from duragraph_worker.executor.writes import RUN_TASK, RunCommand
from duragraph_worker.plan import END, START

INPUT = "__input__"
"""As which node a run's input is given."""


class _Kwargs(msgspec.Struct):
    values: Any = None
    as_node: str | None = None


async def update_state(root: Execution) -> None:
    """Write the task's `values` as `as_node` and follow its edges.

    Raises InvalidUpdateError: an unknown node, an ambiguous or conflicting update.
    """
    given = msgspec.json.decode(root.run.task.kwargs, type=_Kwargs)
    if (snapshot := root.run.task.snapshot) is not None:
        # What was written at an older checkpoint belongs to the line that went on from it.
        addressed = "checkpoint_id" in root.run.config["configurable"]
        root.restore(snapshot)
        for write in () if addressed else snapshot.writes:
            if write.task_id == RUN_TASK:
                root.command(RunCommand.load(write))
        root.go_on(snapshot.writes, armed=False, quiet=True)
        if not addressed:
            root.channels.apply(root.finished_updates())
    if given.as_node == INPUT:
        root.enter(serialize.encode(given.values))
    elif given.as_node == END and given.values is None:
        root.agenda.discard()
        root.checkpoint("update")
    else:
        await _speak(root, given.as_node or _last(root), given.values)


def _last(root: Execution) -> str:
    """The node that wrote last. Raises InvalidUpdateError if that were several."""
    ran = set(root.agenda.ran) or ({START} if root.lineage.checkpoint_id is None else set())
    if len(ran) != 1:
        raise InvalidUpdateError("Ambiguous update, specify as_node")
    return ran.pop()


async def _speak(root: Execution, name: str, values: Any) -> None:
    if name != START and name not in root.plan.nodes:
        raise InvalidUpdateError(f"Node {name} does not exist")
    due = next((t for t in root.tasks if t.name == name and t.result is None), None)
    task = due or NodeTask("", name, ("", name), (), "")
    writes.take(task, values, root.channels)
    if due is not None:
        # History shows the values as what the node returned.
        root.put_write(task)
    root.channels.apply(task.updates)
    node = root.plan.nodes.get(name)
    if node is not None and node.routes is not None:
        seen = calling.visible(root.plan, task, root.channels)
        writes.route(task, await node.call(seen, {}), node)
    root.agenda.advance([task])
    root.checkpoint("update")
