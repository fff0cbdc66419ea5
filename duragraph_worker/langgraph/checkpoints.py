"""A checkpoint as LangGraph made it, and as the record keeps it: the two-way translation.

What clients see are the visible channels, one part each that changed; all else that LangGraph
needs (versions, private channels, jumps) is one opaque value. Knows no plane, waits for nothing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs
import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from duragraph import protocol
from duragraph.protocol import ROOT_CHANNEL, RUN_TASK, ChannelWrite, Scheduled, Snapshot
from duragraph_worker.langgraph import serialize
from duragraph_worker.langgraph.channel_values import Cell, write_whole
from duragraph_worker.langgraph.task_writes import Shown, TaskWrites
from duragraph_worker.langgraph.terms import INTERRUPT
from duragraph_worker.serialize import join_object

TASKS = "__pregel_tasks"
BEFORE = -2
"""The step of no checkpoint."""

_NOT_SHOWN = frozenset(
    {"langgraph_auth_user", "langgraph_auth_user_id", "langgraph_auth_permissions"}
)
"""Of a run's config, what concerns its caller only."""
_NAMED_ELSEWHERE = frozenset({"checkpoint_ns", "checkpoint_id", "run_id", "thread_id"})
"""Of `configurable`, what a checkpoint tells otherwise."""


@attrs.define(eq=False)
class Recorded:
    """One checkpoint as it is on record, and the values of it that LangGraph holds."""

    checkpoint_id: str
    ns: str
    parent_id: str | None
    created_at: str
    metadata: bytes
    opaque: bytes
    cells: dict[str, Cell]
    versions: Mapping[str, Any]
    """LangGraph's own, by channel."""
    next: list[str]
    sends: int
    """How many of its tasks were sent; they come first."""
    writes: dict[str, TaskWrites] = attrs.field(factory=dict)
    objects: dict[str, Any] = attrs.field(factory=dict)
    """The visible values, as the graph has them."""
    root: str | None = None
    """The channel that is the whole state, where that is no mapping."""
    left: dict[str, Cell] = attrs.field(factory=dict)
    """What the parent had of channels that have no value here, as far as the checkpoint says."""
    deltas: Collection[str] = ()
    """Those whose values LangGraph would rebuild from earlier writes: `DeltaChannel`s."""
    step: int = BEFORE
    since: int = BEFORE
    """The step that the run which made it started from."""
    shown: bool = False
    """The stream has shown its values, or is past them."""

    @property
    def commanded(self) -> bool:
        """Whether a run's command has changed the state here, or is about to."""
        return RUN_TASK in self.writes and bool(self.writes[RUN_TASK].slots)

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        made_by: str | None = orjson.loads(self.metadata).get("run_id")
        return made_by

    @property
    def above(self) -> Collection[str]:
        """The checkpoints of the graphs above from which its own was started."""
        parents: dict[str, str] = orjson.loads(self.metadata).get("parents", {})
        return parents.values()

    @classmethod
    def load(cls, snapshot: Snapshot, serde: SerializerProtocol) -> "Recorded":
        """From the record."""
        kept = _kept(snapshot.opaque, serde)
        cells = {
            name: Cell.load(
                value,
                snapshot.codecs.get(name, ()),
                version=snapshot.versions[name],
                depth=snapshot.depths.get(name, 0),
            )
            for name, value in snapshot.values.items()
        }
        return cls(
            snapshot.checkpoint_id,
            snapshot.ns,
            snapshot.parent_id,
            snapshot.created_at,
            snapshot.metadata,
            snapshot.opaque,
            cells,
            kept["channel_versions"],
            snapshot.next,
            kept["sends"],
            root=kept["root"],
            writes={w.task_id: TaskWrites.load(w) for w in snapshot.writes if w.opaque},
            step=snapshot.step,
            since=kept.get("since", snapshot.step),
        )

    def tuple(self, thread_id: str, serde: SerializerProtocol) -> CheckpointTuple:
        """As LangGraph takes it, all of new objects."""
        kept = _kept(self.opaque, serde)
        self.objects = {name: cell.restore(serde) for name, cell in self.cells.items()}
        versions = kept["channel_versions"]
        named = {self.root or name: value for name, value in self.objects.items()}
        values = kept["private"] | {n: value for n, value in named.items() if n in versions}
        checkpoint = Checkpoint(
            v=kept["v"],
            id=self.checkpoint_id,
            ts=self.created_at,
            channel_values=values,
            channel_versions=versions,
            versions_seen=kept["versions_seen"],
            updated_channels=kept["updated_channels"],
        )
        return CheckpointTuple(
            address(thread_id, self.ns, self.checkpoint_id),
            checkpoint,
            orjson.loads(self.metadata),
            None if self.parent_id is None else address(thread_id, self.ns, self.parent_id),
            self._pending(serde),
        )

    def complete(self, values: Any, serde: SerializerProtocol) -> list[ChannelWrite]:
        """Take from `values`, the whole state, what the checkpoint left out; what to record of it.

        A reducer's empty value stands in no checkpoint, nor does a `DeltaChannel`'s, which so
        need not be rebuilt from earlier writes. What else was written is an untracked value.
        """
        writes: list[ChannelWrite] = []
        given = values if self.root is None else {ROOT_CHANNEL: values}
        for name in given.keys() - self.objects.keys():
            if name not in self.cells:
                if name in self.versions and name not in self.deltas:
                    continue
                before, at = self.left.get(name), self.checkpoint_id
                cell = _follow(before, name, given[name], writes, at=at, serde=serde)
                if cell is before:
                    cell, write = before.again(name, version=at)
                    writes.append(write)
                self.cells[name] = cell
            self.objects[name] = given[name]
        return writes

    def by_channel(self, values: Any) -> Mapping[str, Any]:
        """A whole state as a mapping."""
        return {ROOT_CHANNEL: values} if ROOT_CHANNEL in self.cells else values

    def asks(self, values: Any) -> bool:
        """Whether questions stand in a state of one channel: LangGraph adds them to the value."""
        return ROOT_CHANNEL in self.cells and isinstance(values, dict) and INTERRUPT in values

    def changed(self, values: Any) -> bytes | None:
        """The channels whose values are not those on record, as a JSON object."""
        given = ((name, serialize.dump(value)) for name, value in self.by_channel(values).items())
        changed = [
            (name, json)
            for name, json in given
            if name not in self.cells or self.cells[name].json != json
        ]
        return join_object(changed) if changed else None

    def _pending(self, serde: SerializerProtocol) -> list[PendingWrite]:
        """In the order in which a superstep applies them.

        LangGraph would run the handler of an error once more, whatever it wrote: what one that
        has finished put out counts as the failed task's own.
        """
        tasks = sorted(self.writes.values(), key=lambda writes: (writes.path, writes.task_id))
        by_path = {task.path: task.task_id for task in tasks}
        instead = {
            by_path[task.handles]: task
            for task in tasks
            if task.finished and task.handles in by_path
        }
        ended = {task.task_id for task in instead.values()}
        return [
            (task.task_id, channel, value)
            for task in tasks
            if task.task_id not in ended
            for channel, value in instead.get(task.task_id, task).pending(serde)
        ]


