"""The channels of one graph's state: values, reducers, and what changed since the last record.

Owns the conflict of parallel writes and the claim that a list only grew. Nodes get private
copies elsewhere, so nobody but a reducer can change a value; each is encoded at most once.
"""

import copy
import operator
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Self

import attrs

from duragraph.protocol import SNAPSHOT_EVERY, ChannelWrite, Snapshot
from duragraph_worker import serialize, state
from duragraph_worker.errors import InvalidUpdateError
from duragraph_worker.plan import Channel, Plan

_MISSING: Any = object()
_HARMLESS = operator.add, state.add_messages
"""Reducers that change no element they are given."""


@attrs.frozen
class Update:
    """A node's write to one channel; `encoded` is the value's JSON where it is known."""

    node: str
    channel: str
    value: Any
    encoded: bytes | None = None


class Cell:
    """One channel's value, its JSON, and what the record holds of it."""

    __slots__ = (
        "_appended", "_depth", "_json", "_length", "_recorded", "_tail",
        "channel", "value", "version",
    )  # fmt: skip

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.value: Any = _MISSING
        self.version = ""
        """The checkpoint whose part heads the value on record."""
        self._json: bytes | None = None
        self._length = 0
        """How many elements `_json` covers, of a list."""
        self._tail: tuple[int, int, bytes] | None = None
        self._recorded: Any = _MISSING
        self._appended = True
        """Since the record, the list has only grown."""
        self._depth = 0

    def restore(self, value: Any, data: bytes, *, version: str, depth: int) -> None:
        """Take over a value as it is on record."""
        self.value = self._recorded = value
        self.version, self._depth, self._json = version, depth, data
        self._length = _length(value)

    def write(self, updates: list[Update]) -> None:
        """Reduce the updates of one superstep into the value. Raises InvalidUpdateError."""
        reducer = self.channel.reducer
        if reducer is None:
            if len(updates) > 1:
                raise _conflict(self.channel.name, updates)
            self._set(updates[0].value, updates[0].encoded)
            return
        value, rest = self.value, iter(updates)
        if value is _MISSING:
            value = next(rest).value if self.channel.empty is None else self.channel.empty()
        # Elements too: only what is known to leave them alone is spared the comparison.
        before = self.json() if type(self.value) is list and reducer not in _HARMLESS else None
        kept = True
        for update in rest:
            # What a reducer changes in place is a copy, so that the change can be seen.
            current = value.copy() if type(value) is list else value
            value = reducer(current, update.value)
            kept = kept and value is not current
        kept = kept and _grew(self.value, value)
        if kept and (before is None or before == serialize.encode(value[: len(self.value)])):
            self.value = value
        else:
            self._set(value, None)

    def _set(self, value: Any, encoded: bytes | None) -> None:
        self.value, self._json, self._tail = value, encoded, None
        self._length, self._appended = _length(value), False

    def json(self) -> bytes:
        """The value as JSON."""
        if self._json is None:
            self._json, self._length = serialize.encode(self.value), _length(self.value)
        elif type(self.value) is list and len(self.value) > self._length:
            tail = self._tail_json(self._length)
            head = b"[" if self._json == b"[]" else self._json[:-1] + b","
            self._json, self._length = head + tail[1:], len(self.value)
        return self._json

    def part(self, checkpoint_id: str) -> ChannelWrite | None:
        """What to record of the value at `checkpoint_id`; None if the record holds it already."""
        last, base = self._recorded, self.version
        appended = self._appended and _grew(last, self.value)
        if appended and len(self.value) == len(last):
            return None
        self._recorded, self._appended, self.version = self.value, True, checkpoint_id
        if appended and self._depth + 1 < SNAPSHOT_EVERY:
            self._depth += 1
            tail = self._tail_json(len(last))
            return ChannelWrite(self.channel.name, tail, base_id=base, depth=self._depth)
        self._depth = 0
        return ChannelWrite(self.channel.name, self.json())

    def _tail_json(self, start: int) -> bytes:
        end = len(self.value)
        if self._tail is None or self._tail[:2] != (start, end):
            self._tail = (start, end, serialize.encode(self.value[start:]))
        return self._tail[2]


