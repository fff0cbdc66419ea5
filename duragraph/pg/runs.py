"""Runs: create, promote, find. Their leases are in `leases.py`, their reports in `reports.py`."""

from collections.abc import Sequence
from operator import attrgetter

import attrs
from asyncpg import Record

from duragraph.models import MultitaskStrategy, OnCompletion, OnDisconnect, OpenStatus, Run
from duragraph.pg import Connection, columns
from duragraph.protocol import LEASE_SECONDS, RunKind

COLUMNS = f"{columns(Run)}, usage"


@attrs.frozen(kw_only=True)
class NewRun:
    """A run to create. `worker_id` names the waiting worker it is matched to, if any.

    `revision` is the assistant's as the caller read it; `base_metadata` (the assistant's)
    stands under the thread's, `metadata` above it.
    """

    run_id: str
    organization_id: str
    thread_id: str
    assistant_id: str
    revision: int
    graph_id: str
    queue: str
    kind: RunKind
    multitask_strategy: MultitaskStrategy
    base_metadata: bytes = b"{}"
    thread_metadata: bytes = b"{}"
    metadata: bytes = b"{}"
    kwargs: bytes
    thread_config: bytes
    after_seconds: float = 0
    checkpoint_id: str | None = None
    on_disconnect: OnDisconnect = "continue"
    on_completion: OnCompletion = "keep"
    make_thread: bool = False
    temporary: bool = False
    worker_id: str | None = None
    graph_version: str | None = None
    webhook: str | None = None
    plane_id: str | None = None


_ROW = attrgetter(*(f.name for f in attrs.fields(NewRun)))


@attrs.frozen
class Created:
    """`run` as it was created, pending; `leased` to `NewRun.worker_id` in the same statement."""

    run: Run
    leased: bool = False
    claimable: bool = False
    head_id: str | None = None


_DUE_IN_LINE = """
r.organization_id = t.organization_id and r.thread_id = t.thread_id
    and r.status = 'pending' and not r.active and (r.not_before is null or r.not_before <= now())
"""

# Free, with no run in line that is due.
_PLACE_FREE = f"""
x.after_seconds <= 0 and t.active_run_id is null
    and (t.open_runs = 0 or not exists (select from run r where {_DUE_IN_LINE}))
"""

# Thread rows are locked first, in id order, and made in that order; what the lock finds is what
# `taken` works on. At most one item a thread may stand in a batch.
CREATE = f"""
with x as materialized (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::jsonb[], $11::jsonb[], $12::jsonb[], $13::json[],
        $14::jsonb[], $15::float8[], $16::uuid[], $17::text[], $18::text[], $19::bool[],
        $20::bool[], $21::uuid[], $22::text[], $23::text[],
        $24::uuid[])
    as x(run_id, organization_id, thread_id, assistant_id, revision, graph_id, queue, kind,
        multitask_strategy, base_metadata, thread_metadata, metadata, kwargs, thread_config,
        after_seconds, checkpoint_id, on_disconnect, on_completion, make_thread, temporary,
        worker_id, graph_version, webhook, plane_id)
), known as materialized (
    select x.* from x join assistant a using (organization_id, assistant_id)
    where a.revision = x.revision
), locked as materialized (
    select t.organization_id, t.thread_id
    from thread t join known using (organization_id, thread_id)
    order by t.thread_id for update of t
), taken as (
    update thread t set
        status = 'busy',
        open_runs = t.open_runs + 1,
        active_run_id = case when {_PLACE_FREE} then x.run_id else t.active_run_id end,
        last_ms = case when {_PLACE_FREE}
            then greatest(t.last_ms + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
            else t.last_ms end,
        metadata = t.metadata || x.thread_metadata,
        config = x.thread_config,
        updated_at = clock_timestamp()
    from known x
    where t.organization_id = x.organization_id and t.thread_id = x.thread_id and t.erase_at is null
        and (select count(*) from locked) > 0
        and (x.multitask_strategy <> 'reject' or t.open_runs = 0)
    returning t.organization_id, t.thread_id, t.active_run_id, t.last_ms, t.metadata,
        t.checkpoint_id
), made as (
    insert into thread (organization_id, thread_id, status, open_runs, active_run_id, last_ms,
        metadata, config, temporary)
    select organization_id, thread_id, 'busy', 1, case when after_seconds <= 0 then run_id end,
        (extract(epoch from clock_timestamp()) * 1000)::bigint, thread_metadata, thread_config,
        temporary
    from known
    where make_thread and not exists (select from locked l where l.thread_id = known.thread_id
        and l.organization_id = known.organization_id)
    order by thread_id
    on conflict do nothing
    returning organization_id, thread_id, active_run_id, last_ms, metadata, checkpoint_id
), placed as (
    select x.*, p.active_run_id is not distinct from x.run_id as active, p.last_ms,
        p.metadata as thread_has, p.checkpoint_id as head_id,
        p.active_run_id is not distinct from x.run_id and x.worker_id is not null as leased
    from known x join (select * from taken union all select * from made) p
        using (organization_id, thread_id)
), r as (
    insert into run (run_id, organization_id, thread_id, assistant_id, graph_id, graph_version,
        queue, kind, status, active, multitask_strategy, metadata, kwargs, not_before, worker_id,
        epoch, lease_until, leased_at, attempt, ms, checkpoint_id, base_id, on_disconnect,
        on_completion, webhook, plane_id, created_at)
    select run_id, organization_id, thread_id, assistant_id, graph_id,
        case when leased then graph_version end, queue, kind,
        case when leased then 'running' else 'pending' end, active, multitask_strategy,
        base_metadata || thread_has || metadata, kwargs,
        case when after_seconds > 0 then now() + make_interval(secs => after_seconds) end,
        case when leased then worker_id end, leased::int,
        case when leased then now() + interval '{LEASE_SECONDS} s' end,
        case when leased then now() end, leased::int,
        case when active then last_ms else 0 end, checkpoint_id,
        case when active then head_id end, on_disconnect, on_completion, webhook,
        plane_id,
        clock_timestamp() + make_interval(secs => after_seconds)
    from placed
    returning *
)
select r.run_id, r.thread_id, r.assistant_id, r.metadata, 'pending', r.kwargs,
    r.multitask_strategy, r.created_at, r.updated_at, p.leased, r.active and not p.leased, p.head_id
from r join placed p using (run_id)
"""


