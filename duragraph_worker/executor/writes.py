"""What a task left behind: a node's return value as updates and jumps, and both as a `Write`.

Owns the reading of return values and the round trip of a finished, failed or interrupted task
through the record. Applies nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

from duragraph.protocol import RUN_TASK, Write
from duragraph_worker import coerce, serialize, state
from duragraph_worker.command import Command, Send
from duragraph_worker.errors import Interrupt, InvalidUpdateError, ParentCommand
from duragraph_worker.executor.agenda import (
    NodeTask,
    Push,
    Target,
    dashed,
    digest,
    dump_goto,
    load_goto,
)
from duragraph_worker.executor.channels import Channels, Update
from duragraph_worker.plan import Node


def take(task: NodeTask, returned: Any, channels: Channels, node: Node | None = None) -> None:
    """Read what the node returned into `task`; afterwards it counts as finished.

    Raises InvalidUpdateError for what is neither an update nor a jump, ParentCommand for a
    command that is meant for the graph above.
    """
    if node is not None and node.routes is not None:
        route(task, returned, node)
    else:
        several = isinstance(returned, list) and not all(map(_is_pair, returned))
        for part in returned if several else [returned]:
            _take_one(task, part, channels)
    task.result = _result(task.updates)


def route(task: NodeTask, returned: Any, node: Node) -> None:
    """Read a router's labels as jumps. Raises InvalidUpdateError for one it has no edge for."""
    routes = node.routes or {}
    for label in returned if isinstance(returned, list | tuple) else [returned]:
        if isinstance(label, Send):
            task.goto.append(Push.of(label))
        elif label in routes:
            task.goto.append(routes[label])
        else:
            known = ", ".join(map(repr, routes))
            raise InvalidUpdateError(
                f"Router {node.name!r} returned {label!r}; its labels: {known}"
            )


def _take_one(task: NodeTask, part: Any, channels: Channels) -> None:
    if isinstance(part, Command):
        if part.graph is not None:
            raise ParentCommand(part)
        task.goto.extend(Push.of(t) if isinstance(t, Send) else t for t in part.targets)
        part = part.update
    elif isinstance(part, Send):
        task.goto.append(Push.of(part))
        return
    for key, value in pairs(part):
        if channels.knows(key):
            task.updates.append(_update(task, key, value, channels))


