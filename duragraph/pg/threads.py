"""Threads as clients see and set them. `runs.py` and `reports.py` move their status."""

from collections.abc import Sequence
from typing import Literal, get_args

import attrs

from duragraph.models import Json, SortOrder, Thread, ThreadStatus
from duragraph.pg import Connection, rows

SortBy = Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"]

SEARCH_SECONDS = 10

_FOLDED = """
case when c.checkpoint_id is not null then shown(c) end
"""

_SELECTED = f"""
select t.thread_id, t.created_at, t.updated_at, t.state_updated_at, t.metadata, t.status, t.config,
    {_FOLDED} as values, t.error, t.interrupts
"""

_HEAD = "left join checkpoint c using (organization_id, thread_id, checkpoint_id)"

CREATE = f"""
with t as (
    insert into thread (organization_id, thread_id, metadata) values ($1, $2, $3)
    on conflict do nothing returning *
)
{_SELECTED} from t {_HEAD}
"""


async def create(
    conn: Connection, organization_id: str, thread_id: str, *, metadata: bytes
) -> Thread | None:
    """None if the id is taken."""
    record = await conn.fetchrow(CREATE, organization_id, thread_id, metadata)
    return None if record is None else Thread(*record)


GET = f"""
{_SELECTED} from thread t {_HEAD}
where t.organization_id = $1 and t.thread_id = $2 and t.erase_at is null
"""


async def get(conn: Connection, organization_id: str, thread_id: str) -> Thread | None:
    record = await conn.fetchrow(GET, organization_id, thread_id)
    return None if record is None else Thread(*record)


BINDING = """
select thread_id, metadata ->> 'graph_id' as graph_id, config from thread
where organization_id = $1 and thread_id = $2 and erase_at is null
"""


@attrs.frozen
class Binding:
    """What a thread is bound to: its graph, None before the first run, and its runs' config."""

    thread_id: str
    graph_id: str | None
    config: Json


async def binding(conn: Connection, organization_id: str, thread_id: str) -> Binding | None:
    record = await conn.fetchrow(BINDING, organization_id, thread_id)
    return None if record is None else Binding(*record)


_MATCHING = f"""
t.organization_id = $1 and not t.temporary and t.erase_at is null
    and ($2::uuid[] is null or t.thread_id = any($2))
    and t.metadata @> $3 and ($4::text is null or t.status = $4)
    and ($5::jsonb is null or exists (
        select from checkpoint c where c.organization_id = t.organization_id
            and c.thread_id = t.thread_id and c.checkpoint_id = t.checkpoint_id
            and {_FOLDED}::jsonb @> $5))
"""

# A column can't be a parameter, so there is one statement for each way to sort. Values are
# folded for the rows of the page only.
SEARCH = {
    (column, order): f"""
{_SELECTED}
from (
    select t.* from thread t where {_MATCHING}
    order by t.{column} {order}, t.thread_id limit $6 offset $7
) t {_HEAD}
order by t.{column} {order}, t.thread_id
"""
    for column in get_args(SortBy)
    for order in get_args(SortOrder)
}
BOUND = f"set local statement_timeout = '{SEARCH_SECONDS}s'"


@attrs.frozen
class Filter:
    """Ids, metadata and current values that are contained, the status; None passes all."""

    ids: Sequence[str] | None
    metadata: bytes
    status: ThreadStatus | None
    values: bytes | None


async def search(
    conn: Connection,
    organization_id: str,
    filter: Filter,
    *,
    sort_by: SortBy,
    sort_order: SortOrder,
    limit: int,
    offset: int,
) -> list[Thread]:
    """Raises Unavailable when a search through values takes longer than SEARCH_SECONDS."""
    statement = SEARCH[sort_by, sort_order]
    async with conn.transaction(readonly=True):
        await conn.execute(BOUND)
        records = await conn.fetch(
            statement, organization_id, *attrs.astuple(filter), limit, offset
        )
    return [Thread(*r) for r in records]


COUNT = f"select count(*) from thread t where {_MATCHING}"


async def count(conn: Connection, organization_id: str, filter: Filter) -> int:
    """How many `search` would find. Raises Unavailable as it does."""
    async with conn.transaction(readonly=True):
        await conn.execute(BOUND)
        found: int = await conn.fetchval(COUNT, organization_id, *attrs.astuple(filter))
    return found


UPDATE = f"""
with t as (
    update thread set metadata = metadata || $3, updated_at = clock_timestamp()
    where organization_id = $1 and thread_id = $2 and erase_at is null
    returning *
)
{_SELECTED} from t {_HEAD}
"""


async def update(
    conn: Connection, organization_id: str, thread_id: str, *, metadata: bytes
) -> Thread | None:
    """Merge `metadata` into the thread's, key by key at the top."""
    record = await conn.fetchrow(UPDATE, organization_id, thread_id, metadata)
    return None if record is None else Thread(*record)


DELETE = """
delete from thread where organization_id = $1 and thread_id = any($2::uuid[]) and erase_at is null
"""


async def delete(conn: Connection, organization_id: str, thread_ids: Sequence[str]) -> int:
    """Erase threads with all that hangs on them. Cancel their runs first, in that transaction."""
    return rows(await conn.execute(DELETE, organization_id, thread_ids))


OF_ASSISTANT = """
select thread_id from thread
where organization_id = $1 and metadata @> jsonb_build_object('assistant_id', $2::uuid)
    and erase_at is null
"""


async def of_assistant(conn: Connection, organization_id: str, assistant_id: str) -> list[str]:
    """The threads that it ran on last."""
    return [r["thread_id"] for r in await conn.fetch(OF_ASSISTANT, organization_id, assistant_id)]