async def create(conn: Connection, new: Sequence[NewRun]) -> dict[str, Created]:
    """By run id. Absent: its thread is missing, or busy under `reject`, or its assistant moved."""
    records = await conn.fetch(CREATE, *zip(*map(_ROW, new), strict=True))
    return {r["run_id"]: _created(r) for r in records}


# Finds out why `create` made nothing.
WHY_NOT = """
select
    (select revision from assistant where organization_id = $1 and assistant_id = $2),
    t.thread_id is not null as thread_exists, coalesce(t.open_runs, 0) as open_runs
from (select) as one
left join thread t on t.organization_id = $1 and t.thread_id = $3 and t.erase_at is null
"""


async def why_not(conn: Connection, new: NewRun) -> tuple[int | None, bool, int]:
    """The assistant's revision now, whether the thread exists, how many open runs it has."""
    record = await conn.fetchrow(WHY_NOT, new.organization_id, new.assistant_id, new.thread_id)
    assert record is not None
    return record["revision"], record["thread_exists"], record["open_runs"]


# Threads whose place is free give it to the first in line that is due. It is locked, since it may
# have been ended while its thread was waited for.
PROMOTE = f"""
with t as materialized (
    select t.organization_id, t.thread_id, t.checkpoint_id, t.last_ms
    from unnest($1::uuid[], $2::uuid[]) as x(organization_id, thread_id)
    join thread t using (organization_id, thread_id)
    where t.active_run_id is null and t.open_runs > 0
    order by t.thread_id for update of t
), first as (
    select t.*, r.run_id,
        greatest(t.last_ms + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint) as ms
    from t cross join lateral (
        select run_id from run r where {_DUE_IN_LINE}
        order by coalesce(r.not_before, r.created_at), r.run_id limit 1 for update
    ) r
), placed as (
    update thread t set active_run_id = f.run_id, last_ms = f.ms
    from first f where t.organization_id = f.organization_id and t.thread_id = f.thread_id
)
update run r set active = true, ms = f.ms, base_id = f.checkpoint_id, updated_at = clock_timestamp()
from first f where r.run_id = f.run_id
returning r.run_id
"""


async def promote(conn: Connection, threads: Sequence[tuple[str, str]]) -> int:
    """Make the next run of each of these (organization, thread) claimable; returns how many."""
    return len(await conn.fetch(PROMOTE, *zip(*threads, strict=True)))


