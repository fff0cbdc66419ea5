"""The one filter language of all stores: a dict such as `{"year": {"$gte": 2020}, "lang": "en"}`.

It is parsed here once; every store translates the parsed filter into its own.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args

import attrs

Scalar: TypeAlias = str | int | float | bool
Where: TypeAlias = Mapping[str, Any]
Operator = Literal["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]
Kind = Literal["text", "number", "boolean"]

_KNOWN = (*get_args(Operator), "$in", "$nin", "$and", "$or")


class FilterError(ValueError):
    """A filter that can't be read, or that a store can't express."""


@attrs.frozen
class Compare:
    """One key against one value. `$ne` holds where the key is missing; orders are of numbers."""

    key: str
    operator: Operator
    value: Scalar


@attrs.frozen
class Among:
    """A key against values of one kind, at least one. Negated, it holds without the key, too."""

    key: str
    values: tuple[Scalar, ...]
    negated: bool = False


@attrs.frozen
class Every:
    """All of these; there are at least two, except in `ALL`."""

    parts: "tuple[Filter, ...]"


@attrs.frozen
class Some:
    """At least one of these; there are at least two, except in `NOTHING`."""

    parts: "tuple[Filter, ...]"


Filter: TypeAlias = Compare | Among | Every | Some

ALL, NOTHING = Every(()), Some(())
"""Never part of another filter."""


def parse(where: Where | None) -> Filter:
    """The filter that a dict says. Raises FilterError naming what is wrong with it."""
    if where is None:
        return ALL
    if not isinstance(where, Mapping):
        raise FilterError(f"a filter is a dict such as {{'year': {{'$gte': 2020}}}}, not {where!r}")
    return every(_condition(key, wanted) for key, wanted in where.items())


def kind(value: Any) -> Kind:
    """What a value of metadata is. Raises FilterError for what can be none."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    raise FilterError(f"{value!r} is neither a text, a number nor a boolean")


def every(parts: Iterable[Filter]) -> Filter:
    """A filter that holds where all of these do."""
    found = list(_flat(parts, Every))
    if NOTHING in found:
        return NOTHING
    return found[0] if len(found) == 1 else Every(tuple(found))


def some(parts: Iterable[Filter]) -> Filter:
    """A filter that holds where one of these does."""
    found = list(_flat(parts, Some))
    if ALL in found:
        return ALL
    return found[0] if len(found) == 1 else Some(tuple(found))


def holds(filter: Filter, metadata: Mapping[str, Scalar]) -> bool:
    """Whether metadata pass a filter."""
    match filter:
        case Every(parts):
            return all(holds(part, metadata) for part in parts)
        case Some(parts):
            return any(holds(part, metadata) for part in parts)
        case Among(key, values, negated):
            return any(_equal(metadata.get(key), value) for value in values) is not negated
        case Compare(key, comparison, value):
            return _COMPARED[comparison](metadata.get(key), value)


def _condition(key: str, wanted: Any) -> Filter:
    if key in ("$and", "$or"):
        if not isinstance(wanted, list | tuple) or not wanted:
            raise FilterError(f"{key} takes a list of filters, at least one, not {wanted!r}")
        parts = [parse(part) for part in wanted]
        return every(parts) if key == "$and" else some(parts)
    if key.startswith("$"):
        raise FilterError(f"{key} is no operator; known: {', '.join(_KNOWN)}")
    if not isinstance(wanted, Mapping):
        return _compared(key, "$eq", wanted)
    if not wanted:
        raise FilterError(f"the filter of {key!r} is empty: give it a value or an operator")
    return every(_compared(key, name, value) for name, value in wanted.items())


def _compared(key: str, name: str, value: Any) -> Filter:
    if name in ("$in", "$nin"):
        if not isinstance(value, list | tuple | set | frozenset):
            raise FilterError(f"{name} of {key!r} takes a list of values, not {value!r}")
        kinds: dict[Kind, list[Scalar]] = {}
        for each in value:
            kinds.setdefault(_kind(key, each), []).append(each)
        parts = [Among(key, tuple(alike), name == "$nin") for alike in kinds.values()]
        return every(parts) if name == "$nin" else some(parts)
    if name not in get_args(Operator):
        raise FilterError(f"{name!r} of {key!r} is no operator; known: {', '.join(_KNOWN)}")
    if _kind(key, value) != "number" and name not in ("$eq", "$ne"):
        raise FilterError(f"{name} of {key!r} takes a number, not {value!r}")
    return Compare(key, name, value)  # type: ignore[arg-type] # it is one of them


def _kind(key: str, value: Any) -> Kind:
    try:
        return kind(value)
    except FilterError as error:
        raise FilterError(f"the filter of {key!r}: {error}") from None


def _flat(parts: Iterable[Filter], outer: type[Every] | type[Some]) -> Iterator[Filter]:
    for part in parts:
        if isinstance(part, outer):
            yield from part.parts
        else:
            yield part


def _equal(found: Scalar | None, value: Scalar) -> bool:
    return found is not None and found == value and kind(found) == kind(value)


def _ordered(order: Callable[[Any, Any], bool]) -> Callable[[Scalar | None, Scalar], bool]:
    def compare(found: Scalar | None, value: Scalar) -> bool:
        return found is not None and kind(found) == "number" and order(found, value)

    return compare


_COMPARED: dict[Operator, Callable[[Scalar | None, Scalar], bool]] = {
    "$eq": _equal,
    "$ne": lambda found, value: not _equal(found, value),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
}
