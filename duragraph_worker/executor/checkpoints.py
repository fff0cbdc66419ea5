"""A graph's checkpoints within a run: ids, steps, what is on record and what is shown.

Owns the fields of a `Checkpoint` and of its frames. Decides nothing about what runs.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from duragraph.protocol import Checkpoint, Snapshot
from duragraph_worker import serialize
from duragraph_worker.executor.agenda import Agenda, NodeTask
from duragraph_worker.executor.channels import Channels
from duragraph_worker.executor.frames import Shown
from duragraph_worker.executor.run import Run

Source = Literal["input", "loop", "update", "fork"]

_NOT_SHOWN = frozenset(
    {"run_id", "thread_id", "graph_id", "assistant_id", "checkpoint_ns"}
    | {"checkpoint_map", "langgraph_auth_user", "langgraph_auth_permissions"}
)
"""Of `configurable`, what metadata has a field of its own for, or may not have."""


@attrs.frozen
class Place:
    """Where in the run a graph is: the root's is empty."""

    ns: str = ""
    root_id: str | None = None
    """The root's checkpoint that a subgraph works under."""
    parents: Mapping[str, str] = attrs.field(factory=dict)
    """`{namespace: checkpoint_id}` of the graphs above."""
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    """Of the task that a subgraph is."""


ROOT = Place()


class Checkpoints:
    """Stands at one checkpoint; `step` is that of the superstep after it."""

    def __init__(self, run: Run, place: Place) -> None:
        self._run, self._place = run, place
        self._metadata = _metadata(run, place)
        self._source: Source = "loop"
        self.checkpoint_id: str | None = None
        self.stored_id: str | None = None
        """The newest one on record."""
        self.stored = True
        """Whether the record has the one it stands at."""
        self.step = -1
        self.scheduled = run.clock.now()
        """When its checkpoint was made: what the tasks after it take for now."""
        self._taken: Snapshot | None = None
        self._parent_id: str | None = None
        self._inherited = False
        """The parent shown is that of a checkpoint of an earlier run."""

    def take_up(self, snapshot: Snapshot) -> None:
        """Stand at a checkpoint on record."""
        self._taken = snapshot
        self.checkpoint_id = self.stored_id = snapshot.checkpoint_id
        self._parent_id, self._inherited = snapshot.parent_id, True
        self.step = snapshot.step + 1
        if snapshot.created_at:
            self.scheduled = datetime.fromisoformat(snapshot.created_at)

    def step_aside(self) -> None:
        """Let the next checkpoint have the parent that this one has."""
        self.stored_id = self._parent_id

    def extend(self, source: Source) -> None:
        """Stand at a new checkpoint."""
        if self.checkpoint_id is None and source == "update":
            self.step += 1  # an input is step -1, also where there was none
        self._taken = None
        if self._run.durability != "exit":
            self._parent_id, self._inherited = self.stored_id, False
        self.checkpoint_id = self._run.clock.checkpoint_id(self.checkpoint_id)
        self.scheduled = self._run.clock.now()
        self._source, self.stored = source, False
        self.step += 1

    def shown(self) -> Shown | None:
        """The checkpoint as frames show it, which differs for one of an earlier run."""
        if self.checkpoint_id is None:
            return None
        config, parent_id = self._config(self.checkpoint_id), self._parent_id
        metadata = self._fields() if self._taken is None else self._taken.metadata
        parent = None
        if parent_id is not None:
            parent = self._pointer(parent_id) if self._inherited else self._config(parent_id)
        return Shown(self.checkpoint_id, metadata, config, parent, self.step - 1)

    def _fields(self) -> bytes:
        return serialize.encode(
            {"source": self._source, "step": self.step - 1, "parents": self._place.parents}
        )

    def store(
        self, channels: Channels, agenda: Agenda, tasks: list[NodeTask], graphs: frozenset[str]
    ) -> None:
        """Record the checkpoint and its state; `graphs` names the nodes that are graphs."""
        if self.stored or self.checkpoint_id is None:
            return
        parts, versions = channels.record(self.checkpoint_id)
        self._run.recorder.put(
            Checkpoint(
                self.checkpoint_id,
                self.stored_id,
                ns=self._place.ns,
                source=self._source,
                step=self.step - 1,
                created_at=self.scheduled.isoformat(timespec="microseconds"),
                next=[task.name for task in tasks],
                channels=parts,
                versions=versions,
                tasks=serialize.encode([_listed(task, graphs) for task in tasks]),
                metadata=serialize.extend_object(self._metadata, self._fields()),
                opaque=agenda.dump(),
                root_id=self._place.root_id,
            )
        )
        self.stored_id, self.stored = self.checkpoint_id, True

    def _config(self, checkpoint_id: str) -> dict[str, Any]:
        config = {"checkpoint_ns": self._place.ns, **self._run.config["configurable"]}
        return {**config, **self._map(checkpoint_id), "checkpoint_id": checkpoint_id}

    def _pointer(self, checkpoint_id: str) -> dict[str, Any]:
        pointer = {
            "thread_id": self._run.task.thread_id,
            "checkpoint_ns": self._place.ns,
            "checkpoint_id": checkpoint_id,
        }
        return {**pointer, **self._map(checkpoint_id)}

    def _map(self, checkpoint_id: str) -> dict[str, Any]:
        if not self._place.ns:
            return {}
        return {"checkpoint_map": {**self._place.parents, self._place.ns: checkpoint_id}}


def _listed(task: NodeTask, graphs: frozenset[str]) -> dict[str, Any]:
    listed = {"id": task.id, "name": task.name, "path": task.path}
    return {**listed, "ns": task.ns} if task.name in graphs else listed


def _metadata(run: Run, place: Place) -> bytes:
    own = {
        key: value
        for key, value in run.config["configurable"].items()
        if key not in _NOT_SHOWN and not key.startswith("__")
    }
    thread = {"thread_id": run.task.thread_id}
    if run.task.kind == "update_state":
        return serialize.encode({**own, "graph_id": run.task.graph_id, **thread, **place.metadata})
    above = {"checkpoint_map": place.parents} if place.ns else {}
    return serialize.encode({**own, **run.metadata, **above, **thread, **place.metadata})