STRAYS = f"""
select organization_id, thread_id from thread t
where open_runs > 0 and active_run_id is null
    and exists (select from run r where {_DUE_IN_LINE})
limit 500
"""


async def promote_strays(conn: Connection) -> int:
    """Delayed runs that are due, and whatever a crash left in line behind nothing."""
    strays = [(r["organization_id"], r["thread_id"]) for r in await conn.fetch(STRAYS)]
    return await promote(conn, strays) if strays else 0


GET = f"""
select {COLUMNS} from run
where organization_id = $1 and thread_id = $2 and run_id = $3 and erase_at is null and kind = 'run'
"""


async def get(conn: Connection, organization_id: str, thread_id: str, run_id: str) -> Run | None:
    found = await conn.fetchrow(GET, organization_id, thread_id, run_id)
    return found and _run(found)


# What was to end with its client's connection on another plane hangs on this one from now on, if
# this connection's end is to end it, too. Else who came may be its client, or only looks on: then
# no plane's death ends it.
JOIN = f"""
with moved as (
    update run set plane_id = case when $5 then $4::uuid end
    where organization_id = $1 and run_id = $3 and plane_id <> $4
        and status in ('pending', 'running')
)
select {COLUMNS} from run
where organization_id = $1 and run_id = $3 and kind = 'run'
    and ($2::uuid is null or thread_id = $2 and erase_at is null)
"""


async def join(
    conn: Connection,
    organization_id: str,
    thread_id: str | None,
    run_id: str,
    *,
    plane_id: str,
    attended: bool,
) -> Run | None:
    """`get`, for a client of this plane; `attended` if the run is to end with its connection.

    Without a thread by its id alone, also within the grace of an erasure: a stream may come back.
    """
    found = await conn.fetchrow(JOIN, organization_id, thread_id, run_id, plane_id, attended)
    return found and _run(found)


ANY_OF = """
select exists (
    select from run where organization_id = $1 and thread_id = $2 and run_id = any($3::uuid[])
        and erase_at is null and kind = 'run')
"""


async def any_of(
    conn: Connection, organization_id: str, thread_id: str, run_ids: Sequence[str]
) -> bool:
    """Whether the thread has one of these, open or not."""
    found: bool = await conn.fetchval(ANY_OF, organization_id, thread_id, run_ids)
    return found


# In the order of two indexes: the runs that hold their thread's place, and those in line.
OPEN = """
select thread_id, run_id from (
    (select thread_id, run_id from run
    where organization_id = $1 and active and kind = 'run' and ($2 = 'all' or status = $2)
        and (thread_id, run_id) > ($3, $4) and run_id < $5 order by thread_id, run_id limit $6)
    union all
    (select thread_id, run_id from run
    where organization_id = $1 and status = 'pending' and not active and $2 <> 'running'
        and (thread_id, run_id) > ($3, $4) and run_id < $5 order by thread_id, run_id limit $6)
) found
order by thread_id, run_id limit $6
"""


async def open_after(
    conn: Connection,
    organization_id: str,
    status: OpenStatus,
    cursor: tuple[str, str],
    *,
    until: str,
    limit: int,
) -> list[tuple[str, str]]:
    """The next (thread, run) of open runs behind `cursor`, with ids below `until`."""
    records = await conn.fetch(OPEN, organization_id, status, *cursor, until, limit)
    return [(r["thread_id"], r["run_id"]) for r in records]


SEARCH = f"""
select {COLUMNS} from run
where organization_id = $1 and thread_id = $2 and erase_at is null and kind = 'run'
    and ($3::text is null or status = $3)
order by created_at desc, run_id desc limit $4 offset $5
"""


async def search(
    conn: Connection,
    organization_id: str,
    thread_id: str,
    *,
    status: str | None,
    limit: int,
    offset: int,
) -> list[Run]:
    """Newest first."""
    records = await conn.fetch(SEARCH, organization_id, thread_id, status, limit, offset)
    return [_run(r) for r in records]


def _run(record: Record) -> Run:
    *known, usage = record.values()
    run = Run(*known)
    return run if usage is None else attrs.evolve(run, usage=usage)


def _created(record: Record) -> Created:
    *run, leased, claimable, head_id = record.values()
    return Created(Run(*run), leased, claimable, head_id)
