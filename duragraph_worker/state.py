"""A graph's state: which channels a declared type has, and the objects that nodes see.

Owns reducers over messages and the way from channel values to a state object and back. It
keeps no state itself.
"""

import collections.abc
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import sys
import types
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

import attrs
import msgspec

from duragraph_worker import coerce
from duragraph_worker.messages import (
    REMOVE_ALL,
    AIMessage,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from duragraph_worker.plan import Channel, Reducer

Load = Callable[[dict[str, Any]], Any]
Revive = Callable[[Any], Any]

MESSAGES = "messages"
"""The key that a plain state reduces with `add_messages`."""

_WRAPPERS = (Annotated, typing.Required, typing.NotRequired)
_RESTORED = {
    tuple,
    set,
    frozenset,
    bytes,
    uuid.UUID,
    decimal.Decimal,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
}
_ATOMS = frozenset(
    {str, int, float, bool, types.NoneType, bytes, HumanMessage, AIMessage, SystemMessage}
    | {ToolMessage, uuid.UUID, dt.datetime, dt.date, decimal.Decimal}
)
_STARTS: dict[Any, Callable[[], Any]] = {
    **{kind: kind for kind in (list, dict, set, frozenset, tuple, str, int, float, bool)},
    collections.abc.Sequence: list,
    collections.abc.Mapping: dict,
    collections.abc.Set: set,
}


def add_messages(current: Any, update: Any) -> list[Message]:
    """Append messages; one with a known id replaces, a `RemoveMessage` removes.

    Messages without an id get one. Raises ValueError for what is no message, and for the
    removal of an id that isn't there.
    """
    merged = coerce.messages(current)
    places = {m.id: at for at, m in enumerate(merged)}
    if None in places:
        merged = [_identified(m) for m in merged]
        places = {m.id: at for at, m in enumerate(merged)}
    new = [_identified(m) for m in coerce.messages(update)]
    for at in range(len(new) - 1, -1, -1):
        if isinstance(new[at], RemoveMessage) and new[at].id == REMOVE_ALL:
            return new[at + 1 :]
    removed: set[str | None] = set()
    for message in new:
        place = places.get(message.id)
        if isinstance(message, RemoveMessage):
            if place is None:
                raise ValueError(f"can't remove message {message.id!r}: there is none with that id")
            removed.add(message.id)
        elif place is None:
            places[message.id] = len(merged)
            merged.append(message)
        else:
            removed.discard(message.id)
            merged[place] = message
    return [m for m in merged if m.id not in removed] if removed else merged


def _identified(message: Message) -> Message:
    return message if message.id is not None else attrs.evolve(message, id=str(uuid.uuid4()))


def channels(declared: Any) -> dict[str, Channel]:
    """The channels of a TypedDict, attrs class, dataclass or pydantic model.

    Raises TypeError when `declared` is none of them, NameError when an annotation can't be
    evaluated.
    """
    hints = typing.get_type_hints(declared, include_extras=True)
    defaults = dict(_defaults(declared))
    return {name: _channel(name, hints[name], defaults.get(name)) for name in keys(declared)}


def keys(declared: Any) -> tuple[str, ...]:
    """The names of the fields of a declared type. Raises TypeError for other types."""
    if typing.is_typeddict(declared):
        return tuple(typing.get_type_hints(declared))
    if attrs.has(declared):
        return tuple(a.name for a in attrs.fields(declared))
    if dataclasses.is_dataclass(declared):
        return tuple(f.name for f in dataclasses.fields(declared))
    if is_pydantic(declared):
        return tuple(declared.model_fields)
    raise TypeError(
        f"{declared!r} is no type of state: use a TypedDict, an attrs class, a dataclass or a "
        "pydantic model"
    )


def loader(declared: Any, known: Mapping[str, Channel]) -> Load:
    """What turns channel values into the object that nodes see.

    Fields without a value take their default, else what their reducer starts from, else None.
    """
    revivers = {n: c.revive for n, c in known.items() if c.revive is not None}

    def revived(values: dict[str, Any]) -> dict[str, Any]:
        return values | {n: revivers[n](values[n]) for n in revivers.keys() & values.keys()}

    if typing.is_typeddict(declared):
        return revived
    if is_pydantic(declared):
        return lambda values: declared.model_validate(revived(values))
    required = dict.fromkeys(known.keys() - dict(_defaults(declared)).keys())
    starts = {n: known[n].empty for n in required}
    aliases = {a.name: a.alias or a.name for a in getattr(declared, "__attrs_attrs__", ())}

    def build(values: dict[str, Any]) -> Any:
        missing = {n: start() if start else None for n, start in starts.items() if n not in values}
        return declared(**{aliases.get(n, n): v for n, v in (missing | revived(values)).items()})

    return build


def load_plain(values: dict[str, Any]) -> dict[str, Any]:
    """The state of a graph that declares none: a dict, its `messages` as message objects."""
    if MESSAGES in values:
        return values | {MESSAGES: coerce.messages(values[MESSAGES])}
    return values


def as_dict(state: Any) -> dict[str, Any]:
    """The fields of a state object, one level deep."""
    if isinstance(state, Mapping):
        return dict(state)
    return {name: getattr(state, name) for name in keys(type(state))}


def appended(
    channels: Mapping[str, Channel] | None, current: Any, given: Any, new: list[Message]
) -> tuple[list[Message], list[Message]]:
    """What `messages` are after `given`, and the update of them that adds `new` as well.

    `given` is an update or None. Where no reducer adds, updates are the whole.
    """
    current = current or []
    if channels is not None and MESSAGES in channels and channels[MESSAGES].reducer is None:
        whole = coerce.messages(current if given is None else given)
        return whole, whole + new
    if given is None:
        return coerce.messages(current), new
    return add_messages(current, given), coerce.messages(given) + new


def private_copy(value: Any) -> Any:
    """A copy whose changes nobody else sees; messages are values and shared."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        # A long history is all messages: one C-speed pass instead of a call for each.
        plain = _ATOMS.issuperset(map(type, value))
        return value.copy() if plain else [private_copy(item) for item in value]
    if kind is dict:
        return {key: private_copy(item) for key, item in value.items()}
    return copy.deepcopy(value)


def changes(before: Mapping[str, Any], after: Any) -> dict[str, Any]:
    """The keys of `after` that `before` lacks or has otherwise."""
    missing = object()
    return {n: v for n, v in as_dict(after).items() if before.get(n, missing) != v}


def is_class(declared: Any) -> bool:
    """Whether states are its instances, and not dicts."""
    return declared is not None and not typing.is_typeddict(declared)


def is_pydantic(declared: Any) -> bool:
    """Whether it is a pydantic model; asks only if somebody has imported pydantic."""
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None
        and isinstance(declared, type)
        and issubclass(declared, pydantic.BaseModel)
    )


def unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The bare type of an annotation and its `Annotated` metadata."""
    metadata: tuple[Any, ...] = ()
    while (origin := typing.get_origin(annotation)) in _WRAPPERS:
        if origin is Annotated:
            metadata += annotation.__metadata__
            annotation = annotation.__origin__
        else:
            (annotation,) = typing.get_args(annotation)
    return annotation, metadata


def reviver(annotation: Any) -> Revive | None:
    """What restores values of this type from their JSON; None where JSON is the value."""
    annotation, _ = unwrap(annotation)
    found = set(leaves(annotation))
    if any(isinstance(leaf, type) and issubclass(leaf, Message) for leaf in found):
        many = typing.get_origin(annotation) in (list, collections.abc.Sequence)
        return coerce.messages if many else coerce.message
    if any(is_pydantic(leaf) for leaf in found):
        adapter = sys.modules["pydantic"].TypeAdapter(annotation)
        validated: Revive = adapter.validate_python
        return validated
    if any(_has_shape(leaf) for leaf in found):
        return lambda value: msgspec.convert(msgspec.to_builtins(value), annotation)
    return None


def _channel(name: str, annotation: Any, default: Callable[[], Any] | None) -> Channel:
    bare, metadata = unwrap(annotation)
    reducer: Reducer | None = next((m for m in reversed(metadata) if callable(m)), None)
    if reducer is None:
        return Channel(name, bare, revive=reviver(bare))
    return Channel(name, bare, reducer, default or _empty(bare, reducer), reviver(bare))


def _empty(bare: Any, reducer: Reducer) -> Callable[[], Any] | None:
    if reducer is add_messages:
        return list
    origin = typing.get_origin(bare) or bare
    return _STARTS.get(origin)


def _defaults(declared: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    if attrs.has(declared):
        for field in attrs.fields(declared):
            if field.default is not attrs.NOTHING:
                made = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
                yield field.name, field.default.factory if made else _always(field.default)
    elif dataclasses.is_dataclass(declared):
        yield from _dataclass_defaults(declared)
    elif is_pydantic(declared):
        for name, info in declared.model_fields.items():
            if not info.is_required():
                yield name, partial(info.get_default, call_default_factory=True)


def _dataclass_defaults(declared: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    for field in dataclasses.fields(declared):
        if field.default_factory is not dataclasses.MISSING:
            yield field.name, field.default_factory
        elif field.default is not dataclasses.MISSING:
            yield field.name, _always(field.default)


def _always(value: Any) -> Callable[[], Any]:
    return lambda: copy.deepcopy(value)


def leaves(annotation: Any) -> Iterator[Any]:
    """Every class that an annotation is made of, `list[X]` being `list` and `X`."""
    annotation, _ = unwrap(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return
    yield origin or annotation
    for argument in typing.get_args(annotation):
        yield from leaves(argument)


def _has_shape(leaf: Any) -> bool:
    if not isinstance(leaf, type):
        return False
    if leaf in _RESTORED or attrs.has(leaf) or dataclasses.is_dataclass(leaf):
        return True
    return issubclass(leaf, enum.Enum | msgspec.Struct)