def record(
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    config: RunnableConfig,
    *,
    base: Recorded | None,
    goes_on: bool,
    shown: Shown,
    serde: SerializerProtocol,
    said: Callable[[Recorded], Scheduled] | None = None,
) -> tuple[Recorded, protocol.Checkpoint]:
    """A new checkpoint, and what to put on record of it; `base` is its parent, if known.

    It `goes_on` where the same run made its parent.
    `said` tells what runs after it, where that is known already.
    """
    values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
    visible, private = _split(values, shown)
    root = shown if isinstance(shown, str) else None
    cells, parts = _cells(visible, versions, base, at=checkpoint["id"], root=root, serde=serde)
    left = _left(cells, versions, base, root)
    sends = len(values.get(TASKS) or ())
    since = BEFORE if base is None else base.since if goes_on else base.step
    opaque = _keep(checkpoint, private, sends=sends, root=root, since=since, serde=serde)
    recorded = Recorded(
        checkpoint["id"],
        config["configurable"]["checkpoint_ns"],
        parent_of(config),
        checkpoint["ts"],
        serialize.dump(_metadata(config, metadata)),
        opaque,
        cells,
        versions,
        [],
        sends,
        objects=visible,
        root=root,
        left=left,
        deltas=metadata.get("counters_since_delta_snapshot", {}).keys(),
        step=metadata.get("step", BEFORE),
        since=since,
    )
    after = Scheduled(recorded.checkpoint_id, []) if said is None else said(recorded)
    return recorded, _item(recorded, metadata, parts, after)


