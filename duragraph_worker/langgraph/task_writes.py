"""What one task of a superstep wrote so far: for LangGraph to restore, for clients to see.

Owns which of two writes to the same slot counts: an answer, a question or an error replaces the
one before; output, once recorded, stays.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import msgspec
from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.types import Interrupt

from duragraph.protocol import Write
from duragraph_worker.langgraph import raised, serialize
from duragraph_worker.langgraph.terms import INTERRUPT

ERROR, RETURN = "__error__", "__return__"
_RESUME = WRITES_IDX_MAP["__resume__"]
_CONTROL = frozenset({ERROR, INTERRUPT, "__resume__", "__error_source_node__"})
"""Channels that say what happened to a task, not what it produced."""
_CALLED = re.compile("~__pregel_push, .*, 0000000001")
"""The path of a task that another has called; where it was sent, the last number is 0."""
_HANDLES = re.compile("(.*), node_error_handler, .*")
"""The path of a task that handles another's error begins with that one's."""

Shown = str | Callable[[str], bool]
"""Which channels clients see: one that is the whole state, or a rule."""


class _Slot(msgspec.Struct, array_like=True, frozen=True):
    index: int
    channel: str
    kind: str
    data: bytes
    path: str


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    run_id: str
    slots: list[_Slot]


_load = msgspec.msgpack.Decoder(_Kept).decode


@attrs.define(eq=False)
class TaskWrites:
    """By slot, and what clients see of it."""

    task_id: str
    slots: dict[int, _Slot] = attrs.field(factory=dict)
    result: bytes | None = None
    error: str | None = None
    interrupts: bytes | None = None
    run_id: str = ""
    """The run that wrote last."""

    @classmethod
    def load(cls, write: Write) -> "TaskWrites":
        kept = _load(write.opaque)
        slots = {slot.index: slot for slot in kept.slots}
        return cls(write.task_id, slots, write.result, write.error, write.interrupts, kept.run_id)

    def add(
        self,
        writes: Sequence[tuple[str, Any]],
        path: str,
        *,
        shown: Shown,
        serde: SerializerProtocol,
    ) -> None:
        """Take more of what the task wrote."""
        for place, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, place)
            if index >= 0 and index in self.slots:
                continue
            dumped = (
                raised.dump(value, serde)
                if isinstance(value, BaseException)
                else serde.dumps_typed(value)
            )
            self.slots[index] = _Slot(index, channel, *dumped, path)
            if channel == INTERRUPT:
                self.interrupts = _questions(value)
            elif channel == ERROR:
                told = value if isinstance(value, str) else repr(value)
                self.error = told.encode(errors="replace").decode()
        if output := [write for write in writes if write[0] not in _CONTROL]:
            self.result = _result(output, shown)

    def pending(self, serde: SerializerProtocol) -> list[tuple[str, Any]]:
        """Channels and values as LangGraph takes them, in order."""
        slots = [self.slots[index] for index in sorted(self.slots)]
        return [(slot.channel, _value(slot, serde)) for slot in slots]

    @property
    def finished(self) -> bool:
        """Whether it has put out all it will."""
        return bool(self.slots) and _CONTROL.isdisjoint(s.channel for s in self.slots.values())

    @property
    def handles(self) -> str | None:
        """The path of the task whose error it handles."""
        found = _HANDLES.fullmatch(self.path)
        return None if found is None else found[1]

    @property
    def answered(self) -> bool:
        """Whether an answer is among what it wrote."""
        return _RESUME in self.slots

    def forget_answer(self) -> None:
        """Of a run's command, its resume value."""
        self.slots.pop(_RESUME, None)

    @property
    def called(self) -> bool:
        """Whether it is a `@task`: what calls it passes its questions on."""
        return _CALLED.fullmatch(self.path) is not None

    @property
    def path(self) -> str:
        """Orders the tasks of a superstep."""
        return min((slot.path for slot in self.slots.values()), default="")

    def dump(self, *, checkpoint_id: str, ns: str) -> Write:
        return Write(
            checkpoint_id,
            ns,
            self.task_id,
            result=self.result,
            error=self.error,
            interrupts=self.interrupts,
            opaque=msgspec.msgpack.encode(_Kept(self.run_id, list(self.slots.values()))),
        )


def _value(slot: _Slot, serde: SerializerProtocol) -> Any:
    if slot.kind == raised.KIND:
        return raised.load(slot.data, serde)
    return serde.loads_typed((slot.kind, slot.data))


def _questions(interrupts: Any) -> bytes:
    asked = interrupts if isinstance(interrupts, Sequence) else [interrupts]
    return serialize.dump([_question(i) if isinstance(i, Interrupt) else i for i in asked])


def _question(interrupt: Interrupt) -> dict[str, Any]:
    schema = getattr(interrupt, "response_schema", None)
    shown = {"id": interrupt.id, "value": interrupt.value}
    return shown if schema is None else {**shown, "response_schema": schema}


def _result(output: Iterable[tuple[str, Any]], shown: Shown) -> bytes:
    """A task's return value, or its updates as clients see them."""
    by_channel: dict[str, list[Any]] = {}
    for channel, value in output:
        by_channel.setdefault(channel, []).append(value)
    if RETURN in by_channel:
        return serialize.dump(by_channel[RETURN][0])
    if isinstance(shown, str):
        return serialize.dump(_merged(by_channel[shown]) if shown in by_channel else None)
    return serialize.dump({c: _merged(v) for c, v in by_channel.items() if shown(c)})


def _merged(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else {"$writes": values}