class Channels:
    """The cells by name, in declared order where the graph declares its state."""

    def __init__(self, plan: Plan, snapshot: Snapshot | None = None) -> None:
        """The state of `snapshot`, or what the reducers start from."""
        self._declared = plan.channels
        self._cells: dict[str, Cell] = {}
        self._dirty: dict[str, None] = {}
        found = snapshot.values if snapshot is not None else {}
        for name in plan.channels if plan.channels is not None else found:
            cell = Cell(self.channel(name))
            if snapshot is not None and name in found:
                value, version = self.read(name, found[name]), snapshot.versions.get(name, "")
                depth = snapshot.depths.get(name, 0)
                cell.restore(value, found[name], version=version, depth=depth)
            elif cell.channel.empty is not None:
                cell.value = cell.channel.empty()
                self._dirty[name] = None
            self._cells[name] = cell

    def copy(self) -> Self:
        """One that may be written to without a trace in this one."""
        twin = object.__new__(type(self))
        twin._declared, twin._dirty = self._declared, dict(self._dirty)
        twin._cells = {name: copy.copy(cell) for name, cell in self._cells.items()}
        return twin

    @property
    def clean(self) -> bool:
        """Whether the record holds it all."""
        return not self._dirty

    def knows(self, name: str) -> bool:
        return self._declared is None or name in self._declared

    def channel(self, name: str) -> Channel:
        """The channel of that name; in a plain state, made on the spot."""
        if self._declared is not None:
            return self._declared[name]
        if name == state.MESSAGES:
            return Channel(name, list, state.add_messages, list)
        return Channel(name)

    def read(self, name: str, data: bytes) -> Any:
        """A value of channel `name` from its JSON, as reducers and nodes know it."""
        channel, value = self.channel(name), serialize.decode(data)
        if channel.reducer is state.add_messages:
            return state.add_messages([], value)
        return value if channel.revive is None else channel.revive(value)

    def values(self) -> dict[str, Any]:
        """The values themselves, not copies, of the channels that have one."""
        return {n: cell.value for n, cell in self._cells.items() if cell.value is not _MISSING}

    def json(self, names: Iterable[str] | None = None) -> bytes:
        """The state, or the named part of it, as a JSON object."""
        chosen = None if names is None else frozenset(names)
        return serialize.join_object(
            (name, cell.json())
            for name, cell in self._cells.items()
            if cell.value is not _MISSING and (chosen is None or name in chosen)
        )

    def apply(self, updates: Iterable[Update]) -> None:
        """Write the updates of one superstep. Raises InvalidUpdateError on a conflict."""
        by_channel: defaultdict[str, list[Update]] = defaultdict(list)
        for update in updates:
            by_channel[update.channel].append(update)
        for name, writes in by_channel.items():
            cell = self._cells.get(name)
            if cell is None:
                cell = self._cells[name] = Cell(self.channel(name))
            cell.write(writes)
            self._dirty[name] = None

    def record(self, checkpoint_id: str) -> tuple[list[ChannelWrite], dict[str, str]]:
        """What changed since the last call, and the version of every channel."""
        parts = [part for name in self._dirty if (part := self._cells[name].part(checkpoint_id))]
        self._dirty.clear()
        versions = {name: cell.version for name, cell in self._cells.items() if cell.version}
        return parts, versions


def _length(value: Any) -> int:
    return len(value) if type(value) is list else 0


def _grew(before: Any, value: Any) -> bool:
    """Whether `value` is a new list that begins with the very elements of `before`."""
    return (
        type(value) is list
        and type(before) is list
        and value is not before
        and len(value) >= len(before)
        and all(map(operator.is_, before, value))
    )


def _conflict(name: str, updates: list[Update]) -> InvalidUpdateError:
    nodes = " and ".join(repr(node) for node in sorted({update.node for update in updates}))
    return InvalidUpdateError(
        f"At key '{name}': Can receive only one value per step. Use an Annotated key to handle "
        f"multiple values. Written by {nodes}."
    )
