"""Workers and the graphs they bring. Leases are columns of `run`."""

from collections.abc import Sequence

import attrs

from duragraph.codec import dumps
from duragraph.ids import system_assistant_id
from duragraph.pg import Connection
from duragraph.protocol import GraphSpec, Register

REGISTER = """
insert into worker (worker_id, organization_id, name, queue, labels, slots, graphs, versions, auth)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

UPSERT_GRAPH = """
insert into graph (organization_id, graph_id, version, queue, description, input_schema,
    output_schema, state_schema, config_schema, context_schema, drawing, drawing_xray, subgraphs,
    headers)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (organization_id, graph_id, version) do update set queue = excluded.queue,
    description = excluded.description, input_schema = excluded.input_schema,
    output_schema = excluded.output_schema, state_schema = excluded.state_schema,
    config_schema = excluded.config_schema, context_schema = excluded.context_schema,
    drawing = excluded.drawing, drawing_xray = excluded.drawing_xray,
    subgraphs = excluded.subgraphs, headers = excluded.headers,
    registered_at = clock_timestamp()
"""

# Planes remember assistants with what their graph's newest registration says of its runs.
NOTE_CHANGE = """
update assistant set revision = revision + 1
where organization_id = $1 and graph_id = $2 and not exists (
    select from (select queue, headers from graph where organization_id = $1 and graph_id = $2
        order by registered_at desc limit 1) g
    where g.queue = $3 and g.headers::text is not distinct from ($4::json)::text)
"""

# It follows its project until a client has changed it.
KEEP_SYSTEM_ASSISTANT = """
with a as (
    insert into assistant (organization_id, assistant_id, graph_id, name, description, config,
        context, metadata)
    values ($1, $2, $3, $4, $5, $6, $7, '{"created_by": "system"}')
    on conflict (organization_id, assistant_id) do update set name = excluded.name,
        description = excluded.description, config = excluded.config, context = excluded.context,
        revision = assistant.revision + 1, updated_at = clock_timestamp()
    where assistant.version = 1
        and (assistant.name, assistant.description, assistant.config, assistant.context)
        is distinct from (excluded.name, excluded.description, excluded.config, excluded.context)
    returning *
)
insert into assistant_version (organization_id, assistant_id, version, graph_id, name,
    description, config, context, metadata)
select organization_id, assistant_id, version, graph_id, name, description, config, context,
    metadata from a
on conflict (organization_id, assistant_id, version) do update set name = excluded.name,
    description = excluded.description, config = excluded.config, context = excluded.context
"""


async def register(
    conn: Connection, organization_id: str, worker_id: str, body: Register, *, labels: bytes
) -> None:
    """The worker, its graphs and their system assistants, in one transaction."""
    async with conn.transaction():
        for spec in sorted(body.graphs, key=lambda g: g.graph_id):
            graph = _graph(body.queue, spec)
            await conn.execute(
                NOTE_CHANGE, organization_id, spec.graph_id, body.queue, _headers(spec)
            )
            await conn.execute(UPSERT_GRAPH, organization_id, *graph)
            await conn.execute(
                KEEP_SYSTEM_ASSISTANT,
                organization_id,
                system_assistant_id(spec.graph_id),
                spec.graph_id,
                spec.name or spec.graph_id,
                spec.description,
                spec.config,
                spec.context,
            )
        await conn.execute(
            REGISTER,
            worker_id,
            organization_id,
            body.name,
            body.queue,
            labels,
            body.slots,
            [g.graph_id for g in body.graphs],
            [g.version for g in body.graphs],
            body.auth is not None,
        )


@attrs.frozen
class Worker:
    worker_id: str
    organization_id: str
    queue: str
    slots: int
    graphs: Sequence[str]
    versions: Sequence[str]
    draining: bool
    auth: bool = False
    """It answers what the plane asks of auth handlers."""


GET = """
select worker_id, organization_id, queue, slots, graphs, versions, draining, auth
from worker where worker_id = $1
"""


async def get(conn: Connection, worker_id: str) -> Worker | None:
    record = await conn.fetchrow(GET, worker_id)
    return None if record is None else Worker(*record)


DRAIN = "update worker set draining = true, last_seen_at = now() where worker_id = $1"


async def drain(conn: Connection, worker_id: str) -> None:
    """It gets no more work. Its runs come back by its own reports, or as leases expire."""
    await conn.execute(DRAIN, worker_id)


FORGET = """
delete from worker w where last_seen_at < now() - interval '1 day'
    and not exists (select from run r where r.worker_id = w.worker_id and r.status = 'running')
"""


async def forget(conn: Connection) -> None:
    """Workers unheard of for a day."""
    await conn.execute(FORGET)


def _graph(queue: str, spec: GraphSpec) -> tuple[object, ...]:
    return (
        spec.graph_id,
        spec.version,
        queue,
        spec.description,
        spec.input_schema,
        spec.output_schema,
        spec.state_schema,
        spec.config_schema,
        spec.context_schema,
        spec.drawing,
        spec.drawing_xray,
        spec.subgraphs,
        _headers(spec),
    )


def _headers(spec: GraphSpec) -> bytes | None:
    return None if spec.headers is None else dumps(spec.headers)
