"""Assistants and their versions; the graphs that workers registered."""

from typing import Any

import attrs
import msgspec

from duragraph.pg import Connection

RESOLVE = """
select a.assistant_id, a.revision, a.graph_id, a.config, a.context, a.metadata,
    coalesce(g.queue, 'default') as queue
from assistant a
left join lateral (select queue from graph g where g.organization_id = a.organization_id
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


async def resolve(conn: Connection, organization_id: str, assistant_id: str) -> Resolved | None:
    record = await conn.fetchrow(RESOLVE, organization_id, assistant_id)
    if record is None:
        return None
    row = dict(record)
    for name in ("config", "context", "metadata"):
        row[name] = msgspec.json.decode(row[name])
    return Resolved(**row)


GRAPHS = "select distinct graph_id from graph where organization_id = $1 order by graph_id"


async def graphs(conn: Connection, organization_id: str) -> list[str]:
    """The ids of all graphs that any worker ever registered."""
    return [r["graph_id"] for r in await conn.fetch(GRAPHS, organization_id)]
