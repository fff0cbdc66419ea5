"""What a thread's runs look like on the event-streaming protocol: events, numbers, filters.

Pure, and the same for every replay on every plane: an event's number is made of its frame's
place in the log. Contract: the protocol's CDDL as `@langchain/protocol` has it. Payloads are
joined as bytes; only frames of stream modes, which the protocol writes otherwise, are decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, assert_never

import attrs
import msgspec
import structlog
from msgspec import Raw

from duragraph import codec
from duragraph.event_names import EventName
from duragraph.frames import Batch, Mark
from duragraph.models import RunStatus

log = structlog.get_logger(__name__)

CHANNELS = frozenset(
    {"values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input"}
    | {"tasks"}
)
NAMED = "custom:"
"""Before the name of one custom channel."""
PER_MS = 1024
"""Numbers a millisecond: no worker makes events faster, and until 2248 JavaScript counts them."""

Namespace: TypeAlias = tuple[str, ...]


@attrs.frozen
class RunSummary:
    """Of a run, what its lifecycle events show. `asked`: it stopped at an interrupt."""

    graph_id: str
    status: RunStatus
    asked: bool
    error: Raw | None
    updated_ms: int


@attrs.frozen
class Event:
    """One event; `data` is JSON."""

    mark: Mark
    method: str
    at_ms: int
    data: bytes
    namespace: Namespace = ()
    node: str = ""

    @property
    def number(self) -> int:
        return number(self.mark)

    @property
    def channel(self) -> str:
        return "input" if self.method == "input.requested" else self.method

    def json(self) -> bytes:
        """The envelope and what is in it."""
        node = b',"node":' + codec.dumps(self.node) if self.node else b""
        return (
            b'{"type":"event","event_id":"%d-%d","seq":%d,"method":"%b",'
            b'"params":{"namespace":%b,"timestamp":%d,"data":%b%b}}'
        ) % (
            *self.mark,
            self.number,
            self.method.encode(),
            codec.dumps(self.namespace),
            self.at_ms,
            self.data,
            node,
        )


@attrs.frozen
class Subscription:
    """Which events somebody wants. `depth` counts from each of `namespaces`; none mean all."""

    channels: frozenset[str]
    namespaces: Sequence[Namespace] = ()
    depth: int | None = None

    def wants(self, event: Event) -> bool:
        return self._has_channel(event) and (
            not self.namespaces or any(self._reaches(event.namespace, n) for n in self.namespaces)
        )

    def _has_channel(self, event: Event) -> bool:
        if event.channel in self.channels:
            return True
        named = event.method == "custom" and any(c.startswith(NAMED) for c in self.channels)
        return named and f"{NAMED}{_name_of(event.data)}" in self.channels

    def _reaches(self, namespace: Namespace, prefix: Namespace) -> bool:
        below = len(namespace) - len(prefix)
        if below < 0 or (self.depth is not None and below > self.depth):
            return False
        # A segment may be named without its task: `research` for `research:1f0…`.
        return all(
            mine == theirs or (":" not in theirs and mine.partition(":")[0] == theirs)
            for mine, theirs in zip(namespace, prefix, strict=False)
        )


def is_channel(name: str) -> bool:
    return name in CHANNELS or (name.startswith(NAMED) and name != NAMED)


def number(mark: Mark) -> int:
    """Strictly ascending over a thread. A run lasts longer than its events have numbers."""
    ms, seq = mark
    return ms * PER_MS + seq


def needs_summary(batch: Batch) -> bool:
    """Whether `events` needs the run's summary for this batch."""
    return batch.ended or any(name == "metadata" for name, _ in batch.frames)


