"""A knowledge graph in PostgreSQL with Apache AGE, through asyncpg.

The extension and the graph are made here where they aren't yet, and for each label an index.
Ids have no index in Cypher that AGE speaks, so what is around a node is asked of its tables.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from duragraph_worker.extras import needs
from duragraph_worker.integrations import agtype
from duragraph_worker.integrations.postgres import LOST, UNDONE, pools
from duragraph_worker.knowledge.cypher import CypherGraph, Rows
from duragraph_worker.knowledge.graph import (
    Direction,
    Edge,
    Entity,
    KnowledgeError,
    Node,
    Relation,
    Row,
    named,
)
from duragraph_worker.serialize import encode

with needs("age"):
    from duragraph_worker.retrying import VendorRetries

SHORTEST_NAME = 3


class ApacheAGE(CypherGraph):
    """A `KnowledgeGraph` in the graph `name` of the database at `url`.

    Decimals of the graph are `Decimal`. `pool_options` go to `asyncpg.create_pool`. Raises
    `asyncpg.PostgresError`, and KnowledgeError for `RETURN *`.
    """

    identity = "toString(id({}))"

    def __init__(self, name: str, *, url: str, max_retries: int = 2, **pool_options: Any) -> None:
        self.name = named("graph", name)
        if len(name) < SHORTEST_NAME:
            raise KnowledgeError(f"Apache AGE wants graphs of {SHORTEST_NAME} letters: {name!r}")
        self._pools = pools(url, self._init, pool_options)
        self._again = VendorRetries(max_retries, lost=LOST)
        self._once = VendorRetries(max_retries, lost=UNDONE)
        self._labels: set[str] = set()

    async def _ask(self, cypher: str, parameters: Mapping[str, Any], *, again: bool) -> list[Row]:
        async def ask() -> list[Row]:
            pool = await self._pools.here()
            async with pool.acquire() as connection, connection.transaction():
                return await self._say(connection, cypher, parameters)

        return await (self._again if again else self._once).call(ask)

    async def _say(self, connection: Any, cypher: str, parameters: Mapping[str, Any]) -> list[Row]:
        statement = cypher.rstrip().rstrip(";")
        names = agtype.columns(statement)
        places = ", ".join(f"c{i} agtype" for i in range(max(len(names), 1)))
        found = await connection.fetch(
            f"select * from cypher('{self.name}', {_dollars(statement)}, $1) as ({places})",
            parameters,
        )
        return [dict(zip(names, row.values(), strict=True)) for row in found] if names else []

    async def _merge(self, given: str, pattern: str, then: str, rows: Rows) -> list[Row]:
        """Without MERGE: after UNWIND, AGE's makes nodes with no key and edges with no ends."""

        async def merge(connection: Any) -> list[Row]:
            match, create = (f"{given} {verb} {pattern} {then}" for verb in ("MATCH", "CREATE"))
            found = await self._say(connection, match, {"rows": rows})
            known = {row["i"] for row in found}
            new = [row for row in rows if row["i"] not in known]
            return found + (await self._say(connection, create, {"rows": new}) if new else [])

        return await self._one_by_one(merge)

    async def _prepare(self, fact: Entity | Relation) -> None:
        """Its table, with indexes: nodes are found by properties, edges by their ends."""
        node = isinstance(fact, Entity)
        label = fact.label if isinstance(fact, Entity) else fact.type
        if label in self._labels:
            return
        maker, indexes = (
            ("create_vlabel", ["gin (properties)"])
            if node
            else ("create_elabel", ["btree (start_id)", "btree (end_id)"])
        )

        async def prepare(connection: Any) -> list[Row]:
            await connection.execute(
                f"""
                select {maker}('{self.name}', '{label}') where not exists (
                    select from ag_label join ag_graph on ag_label.graph = ag_graph.graphid
                    where ag_label.name = '{label}' and ag_graph.name = '{self.name}'
                )
                """
            )
            for number, columns in enumerate(indexes):
                await connection.execute(
                    f'create index if not exists "i{number}_{label}" '
                    f'on "{self.name}"."{label}" using {columns}'
                )
            return []

        await self._one_by_one(prepare)
        self._labels.add(label)

    async def _step(
        self, ids: Sequence[str], types: Sequence[str], way: Direction
    ) -> Iterable[tuple[Edge, Node]]:
        here, there = ("start_id", "end_id") if way == "out" else ("end_id", "start_id")

        async def ask() -> list[Any]:
            pool = await self._pools.here()
            found: list[Any] = await pool.fetch(
                f"""
                select e.id::text, type.name::text as type,
                    e.start_id::text as start, e.end_id::text as end, e.properties,
                    n.id::text as node, label.name::text as label, n.properties as known
                from unnest($1::text[]) as asked
                join "{self.name}"._ag_label_edge e on e.{here} = asked::agtype::graphid
                join ag_label type on type.relation = e.tableoid
                join "{self.name}"._ag_label_vertex n on n.id = e.{there}
                join ag_label label on label.relation = n.tableoid
                where ($2::text[] = '{{}}' or type.name = any($2::text[]))
                """,
                ids,
                types,
            )
            return found

        return [
            (
                Edge(row["id"], row["type"], row["start"], row["end"], row["properties"]),
                Node(row["node"], agtype.labels(row["label"]), row["known"]),
            )
            for row in await self._again.call(ask)
        ]

    async def _one_by_one(self, write: Callable[[Any], Awaitable[list[Row]]]) -> list[Row]:
        """In a transaction of its own: nothing else would keep two from making the same."""

        async def locked() -> list[Row]:
            pool = await self._pools.here()
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(_LOCK, self.name)
                return await write(connection)

        return await self._again.call(locked)

    async def _init(self, connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(_LOCK, "")
            await connection.execute("create extension if not exists age")
        # Who may not load it has a server that has done so.
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute("load 'age'")
        await connection.execute('set search_path = ag_catalog, "$user", public')
        await connection.set_type_codec(
            "agtype", schema="ag_catalog", encoder=_text, decoder=agtype.parse
        )
        async with connection.transaction():
            await connection.execute(_LOCK, self.name)
            await connection.execute(
                f"""
                select create_graph('{self.name}')
                where not exists (select from ag_graph where name = '{self.name}')
                """
            )


_LOCK = "select pg_advisory_xact_lock(hashtext('duragraph.knowledge'), hashtext($1))"


def _text(parameters: Any) -> str:
    return encode(parameters).decode()


def _dollars(statement: str) -> str:
    """The statement as a constant of SQL, in quotes that it doesn't have in it."""
    number = 0
    while (quote := f"$cypher{number}$") in statement:
        number += 1
    return f"{quote} {statement}\n{quote}"
