"""What a knowledge graph does, and what goes in and comes out. Plain data, no vendor."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import attrs

KeyValue: TypeAlias = str | int | float | bool
Properties: TypeAlias = Mapping[str, Any]
"""Of names: texts, numbers, booleans, or lists of one kind of these. None removes a property."""
Row: TypeAlias = dict[str, Any]
Direction = Literal["out", "in", "both"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_INTEGERS = range(-(2**63), 2**63)


class KnowledgeError(ValueError):
    """A label, type, name or value that not every store can hold."""


class MissingNodeError(LookupError):
    """An edge's end that is not in the graph."""


@attrs.frozen
class Node:
    """A node as a store has it. `id` is the store's own."""

    id: str
    labels: tuple[str, ...]
    properties: Properties


@attrs.frozen
class Edge:
    """An edge as a store has it; `start` and `end` are ids of nodes."""

    id: str
    type: str
    start: str
    end: str
    properties: Properties


@attrs.frozen
class Path:
    """A way through the graph: an edge between each node and the next."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@attrs.frozen
class Neighbours:
    """Nodes around others, the nearest first, and the edges that lead to them."""

    nodes: list[Node]
    edges: list[Edge]


@attrs.frozen
class Entity:
    """A node as it is written: what tells it from all others of its label, and what else is known.

    Raises KnowledgeError for what not every store can hold.
    """

    label: str
    key: Mapping[str, KeyValue]
    properties: Properties = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        named("label", self.label)
        if not self.key:
            raise KnowledgeError(f"the key of a {self.label} is empty: no node can be told by it")
        for name, value in self.key.items():
            if isinstance(value, list | tuple) or value is None:
                raise KnowledgeError(
                    f"{name!r} is of a {self.label}'s key and can't be {value!r}: give a text, a "
                    "number or a boolean"
                )
        _checked(f"a {self.label}", self.key)
        _checked(f"a {self.label}", self.properties)
        if twice := sorted(self.key.keys() & self.properties.keys()):
            raise KnowledgeError(f"{', '.join(twice)} of a {self.label}: in its key already")


@attrs.frozen
class Relation:
    """An edge as it is written. There is one of a type from one node to another.

    An end that is an `Entity` is written with it. Raises KnowledgeError as `Entity` does.
    """

    start: Entity | Node
    type: str
    end: Entity | Node
    properties: Properties = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        named("type", self.type)
        _checked(f"an edge {self.type}", self.properties)


class KnowledgeGraph(Protocol):
    """One graph of nodes and edges. It serves any event loop, and many calls at once."""

    async def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """What a statement returns, by the names it returns it under.

        Nodes, edges and paths in it are `Node`, `Edge` and `Path`; dates and times are ISO texts.
        """

    async def upsert_node(
        self, label: str, key: Mapping[str, KeyValue], properties: Properties | None = None
    ) -> Node:
        """Write the node of this label and key; other properties that it has stay."""

    async def upsert_edge(
        self,
        start: Entity | Node,
        type: str,
        end: Entity | Node,
        properties: Properties | None = None,
    ) -> Edge:
        """Write the edge of this type between two nodes. Raises MissingNodeError."""

    async def upsert(self, facts: Iterable[Entity | Relation]) -> None:
        """Write many at once, nodes first. Raises MissingNodeError."""

    async def neighbours(
        self,
        of: Entity | Node | Iterable[Entity | Node],
        *,
        depth: int = 1,
        types: Iterable[str] | str = (),
        direction: Direction = "both",
        limit: int = 100,
    ) -> Neighbours:
        """At most `limit` nodes, at most `depth` edges away, over edges of some types or of all.

        None of the nodes it begins at is among them; those that there aren't have no neighbours.
        """

    async def delete(self, items: Iterable[Entity | Node | Edge] | Entity | Node | Edge) -> None:
        """Remove nodes, with the edges at them, and edges."""


def named(what: str, name: str) -> str:
    """The name, if every store takes it. Raises KnowledgeError."""
    if not _NAME.fullmatch(name):
        raise KnowledgeError(
            f"the {what} {name!r} is no name: begin with a letter, go on with letters, digits "
            "and _, at most 63 in all"
        )
    return name


def _checked(whose: str, properties: Properties) -> None:
    for name, value in properties.items():
        named("property", name)
        values = value if isinstance(value, list | tuple) else () if value is None else (value,)
        if len({_kind(name, whose, each) for each in values}) > 1:
            raise KnowledgeError(f"{name!r} of {whose} is a list of several kinds: {value!r:.100}")


def _kind(name: str, whose: str, value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() if value in _INTEGERS:
            return "integer"
        case float() if math.isfinite(value):
            return "float"
        case str() if "\0" not in value:
            return "text"
    raise KnowledgeError(
        f"{name!r} of {whose} is {value!r:.100}: no text, number of 64 bits, boolean or list of one"
    )