def pairs(update: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values of an update. Raises InvalidUpdateError if it is none."""
    if update is None:
        return
    if isinstance(update, Mapping):
        yield from update.items()
    elif isinstance(update, list | tuple) and all(_is_pair(item) for item in update):
        yield from update
    else:
        raise InvalidUpdateError(f"Expected dict, got {update!r:.200}")


def _is_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str)  # noqa: PLR2004


def _update(task: NodeTask, key: str, value: Any, channels: Channels) -> Update:
    if channels.channel(key).reducer is state.add_messages:
        many = value if isinstance(value, list) else [value]
        at = len(task.updates)
        value = [_identified(each, task.id, at, index) for index, each in enumerate(many)]
    return Update(task.name, key, value, serialize.encode(value))


def _identified(message: Any, *place: object) -> Any:
    """With an id that is the same on every execution, before clients and the record see it."""
    if isinstance(message, Mapping):
        return message if message.get("id") else {**message, "id": dashed(digest(*place))}
    message = coerce.message(message)
    return message if message.id else attrs.evolve(message, id=dashed(digest(*place)))


def take_input(
    task: NodeTask, data: bytes, channels: Channels, keys: frozenset[str] | None
) -> None:
    """Read a run's input, JSON still, into the start task. Raises InvalidUpdateError."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise InvalidUpdateError(f"Expected dict, got {serialize.decode(data)!r:.200}") from None
    for key, raw in fields.items():
        if channels.knows(key) and (keys is None or key in keys):
            task.updates.append(_read(task, key, bytes(raw), channels))
    task.result = _result(task.updates)


def _read(task: NodeTask, key: str, data: bytes, channels: Channels) -> Update:
    if channels.channel(key).reducer is state.add_messages:
        return _update(task, key, serialize.decode(data), channels)
    return Update(task.name, key, channels.read(key, data), data)


def _result(updates: list[Update]) -> bytes:
    fields: dict[str, list[bytes]] = {}
    for update in updates:
        encoded = update.encoded
        fields.setdefault(update.channel, []).append(
            serialize.encode(update.value) if encoded is None else encoded
        )
    return serialize.join_object(
        (key, each[0] if len(each) == 1 else b'{"$writes":' + serialize.join_array(each) + b"}")
        for key, each in fields.items()
    )


class _Kept(msgspec.Struct, omit_defaults=True):
    goto: list[str | Target] = []
    answers: dict[str, list[Any]] = {}
    answered_by: str | None = None
    updates: list[tuple[str, msgspec.Raw]] = []
    """Only where one key was written more than once: `result` can't tell."""
    waited: str | None = None
    shown: dict[str, int] = {}


def dump(task: NodeTask, *, checkpoint_id: str, ns: str) -> Write:
    """The task as the record keeps it."""
    kept = _Kept(dump_goto(task.goto), task.answers, task.answered_by)
    if task.waits:
        kept.waited, kept.shown = task.waited, dict(task.shown)
    if task.result is not None and len({u.channel for u in task.updates}) < len(task.updates):
        kept.updates = [
            (update.channel, msgspec.Raw(update.encoded or serialize.encode(update.value)))
            for update in task.updates
        ]
    return Write(
        checkpoint_id,
        ns,
        task.id,
        result=task.result,
        error=task.error,
        interrupts=interrupts_json(task.interrupts) if task.interrupts else None,
        opaque=serialize.encode(kept),
    )


def load(task: NodeTask, write: Write, channels: Channels) -> None:
    """Bring `task` to where the record left it; a failed one is still to run."""
    kept = msgspec.json.decode(write.opaque or b"{}", type=_Kept)
    task.answers, task.answered_by, task.error = kept.answers, kept.answered_by, write.error
    task.waited, task.shown = kept.waited, kept.shown
    if write.interrupts is not None:
        task.interrupts = tuple(msgspec.json.decode(write.interrupts, type=list[Interrupt]))
    if write.result is None or write.error is not None:
        return
    task.goto, task.result, task.replayed = load_goto(kept.goto), write.result, True
    fields = kept.updates or msgspec.json.decode(write.result, type=dict[str, msgspec.Raw]).items()
    for key, raw in fields:
        task.updates.append(_read(task, key, bytes(raw), channels))


def interrupts_json(interrupts: tuple[Interrupt, ...], *, streamed: bool = False) -> bytes:
    """`[{id, value}]`, or as frames have it, which differs."""
    if not streamed:
        return serialize.encode([{"id": each.id, "value": each.value} for each in interrupts])
    return serialize.encode(
        [{"value": each.value, "id": each.id, "response_schema": None} for each in interrupts]
    )


def waited(write: Write) -> str | None:
    """The run in which the task waited last."""
    return msgspec.json.decode(write.opaque or b"{}", type=_Kept).waited


def answered_by(write: Write) -> str | None:
    """The run whose one resume value the task has used."""
    return msgspec.json.decode(write.opaque or b"{}", type=_Kept).answered_by


class RunCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run's `command` on a thread that has a state: it acts on the checkpoint it finds."""

    run_id: str
    update: list[tuple[str, Any]] = []
    targets: list[str | Target] = []
    resume: Any = None

    def after(self, before: "RunCommand | None") -> "RunCommand":
        """Both, as one: an earlier run's command acts on the same checkpoint."""
        if before is None:
            return self
        return RunCommand(
            self.run_id, before.update + self.update, before.targets + self.targets, self.resume
        )

    def dump(self, *, checkpoint_id: str, values: bytes) -> Write:
        """`values`, a JSON object, are the channels that the update changed, as they are now."""
        return Write(checkpoint_id, "", RUN_TASK, result=values, opaque=serialize.encode(self))

    @classmethod
    def load(cls, write: Write) -> "RunCommand":
        return msgspec.json.decode(write.opaque, type=cls)
