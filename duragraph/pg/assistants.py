"""Assistants and their versions; the graphs that workers registered."""

from typing import Any, Literal, get_args

import attrs
import msgspec

from duragraph.models import Assistant, AssistantVersion, GraphSchema, Json, SortOrder
from duragraph.pg import Connection, Page, columns, rows
from duragraph.protocol import HeaderPatterns

COLUMNS = columns(Assistant)

SortBy = Literal["assistant_id", "created_at", "updated_at", "name", "graph_id"]

RESOLVE = """
select a.assistant_id, a.revision, a.graph_id, a.config, a.context, a.metadata,
    coalesce(g.queue, 'default') as queue, g.headers
from assistant a
left join lateral (select queue, headers from graph g where g.organization_id = a.organization_id
    and g.graph_id = a.graph_id order by registered_at desc limit 1) g on true
where a.organization_id = $1 and a.assistant_id = $2
"""


@attrs.frozen
class Resolved:
    """An assistant as runs are made from it. `revision` guards it against changes meanwhile."""

    assistant_id: str
    revision: int
    graph_id: str
    config: dict[str, Any]
    context: dict[str, Any]
    metadata: dict[str, Any]
    queue: str
    headers: HeaderPatterns | None = None
    """Which headers of a request its runs are told."""


async def resolve(conn: Connection, organization_id: str, assistant_id: str) -> Resolved | None:
    record = await conn.fetchrow(RESOLVE, organization_id, assistant_id)
    if record is None:
        return None
    row = dict(record)
    for name in ("config", "context", "metadata"):
        row[name] = msgspec.json.decode(row[name])
    if row["headers"] is not None:
        row["headers"] = msgspec.json.decode(row["headers"], type=HeaderPatterns)
    return Resolved(**row)


GRAPHS = "select distinct graph_id from graph where organization_id = $1 order by graph_id"


async def graphs(conn: Connection, organization_id: str) -> list[str]:
    """The ids of all graphs that any worker ever registered."""
    return [r["graph_id"] for r in await conn.fetch(GRAPHS, organization_id)]


@attrs.frozen
class Fields:
    """What clients set. In an update None keeps what is there."""

    graph_id: str | None
    name: str | None
    description: str | None
    config: bytes | None
    context: bytes | None
    metadata: bytes


@attrs.frozen
class Filter:
    """Metadata that is contained, the graph, a part of the name in any case."""

    metadata: bytes
    graph_id: str | None
    name: str | None


_VERSION = """
    insert into assistant_version (organization_id, assistant_id, version, graph_id, name,
        description, config, context, metadata)
    select organization_id, assistant_id, version, graph_id, name, description, config, context,
        metadata from a
"""

CREATE = f"""
with a as (
    insert into assistant (organization_id, assistant_id, graph_id, name, description, config,
        context, metadata)
    values ($1, $2, $3, coalesce($4, 'Untitled'), $5, $6, $7, $8)
    on conflict do nothing returning *
), v as ({_VERSION})
select {COLUMNS} from a
"""


async def create(
    conn: Connection, organization_id: str, assistant_id: str, fields: Fields
) -> Assistant | None:
    """The assistant with its first version; None if the id is taken."""
    record = await conn.fetchrow(CREATE, organization_id, assistant_id, *attrs.astuple(fields))
    return None if record is None else Assistant(*record)


GET = f"select {COLUMNS} from assistant where organization_id = $1 and assistant_id = $2"


async def get(conn: Connection, organization_id: str, assistant_id: str) -> Assistant | None:
    record = await conn.fetchrow(GET, organization_id, assistant_id)
    return None if record is None else Assistant(*record)


_MATCHING = """
organization_id = $1 and metadata @> $2 and ($3::text is null or graph_id = $3)
    and ($4::text is null or strpos(lower(name), lower($4)) > 0)
"""

# A column can't be a parameter, so there is one statement for each way to sort; names sort as
# people read them.
SEARCH = {
    (column, order): f"""
select {COLUMNS} from assistant where {_MATCHING}
order by {"lower(name)" if column == "name" else column} {order}, assistant_id limit $5 offset $6
"""
    for column in get_args(SortBy)
    for order in get_args(SortOrder)
}


async def search(
    conn: Connection, organization_id: str, filter: Filter, page: Page[SortBy]
) -> list[Assistant]:
    statement, wanted = SEARCH[page.sort_by, page.sort_order], attrs.astuple(filter)
    records = await conn.fetch(statement, organization_id, *wanted, page.limit, page.offset)
    return [Assistant(*r) for r in records]


COUNT = f"select count(*) from assistant where {_MATCHING}"


async def count(conn: Connection, organization_id: str, filter: Filter) -> int:
    found: int = await conn.fetchval(COUNT, organization_id, *attrs.astuple(filter))
    return found


LOCK = "select from assistant where organization_id = $1 and assistant_id = $2 for update"