def _item(
    recorded: Recorded, metadata: CheckpointMetadata, parts: list[ChannelWrite], after: Scheduled
) -> protocol.Checkpoint:
    return protocol.Checkpoint(
        recorded.checkpoint_id,
        recorded.parent_id,
        ns=recorded.ns,
        source=metadata.get("source", "input"),
        step=recorded.step,
        created_at=recorded.created_at,
        next=after.next,
        tasks=after.tasks,
        channels=parts + after.channels,
        versions={name: cell.version for name, cell in recorded.cells.items()},
        metadata=recorded.metadata,
        opaque=recorded.opaque,
        root_id=metadata.get("parents", {}).get("") if recorded.ns else None,
    )


def address(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    configurable = {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}
    return {"configurable": configurable}


def parent_of(config: RunnableConfig) -> str | None:
    """The checkpoint that a new one is put under."""
    return config["configurable"].get("checkpoint_id") or None


def _split(values: Mapping[str, Any], shown: Shown) -> tuple[dict[str, Any], dict[str, Any]]:
    """The channels that clients see, and the others."""
    if isinstance(shown, str):
        visible = {ROOT_CHANNEL: values[shown]} if shown in values else {}
        return visible, {name: value for name, value in values.items() if name != shown}
    visible, private = dict[str, Any](), dict[str, Any]()
    for name, value in values.items():
        if shown(name):
            visible[name] = _alone(value)
        else:
            private[name] = value
    return visible, private


def _cells(
    visible: Mapping[str, Any],
    versions: Mapping[str, Any],
    base: Recorded | None,
    *,
    at: str,
    root: str | None,
    serde: SerializerProtocol,
) -> tuple[dict[str, Cell], list[ChannelWrite]]:
    """A channel whose version is its parent's is taken over unseen."""
    cells, parts = {}, list[ChannelWrite]()
    for name, value in visible.items():
        channel = root or name
        before = base.cells.get(name) if base is not None else None
        if before and base and base.versions.get(channel) == versions.get(channel):
            cells[name] = before
        else:
            cells[name] = _follow(before, name, value, parts, at=at, serde=serde)
    return cells, parts


def _follow(
    before: Cell | None,
    name: str,
    value: Any,
    writes: list[ChannelWrite],
    *,
    at: str,
    serde: SerializerProtocol,
) -> Cell:
    """The channel's cell at checkpoint `at`; what is to record of it goes to `writes`."""
    if before is None:
        cell, first = write_whole(name, value, version=at, serde=serde)
        writes.append(first)
        return cell
    cell, write = before.follow(name, value, version=at, serde=serde)
    if write is not None:
        writes.append(write)
    return cell


def _alone(value: Any) -> Any:
    """A `DeltaChannel`'s snapshot is its value: as such it is restored all the same."""
    return value.value if isinstance(value, _DeltaSnapshot) else value


def _left(
    cells: dict[str, Cell], versions: Mapping[str, Any], base: Recorded | None, root: str | None
) -> dict[str, Cell]:
    """The cells of the parent that are not taken over: of channels that have no value here.

    Those whose version is still the parent's are, though the checkpoint left them out.
    """
    left: dict[str, Cell] = {}
    for name, cell in ({} if base is None else base.cells).items():
        channel = root or name
        if name in cells or base is None:
            continue
        same = base.versions.get(channel) == versions.get(channel)
        (cells if same else left)[name] = cell
    return left


def _keep(
    checkpoint: Checkpoint,
    private: Mapping[str, Any],
    *,
    sends: int,
    root: str | None,
    since: int,
    serde: SerializerProtocol,
) -> bytes:
    kept = {
        "v": checkpoint["v"],
        "channel_versions": checkpoint["channel_versions"],
        "versions_seen": checkpoint["versions_seen"],
        "updated_channels": checkpoint.get("updated_channels"),
        "private": private,
        "sends": sends,
        "root": root,
        "since": since,
    }
    kind, data = serde.dumps_typed(kept)
    return kind.encode() + b"\0" + data


def _kept(opaque: bytes, serde: SerializerProtocol) -> dict[str, Any]:
    kind, _, data = opaque.partition(b"\0")
    kept: dict[str, Any] = serde.loads_typed((kind.decode(), data))
    return kept


def _metadata(config: RunnableConfig, metadata: CheckpointMetadata) -> dict[str, Any]:
    """As LangGraph's own server shows it."""
    from_config = {
        key: value
        for key, value in config["configurable"].items()
        if not key.startswith("__") and key not in _NAMED_ELSEWHERE
    }
    every = {**from_config, **config.get("metadata", {}), **metadata}
    for key in _NOT_SHOWN & every.keys():
        del every[key]
    return every
