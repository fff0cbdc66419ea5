"""Pending writes: what the finished tasks of a superstep wrote while others wait or failed.

Shown to who looks at a run that waits or failed; a run goes on from the checkpoint, not from here.
"""

from collections.abc import Sequence

from duragraph.protocol import PENDING_TASK, Write
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.executor.agenda import NodeTask, in_order
from duragraph_worker.executor.channels import Channels, Update


def updates(tasks: Sequence[NodeTask]) -> list[Update]:
    """What the finished ones wrote."""
    return [u for task in in_order(tasks) if task.result is not None for u in task.updates]


def state(channels: Channels, tasks: Sequence[NodeTask]) -> Channels:
    """As if the superstep ended with what is finished. Raises InvalidUpdateError."""
    applied = channels.copy()
    applied.apply(updates(tasks))
    return applied


def record(
    channels: Channels, tasks: Sequence[NodeTask], *, checkpoint_id: str, ns: str
) -> Write | None:
    """The channels that the finished tasks changed, as the record keeps them for readers."""
    if all(task.result is not None for task in tasks) or not (finished := updates(tasks)):
        return None
    try:
        changed = state(channels, tasks).json({update.channel for update in finished})
    except InvalidUpdateError:  # the superstep's own end will tell
        return None
    return Write(checkpoint_id, ns, PENDING_TASK, result=changed)
