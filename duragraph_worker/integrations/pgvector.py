"""Documents in PostgreSQL with its `vector` extension, through asyncpg: a table a collection.

Tables and their indexes are made here, with the extension where it isn't yet. pgvector 0.8 or
newer: its index goes on looking until enough rows have passed a filter.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from duragraph_worker.extras import needs
from duragraph_worker.integrations.postgres import LOST, pools
from duragraph_worker.vectors.collection import Collection
from duragraph_worker.vectors.filters import Among, Compare, Every, Filter
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector

with needs("pgvector"):
    from duragraph_worker.retrying import VendorRetries

_OPERATORS = {"cosine": "<=>", "dot": "<#>", "euclidean": "<->"}
_CLASSES = {"cosine": "vector_cosine_ops", "dot": "vector_ip_ops", "euclidean": "vector_l2_ops"}
_ORDERS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

MOST_INDEXED = 2000
"""Numbers of a vector that pgvector's index takes; longer ones are all compared."""


class PgVector(Collection):
    """A `VectorStore` in the table `name` of the database at `url`.

    `pool_options` go to `asyncpg.create_pool`. Raises `asyncpg.PostgresError`.
    """

    batch_size = 500

    def __init__(
        self,
        name: str,
        *,
        url: str,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
        max_retries: int = 2,
        **pool_options: Any,
    ) -> None:
        again = VendorRetries(max_retries, lost=LOST)
        super().__init__(name, embeddings=embeddings, metric=metric, retries=again)
        self._pools = pools(url, _prepared, pool_options)
        self._table = _quoted(name)

    async def _find(self) -> int | None:
        pool = await self._pools.here()
        found: int | None = await pool.fetchval(
            """
            select atttypmod from pg_attribute
            where attrelid = to_regclass($1) and attname = 'vector' and not attisdropped
            """,
            self._table,
        )
        return found

    async def _create(self, dimension: int) -> None:
        pool = await self._pools.here()
        async with pool.acquire() as connection, connection.transaction():
            # "if not exists" is no guard against another who makes it at the same time.
            await connection.execute("select pg_advisory_xact_lock(hashtext('duragraph.vectors'))")
            await connection.execute("create extension if not exists vector")
            await connection.execute(
                f"""
                create table if not exists {self._table} (
                    namespace text not null,
                    id text not null,
                    text text not null,
                    metadata jsonb not null,
                    vector vector({dimension}) not null,
                    primary key (namespace, id)
                );
                create index if not exists {_quoted(f"{self.name}_metadata")}
                    on {self._table} using gin (metadata jsonb_path_ops);
                """
            )
            if dimension <= MOST_INDEXED:
                await connection.execute(
                    f"create index if not exists {_quoted(f'{self.name}_vector')} "
                    f"on {self._table} using hnsw (vector {_CLASSES[self.metric]})"
                )

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        pool = await self._pools.here()
        rows = [
            (namespace, item.id, item.text, _json(item.metadata), vector) for item, vector in items
        ]
        # In one order everywhere: writers of the same documents wait for each other in turn.
        await pool.executemany(
            f"""
            insert into {self._table} (namespace, id, text, metadata, vector)
            values ($1, $2, $3, $4::jsonb, $5::real[]::vector)
            on conflict (namespace, id) do update set
                text = excluded.text, metadata = excluded.metadata, vector = excluded.vector
            """,
            sorted(rows, key=lambda row: row[1]),
        )

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        pool = await self._pools.here()
        values: list[Any] = [vector, namespace]
        passing = f" and {_condition(filter, values)}" if filter else ""
        rows = await pool.fetch(
            f"""
            select id, text, metadata, vector {_OPERATORS[self.metric]} $1::real[]::vector as away
            from {self._table} where namespace = $2{passing} order by away limit {int(k)}
            """,
            *values,
        )
        near = 1 if self.metric == "cosine" else 0
        return [
            Match(row["id"], row["text"], msgspec.json.decode(row["metadata"]), near - row["away"])
            for row in rows
        ]

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        pool = await self._pools.here()
        rows = await pool.fetch(
            f"""
            select id, text, metadata, vector::real[] as vector
            from {self._table} where namespace = $1 and id = any($2::text[])
            """,
            namespace,
            ids,
        )
        return [
            Document(
                row["text"],
                metadata=msgspec.json.decode(row["metadata"]),
                id=row["id"],
                vector=row["vector"],
            )
            for row in rows
        ]

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        pool = await self._pools.here()
        await pool.execute(
            f"delete from {self._table} where namespace = $1 and id = any($2::text[])",
            namespace,
            ids,
        )

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        pool = await self._pools.here()
        values: list[Any] = [namespace]
        passing = _condition(filter, values)
        await pool.execute(f"delete from {self._table} where namespace = $1 and {passing}", *values)


def _condition(filter: Filter, values: list[Any]) -> str:
    """The filter in SQL; its values are appended to those of the statement."""

    def given(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    match filter:
        case Compare(key, "$eq", value):
            return f"metadata @> {given(_json({key: value}))}::jsonb"
        case Compare(key, "$ne", value):
            return f"not metadata @> {given(_json({key: value}))}::jsonb"
        case Compare(key, operator, value):
            found = f"metadata -> {given(key)}::text"
            order = f"{found} {_ORDERS[operator]} {given(_json(value))}::jsonb"
            return f"(jsonb_typeof({found}) = 'number' and {order})"
        case Among(key, wanted, negated):
            among = given([_json({key: value}) for value in wanted])
            return f"{'not ' if negated else ''}metadata @> any({among}::jsonb[])"
        case _:
            joined = " and " if isinstance(filter, Every) else " or "
            return f"({joined.join(_condition(part, values) for part in filter.parts)})"


async def _prepared(connection: Any) -> None:
    await connection.execute("set hnsw.iterative_scan = strict_order")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
