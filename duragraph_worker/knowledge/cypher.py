"""What all stores that speak Cypher have in common: checks, batches, statements.

A vendor's store adds how a statement is asked, and what its dialect lacks. Names in statements
are checked or quoted, values are always parameters.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs

from duragraph_worker.batches import batches
from duragraph_worker.knowledge.graph import (
    Direction,
    Edge,
    Entity,
    KeyValue,
    MissingNodeError,
    Neighbours,
    Node,
    Properties,
    Relation,
    Row,
    named,
)

T = TypeVar("T")
Fact = TypeVar("Fact", Entity, Relation)
Item: TypeAlias = Entity | Node | Edge
Rows: TypeAlias = Sequence[Mapping[str, Any]]

BATCH = 500
"""Nodes or edges written by one statement."""


class CypherGraph(ABC):
    """A `KnowledgeGraph`, but for how its server is spoken with."""

    identity = "id({})"
    """The id of a node or edge, as statements ask for it: a text."""

    async def query(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """See `KnowledgeGraph`. Raises what the vendor's client does."""
        return await self._ask(cypher, parameters or {}, again=False)

    async def upsert_node(
        self, label: str, key: Mapping[str, KeyValue], properties: Properties | None = None
    ) -> Node:
        """See `KnowledgeGraph`. Raises KnowledgeError."""
        node, *_ = await self._write_nodes([Entity(label, key, properties or {})])
        return node

    async def upsert_edge(
        self,
        start: Entity | Node,
        type: str,
        end: Entity | Node,
        properties: Properties | None = None,
    ) -> Edge:
        """See `KnowledgeGraph`. Raises KnowledgeError, MissingNodeError."""
        relation = Relation(start, type, end, properties or {})
        await self._write_nodes(_entities([relation]))
        edge, *_ = await self._write_edges([relation])
        return edge

    async def upsert(self, facts: Iterable[Entity | Relation]) -> None:
        """See `KnowledgeGraph`. Raises MissingNodeError."""
        given = list(facts)
        await self._write_nodes(_entities(given))
        await self._write_edges([fact for fact in given if isinstance(fact, Relation)])

    async def neighbours(
        self,
        of: Entity | Node | Iterable[Entity | Node],
        *,
        depth: int = 1,
        types: Iterable[str] | str = (),
        direction: Direction = "both",
        limit: int = 100,
    ) -> Neighbours:
        """See `KnowledgeGraph`. Asks once for each step and direction."""
        if depth < 1 or limit < 1:
            raise ValueError(f"depth and limit are at least 1, not {depth} and {limit}")
        among = [named("type", each) for each in ([types] if isinstance(types, str) else types)]
        ways: tuple[Direction, ...] = ("out", "in") if direction == "both" else (direction,)
        starts = await self._ids([of] if isinstance(of, Entity | Node) else list(of))
        nodes: dict[str, Node] = {}
        edges: dict[str, Edge] = {}
        outermost = starts
        for _ in range(depth):
            if not outermost or len(nodes) == limit:
                break
            before = len(nodes)
            for way in ways:
                for edge, node in await self._step(outermost, among, way):
                    if len(nodes) < limit and node.id not in starts:
                        nodes.setdefault(node.id, node)
                    if node.id in nodes or node.id in starts:
                        edges[edge.id] = edge
            outermost = list(nodes)[before:]
        return Neighbours(list(nodes.values()), list(edges.values()))

    async def delete(self, items: Iterable[Item] | Item) -> None:
        """See `KnowledgeGraph`. What isn't there is no error."""
        given = [items] if isinstance(items, Entity | Node | Edge) else list(items)
        for found, group in _grouped(given, lambda item: self._find("n", "row", item)):
            verb = "DELETE n" if isinstance(group[0], Edge) else "DETACH DELETE n"
            for batch in batches(group, BATCH):
                rows = [_sought(item) for item in batch]
                await self._ask(f"UNWIND $rows AS row {found} {verb}", {"rows": rows}, again=True)

    @abstractmethod
    async def _ask(self, cypher: str, parameters: Mapping[str, Any], *, again: bool) -> list[Row]:
        """What a statement returns. With `again` asking it twice does no harm."""

    async def _prepare(self, fact: Entity | Relation) -> None:  # noqa: B027 - few have to
        """Make what keeps facts like this one apart, and finds them."""

    async def _merge(self, given: str, pattern: str, then: str, rows: Rows) -> list[Row]:
        """Make what each row asks for if it isn't there, then do what is to be done with it."""
        return await self._ask(f"{given} MERGE {pattern} {then}", {"rows": rows}, again=True)

    async def _step(
        self, ids: Sequence[str], types: Sequence[str], way: Direction
    ) -> Iterable[tuple[Edge, Node]]:
        """The edges that lead from some nodes, or to them, and the nodes at their other ends."""
        wanted = ":" + "|".join(map(quoted, types)) if types else ""
        edge = f"-[e{wanted}]->" if way == "out" else f"<-[e{wanted}]-"
        found = await self._ask(
            f"MATCH (a){edge}(b) WHERE {self.identity.format('a')} IN $ids RETURN e, b",
            {"ids": ids},
            again=True,
        )
        return [(row["e"], row["b"]) for row in found]

    async def _write_nodes(self, entities: Iterable[Entity]) -> list[Node]:
        written: list[Node] = []
        for (pattern, then), group in _grouped(_merged(entities), _node):
            await self._prepare(group[0])
            for batch in batches(group, BATCH):
                rows = [
                    {"i": i, "key": each.key, "known": each.properties}
                    for i, each in enumerate(batch)
                ]
                found = await self._merge("UNWIND $rows AS row", pattern, then, rows)
                written += [row["item"] for row in found]
        return written

    async def _write_edges(self, relations: Iterable[Relation]) -> list[Edge]:
        """Raises MissingNodeError."""
        written: list[Edge] = []
        for (ends, (pattern, then)), group in _grouped(
            _merged(relations), lambda each: (self._ends(each), _edge(each))
        ):
            await self._prepare(group[0])
            for batch in batches(group, BATCH):
                rows = [
                    {"i": i, "a": _sought(r.start), "b": _sought(r.end), "known": r.properties}
                    for i, r in enumerate(batch)
                ]
                found = await self._merge(f"UNWIND $rows AS row {ends}", pattern, then, rows)
                for lost in set(range(len(batch))) - {row["i"] for row in found}:
                    raise MissingNodeError(f"there is no such end: {batch[lost]!r:.300}")
                written += [row["item"] for row in found]
        return written

    async def _ids(self, items: Sequence[Entity | Node]) -> list[str]:
        """The ids of those that there are."""
        ids = [item.id for item in items if isinstance(item, Node)]
        sought = [item for item in items if isinstance(item, Entity)]
        for found, group in _grouped(sought, lambda item: self._find("n", "row", item)):
            statement = f"UNWIND $rows AS row {found} RETURN n"
            rows = [_sought(item) for item in group]
            ids += [row["n"].id for row in await self._ask(statement, {"rows": rows}, again=True)]
        return list(dict.fromkeys(ids))

    def _find(self, variable: str, row: str, item: Item) -> str:
        """The clause that finds what an item stands for."""
        if isinstance(item, Entity):
            return f"MATCH {_pattern(variable, item, row)}"
        place = f"()-[{variable}:{quoted(item.type)}]->()" if isinstance(item, Edge) else None
        return f"MATCH {place or f'({variable})'} WHERE {self.identity.format(variable)} = {row}.id"

    def _ends(self, relation: Relation) -> str:
        start, end = relation.start, relation.end
        return f"{self._find('a', 'row.a', start)} {self._find('b', 'row.b', end)}"