def events(batch: Batch, summary: RunSummary | None) -> Iterator[Event]:
    """The events of a run's frames, and of its end. Without a summary the run is erased."""
    for seq, name, data in batch.numbered():
        mark = batch.ms, seq
        try:
            if name.startswith(EventName.PREFIX):
                known = EventName.parse(name)
                yield Event(mark, known.method, known.at_ms, data, known.namespace, known.node)
            elif (event := _of_stream_mode(mark, name, data, summary)) is not None:
                yield event
        except (ValueError, msgspec.DecodeError) as error:
            # A worker's own invention: nobody can have subscribed to it.
            log.debug("frame not of the protocol", run_id=batch.run_id, cause=str(error))
    if batch.ended:
        yield _end(batch, summary)


class _Began(msgspec.Struct):
    attempt: int


class _Custom(msgspec.Struct):
    name: str | None = None


class _Asked(msgspec.Struct):
    id: str
    value: Raw


def _of_stream_mode(mark: Mark, name: str, data: bytes, summary: RunSummary | None) -> Event | None:
    """The event that a stream mode's frame is; None for modes that the protocol has not."""
    mode, *namespace = name.split("|")
    make = _BY_STREAM_MODE.get(mode)
    if mode == "metadata" and msgspec.json.decode(data, type=_Began).attempt == 1:
        return Event(mark, "lifecycle", mark[0], _lifecycle("running", summary))
    return None if make is None else make(Event(mark, mode, mark[0], data, tuple(namespace)))


def _values(event: Event) -> Event | None:
    """The values, or the question that came with them; several are in the thread's state."""
    if b'"__interrupt__"' not in event.data:
        return event
    fields = msgspec.json.decode(event.data, type=dict[str, Raw])
    if "__interrupt__" not in fields:
        return event
    asked = msgspec.json.decode(fields.pop("__interrupt__"), type=list[_Asked])
    if len(asked) == 1 and not event.namespace:
        data = {"interrupt_id": asked[0].id, "payload": asked[0].value, "value": asked[0].value}
        return attrs.evolve(event, method="input.requested", data=codec.dumps(data))
    return attrs.evolve(event, data=codec.dumps(fields))


def _updates(event: Event) -> Event | None:
    fields = msgspec.json.decode(event.data, type=dict[str, Raw])
    node, update = next(iter(fields.items()), ("", Raw(b"null")))
    if node == "__interrupt__":
        return None
    whole = bytes(update)
    if not whole.startswith(b"{"):
        whole = b'{"value":%b}' % whole
    return attrs.evolve(event, node=node, data=whole)


def _custom(event: Event) -> Event:
    return attrs.evolve(event, data=b'{"payload":%b}' % event.data)


def _tasks(event: Event) -> Event:
    return event


_BY_STREAM_MODE: dict[str, Callable[[Event], Event | None]] = {
    "values": _values,
    "updates": _updates,
    "custom": _custom,
    "tasks": _tasks,
}


def lifecycle_of(summary: RunSummary) -> str:
    """Where a run stands, in the protocol's words."""
    match summary.status:
        case "pending" | "running":
            return "running"
        case "success":
            return "interrupted" if summary.asked else "completed"
        case "error" | "timeout":
            return "failed"
        case "interrupted":
            return "interrupted"
        case _:
            assert_never(summary.status)


def _end(batch: Batch, summary: RunSummary | None) -> Event:
    at_ms, ended = batch.ms, "interrupted"
    if summary is not None:
        at_ms, ended = summary.updated_ms, lifecycle_of(summary)
    return Event(batch.mark, "lifecycle", at_ms, _lifecycle(ended, summary))


def _lifecycle(event: str, summary: RunSummary | None) -> bytes:
    data: dict[str, Any] = {"event": event}
    if summary is not None:
        data["graph_name"] = summary.graph_id
        if event == "failed" and summary.error is not None:
            data["error"] = msgspec.json.decode(summary.error)["message"]
    return codec.dumps(data)


def _name_of(custom: bytes) -> str | None:
    try:
        return msgspec.json.decode(custom, type=_Custom).name
    except msgspec.DecodeError:
        return None
