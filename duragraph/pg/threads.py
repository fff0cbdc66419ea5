"""Threads as clients see and set them. `runs.py` and `reports.py` move their status."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import attrs

from duragraph.models import Json, SortOrder, Thread, ThreadStatus, TimeLeft, TtlStrategy
from duragraph.pg import BOUND, Connection, Page

SortBy = Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"]

ExtractRoot = Literal["values", "metadata", "config", "interrupts"]

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

_EXTRACTED = """
select json_object_agg(x.alias, jsonb_path_query_first(case x.root
    when 'values' then v.values::jsonb
    when 'metadata' then t.metadata
    when 'config' then t.config
    else t.interrupts::jsonb end, x.path::jsonpath, silent => true))
from unnest($9::text[], $10::text[], $11::text[]) as x(alias, root, path)
"""

# A column can't be a parameter, so there is one statement for each way to sort. Values are
# folded for the rows of the page only, and only where they are wanted.
SEARCH = {
    (column, order): f"""
select t.thread_id, t.created_at, t.updated_at, t.state_updated_at, t.metadata, t.status, t.config,
    v.values, t.error, t.interrupts, case when $9::text[] is not null then ({_EXTRACTED}) end
from (
    select t.* from thread t where {_MATCHING}
    order by t.{column} {order}, t.thread_id limit $6 offset $7
) t {_HEAD}
cross join lateral (select case when $8 then {_FOLDED} end as values offset 0) v
order by t.{column} {order}, t.thread_id
"""
    for column in get_args(SortBy)
    for order in get_args(SortOrder)
}


@attrs.frozen
class Filter:
    """Ids, metadata and current values that are contained, the status; None passes all."""

    ids: Sequence[str] | None
    metadata: bytes
    status: ThreadStatus | None
    values: bytes | None


Path: TypeAlias = tuple[ExtractRoot, str]
"""Which column, and the SQL/JSON path to follow in it."""


async def search(
    conn: Connection,
    organization_id: str,
    filter: Filter,
    page: Page[SortBy],
    *,
    values: bool = True,
    extract: Mapping[str, Path] | None = None,
) -> list[Thread]:
    """`extract` by alias; what a path doesn't find is null. Without `values` those are None.

    Raises Unavailable when a search through values takes longer than `pg.SEARCH_SECONDS`.
    """
    aliases = roots = paths = None
    if extract:
        aliases, (roots, paths) = list(extract), zip(*extract.values(), strict=True)
    statement = SEARCH[page.sort_by, page.sort_order]
    async with conn.transaction(readonly=True):
        await conn.execute(BOUND)
        records = await conn.fetch(
            statement,
            organization_id,
            *attrs.astuple(filter),
            page.limit,
            page.offset,
            values,
            aliases,
            roots,
            paths,
        )
    return [
        Thread(*thread) if extracted is None else attrs.evolve(Thread(*thread), extracted=extracted)
        for *thread, extracted in records
    ]


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


SET_TTL = """
update thread set
    ttl_minutes = coalesce($3, ttl_minutes),
    ttl_strategy = coalesce($4, ttl_strategy),
    expires_at = now() + make_interval(secs => 60 * coalesce($3, ttl_minutes))
where organization_id = $1 and thread_id = $2 and erase_at is null
"""


async def set_ttl(
    conn: Connection,
    organization_id: str,
    thread_id: str,
    *,
    minutes: float | None,
    strategy: TtlStrategy | None,
) -> None:
    """Count anew, from now; None leaves that as it is."""
    await conn.execute(SET_TTL, organization_id, thread_id, minutes, strategy)


CLEAR_TTL = """
update thread set ttl_minutes = null, expires_at = null
where organization_id = $1 and thread_id = $2
"""


async def clear_ttl(conn: Connection, organization_id: str, thread_id: str) -> None:
    """It lives until it is deleted."""
    await conn.execute(CLEAR_TTL, organization_id, thread_id)


TTL = """
select ttl_strategy, ttl_minutes, expires_at from thread
where organization_id = $1 and thread_id = $2 and expires_at is not null
"""


async def ttl(conn: Connection, organization_id: str, thread_id: str) -> TimeLeft | None:
    record = await conn.fetchrow(TTL, organization_id, thread_id)
    return None if record is None else TimeLeft(*record)


# The source's head is shown: the copy's can't be seen in the statement that makes it.
COPY = f"""
with source as materialized (
    select * from thread where organization_id = $1 and thread_id = $2 and erase_at is null
), t as (
    insert into thread (organization_id, thread_id, metadata, checkpoint_id)
    select organization_id, $3, metadata, checkpoint_id from source
    returning *
), k as (
    insert into checkpoint (organization_id, thread_id, checkpoint_id, parent_id, root_id, run_id,
        ns, source, step, next, tasks, metadata, versions, opaque, created_at)
    select c.organization_id, t.thread_id, c.checkpoint_id, c.parent_id, c.root_id, c.run_id, c.ns,
        c.source, c.step, c.next, c.tasks,
        jsonb_set(c.metadata::jsonb, '{{thread_id}}', to_jsonb(t.thread_id), false)::json,
        c.versions, c.opaque, c.created_at
    from t join checkpoint c on c.organization_id = t.organization_id and c.thread_id = $2
), v as (
    insert into channel_value (organization_id, thread_id, channel, version, base_id, depth, value,
        codec)
    select organization_id, $3, channel, version, base_id, depth, value, codec
    from channel_value where organization_id = $1 and thread_id = $2 and exists (select from t)
), w as (
    insert into step_write (organization_id, thread_id, checkpoint_id, task_id, ns, run_id, result,
        error, interrupts, opaque)
    select organization_id, $3, checkpoint_id, task_id, ns, run_id, result, error, interrupts,
        opaque
    from step_write where organization_id = $1 and thread_id = $2 and exists (select from t)
), e as (
    insert into effect (organization_id, thread_id, checkpoint_id, key, result)
    select organization_id, $3, checkpoint_id, key, result
    from effect where organization_id = $1 and thread_id = $2 and exists (select from t)
)
{_SELECTED} from t left join checkpoint c on c.organization_id = $1 and c.thread_id = $2
    and c.checkpoint_id = t.checkpoint_id
"""


async def copy(
    conn: Connection, organization_id: str, thread_id: str, *, copy_id: str
) -> Thread | None:
    """A new, idle thread with the same metadata and history, as of one moment; None without one."""
    record = await conn.fetchrow(COPY, organization_id, thread_id, copy_id)
    return None if record is None else Thread(*record)


OF_ASSISTANT = """
select thread_id from thread
where organization_id = $1 and metadata @> jsonb_build_object('assistant_id', $2::uuid)
    and erase_at is null
"""


async def of_assistant(conn: Connection, organization_id: str, assistant_id: str) -> list[str]:
    """The threads that it ran on last."""
    return [r["thread_id"] for r in await conn.fetch(OF_ASSISTANT, organization_id, assistant_id)]