def quoted(name: str) -> str:
    """A name as it stands in a statement."""
    return "`" + name.replace("`", "``") + "`"


def _node(entity: Entity) -> tuple[str, str]:
    """Its pattern, and what is done with it."""
    return _pattern("item", entity, "row.key"), _then(entity)


def _edge(relation: Relation) -> tuple[str, str]:
    return f"(a)-[item:{quoted(relation.type)}]->(b)", _then(relation)


def _pattern(variable: str, entity: Entity, row: str) -> str:
    key = ", ".join(f"{quoted(name)}: {row}.{quoted(name)}" for name in sorted(entity.key))
    return f"({variable}:{quoted(entity.label)} {{{key}}})"


def _then(fact: Entity | Relation) -> str:
    """One property after the other: Apache AGE takes no map that isn't written out."""
    names = map(quoted, sorted(fact.properties))
    pairs = ", ".join(f"item.{name} = row.known.{name}" for name in names)
    return f"{'SET ' if pairs else ''}{pairs} RETURN row.i AS i, item"


def _sought(item: Item) -> Mapping[str, Any]:
    """The row that `_find` looks for."""
    return item.key if isinstance(item, Entity) else {"id": item.id}


def _entities(facts: Iterable[Entity | Relation]) -> list[Entity]:
    """Those that are to be written, ends of edges too."""
    ends = ((f.start, f.end) if isinstance(f, Relation) else (f,) for f in facts)
    return [end for pair in ends for end in pair if isinstance(end, Entity)]


def _merged(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once: what is said of it later comes over what was said before."""
    known: dict[Any, Fact] = {}
    for fact in facts:
        identity = _identity(fact)
        before = known[identity].properties if identity in known else {}
        known[identity] = attrs.evolve(fact, properties={**before, **fact.properties})
    return list(known.values())


def _identity(fact: Entity | Node | Relation) -> Any:
    """What tells it from others; True is no 1."""
    match fact:
        case Entity(label, key):
            return label, frozenset((name, isinstance(of, bool), of) for name, of in key.items())
        case Node(id):
            return id
        case Relation(start, kind, end):
            return _identity(start), kind, _identity(end)


Shape = TypeVar("Shape")


def _grouped(
    items: Iterable[T], shape: Callable[[T], Shape]
) -> Iterable[tuple[Shape, Sequence[T]]]:
    """Those of one shape together: one statement does for all of them."""
    groups: defaultdict[Shape, list[T]] = defaultdict(list)
    for item in items:
        groups[shape(item)].append(item)
    return groups.items()
