"""What passes between a graph and the graphs that are its nodes: places, states, keys."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from duragraph.protocol import Snapshot
from duragraph_worker import serialize
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.checkpoints import Place

Names = Mapping[str, str] | None
"""`{child key: parent key}`; None shares keys by name."""


def place(above: Place, task: NodeTask, *, checkpoint_id: str, step: int) -> Place:
    """Where the graph that is `task` works, under a checkpoint of the graph above."""
    # LangGraph names the outermost subgraph here, however deep this one is.
    outermost = {"checkpoint_ns": task.ns.partition("|")[0]}
    return Place(
        task.ns,
        above.root_id or checkpoint_id,
        {**above.parents, above.ns: checkpoint_id},
        task.metadata(step) | outermost,
    )


def below(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Of all graphs at work under this one, however deep."""
    for child in snapshot.children:
        yield child
        yield from below(child)


def given(state: bytes, names: Names) -> bytes:
    """A subgraph's input, JSON as the state above is."""
    if names is None:
        return state
    fields = msgspec.json.decode(state, type=dict[str, msgspec.Raw])
    return serialize.join_object(
        (key, bytes(fields[parent])) for key, parent in names.items() if parent in fields
    )


def returned(values: dict[str, Any], names: Names) -> dict[str, Any]:
    """What a subgraph's node returns: its output, under the names of the graph above."""
    if names is None:
        return values
    return {parent: values[key] for key, parent in names.items() if key in values}