UPDATE = f"""
with a as (
    update assistant set
        graph_id = coalesce($3, graph_id),
        name = coalesce($4, name),
        description = coalesce($5, description),
        config = coalesce($6, config),
        context = coalesce($7, context),
        metadata = metadata || $8,
        version = 1 + (select max(version) from assistant_version v
            where v.organization_id = $1 and v.assistant_id = $2),
        revision = revision + 1,
        updated_at = clock_timestamp()
    where organization_id = $1 and assistant_id = $2
    returning *
), v as ({_VERSION})
select {COLUMNS} from a
"""


async def update(
    conn: Connection, organization_id: str, assistant_id: str, fields: Fields
) -> Assistant | None:
    """A new version; metadata is merged. None if there is no such assistant."""
    async with conn.transaction():
        # The next version's number must be read after the lock is held.
        await conn.execute(LOCK, organization_id, assistant_id)
        record = await conn.fetchrow(UPDATE, organization_id, assistant_id, *attrs.astuple(fields))
    return None if record is None else Assistant(*record)


VERSIONS = f"""
select {columns(AssistantVersion)} from assistant_version
where organization_id = $1 and assistant_id = $2 and metadata @> $3
order by version desc limit $4 offset $5
"""


async def versions(
    conn: Connection,
    organization_id: str,
    assistant_id: str,
    *,
    metadata: bytes,
    limit: int,
    offset: int,
) -> list[AssistantVersion]:
    """Those whose metadata contains `metadata`, newest first."""
    records = await conn.fetch(VERSIONS, organization_id, assistant_id, metadata, limit, offset)
    return [AssistantVersion(*r) for r in records]


SET_LATEST = f"""
update assistant a set graph_id = v.graph_id, name = v.name, description = v.description,
    config = v.config, context = v.context, metadata = v.metadata, version = v.version,
    revision = a.revision + 1, updated_at = clock_timestamp()
from assistant_version v
where v.organization_id = $1 and v.assistant_id = $2 and v.version = $3
    and a.organization_id = $1 and a.assistant_id = $2
returning {columns(Assistant, "a")}
"""


async def set_latest(
    conn: Connection, organization_id: str, assistant_id: str, version: int
) -> Assistant | None:
    """Bring back all that `version` held; None if there is none. Later versions stay."""
    record = await conn.fetchrow(SET_LATEST, organization_id, assistant_id, version)
    return None if record is None else Assistant(*record)


OPEN_RUNS = """
select thread_id, array_agg(run_id) as run_ids from run
where organization_id = $1 and assistant_id = $2 and status in ('pending', 'running')
group by thread_id
"""


async def open_runs(
    conn: Connection, organization_id: str, assistant_id: str
) -> dict[str, list[str]]:
    """Its unfinished runs by thread."""
    records = await conn.fetch(OPEN_RUNS, organization_id, assistant_id)
    return {r["thread_id"]: r["run_ids"] for r in records}


DELETE = "delete from assistant where organization_id = $1 and assistant_id = $2"


async def delete(conn: Connection, organization_id: str, assistant_id: str) -> bool:
    """Erase it and its versions."""
    return rows(await conn.execute(DELETE, organization_id, assistant_id)) > 0


_GRAPH_OF = """
from assistant a join graph g using (organization_id, graph_id)
where a.organization_id = $1 and a.assistant_id = $2
order by g.registered_at desc limit 1
"""

SCHEMAS = f"""
select g.graph_id, g.input_schema, g.output_schema, g.state_schema, g.config_schema,
    g.context_schema {_GRAPH_OF}
"""


async def schemas(conn: Connection, organization_id: str, assistant_id: str) -> GraphSchema | None:
    """Those of the newest version of its graph."""
    record = await conn.fetchrow(SCHEMAS, organization_id, assistant_id)
    return None if record is None else GraphSchema(*record)


# There is a drawing for each depth to which subgraphs can be unfolded; the last is the deepest.
DRAWING = f"""
select coalesce(case when $3 > 0 and json_typeof(g.drawing_xray) = 'array'
    then g.drawing_xray -> (least($3::int, json_array_length(g.drawing_xray)) - 1) end, g.drawing)
{_GRAPH_OF}
"""


async def drawing(
    conn: Connection, organization_id: str, assistant_id: str, *, depth: int
) -> Json | None:
    """`{nodes, edges}`, subgraphs unfolded so deep."""
    drawn: Json | None = await conn.fetchval(DRAWING, organization_id, assistant_id, depth)
    return drawn


# Nested ones are named `outer|inner`, and found only on the way down.
SUBGRAPHS = f"""
select (
    select coalesce(json_object_agg(s.key, s.value), '{{}}') from json_each(g.subgraphs) s
    where ($3::text is null or s.key = $3) and ($4 or strpos(s.key, '|') = 0)
) {_GRAPH_OF}
"""


async def subgraphs(
    conn: Connection,
    organization_id: str,
    assistant_id: str,
    *,
    namespace: str | None,
    recurse: bool,
) -> Json | None:
    """`{namespace: schemas}`, of `namespace` alone if one is given."""
    found: Json | None = await conn.fetchval(
        SUBGRAPHS, organization_id, assistant_id, namespace, recurse
    )
    return found
