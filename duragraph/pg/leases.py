"""A worker's right to a run: claim, offer again, give back, renew. Leases are columns of `run`."""

from collections.abc import Sequence

import attrs
from asyncpg import Record

from duragraph.pg import Connection
from duragraph.protocol import LEASE_SECONDS, Control, Lease, RunKind


@attrs.frozen
class Claimed:
    """A leased run, as its task is made from."""

    run_id: str
    organization_id: str
    thread_id: str
    assistant_id: str
    graph_id: str
    graph_version: str
    kind: RunKind
    kwargs: bytes
    metadata: bytes
    worker_id: str
    epoch: int
    attempt: int
    start_id: str | None
    resuming: bool
    announced: bool = False


# A run that recorded a checkpoint of its own goes on from there; else it starts where it was told.
# A report that gives a lease back and the next claim are an epoch each: a lost lease is another.
# One given back before its first frame has not begun.
_AS_CLAIMED = """\
select r.run_id, r.organization_id, r.thread_id, r.assistant_id, r.graph_id, r.graph_version,
    r.kind, r.kwargs, r.metadata, r.worker_id, r.epoch, r.attempt,
    case when k.run_id = r.run_id then k.checkpoint_id
        else coalesce(r.checkpoint_id, t.checkpoint_id) end as start_id,
    coalesce(k.run_id = r.run_id, false) as resuming,
    coalesce(r.tied and r.last_seq > 0 and r.finished_epoch = r.epoch - 2, false) as announced
from claimed r
join thread t using (organization_id, thread_id)
left join checkpoint k on (k.organization_id, k.thread_id, k.checkpoint_id)
    = (t.organization_id, t.thread_id, t.checkpoint_id)
order by r.priority desc, r.run_id
"""

CLAIM = f"""
with slot as (
    select worker_id, row_number() over () as n from unnest($5::uuid[]) as worker_id
), c as (
    select run_id from run
    where organization_id = $1 and status = 'pending' and active and queue = $2
        and graph_id = any($3::text[])
        and (graph_version is null
            or (graph_id, graph_version) in (select * from unnest($3::text[], $4::text[])))
    order by priority desc, run_id
    limit cardinality($5::uuid[])
    for update skip locked
), numbered as (
    select run_id, row_number() over () as n from c
), claimed as (
    update run r set status = 'running', worker_id = slot.worker_id, epoch = r.epoch + 1,
        attempt = r.attempt + 1, last_batch = 0, lease_until = now() + interval '{LEASE_SECONDS} s',
        leased_at = now(), updated_at = clock_timestamp(),
        graph_version = coalesce(r.graph_version,
            ($4::text[])[array_position($3::text[], r.graph_id)])
    from numbered join slot using (n)
    where r.run_id = numbered.run_id
    returning r.*
)
{_AS_CLAIMED}"""


async def claim(
    conn: Connection,
    organization_id: str,
    queue: str,
    *,
    graphs: Sequence[str],
    versions: Sequence[str],
    worker_ids: Sequence[str],
) -> list[Claimed]:
    """Lease the first claimable runs, one for each entry of `worker_ids`."""
    records = await conn.fetch(CLAIM, organization_id, queue, graphs, versions, worker_ids)
    return [_claimed(r) for r in records]


# A worker that has a task reports or renews at once, so a lease as long as at its claim tells
# that the task was lost on the road.
UNHEARD = f"""
with claimed as (
    select * from run
    where status = 'running' and worker_id is not null and worker_id = any($1::uuid[])
        and lease_until > now()
        and leased_at < now() - make_interval(secs => $2)
        and lease_until = leased_at + interval '{LEASE_SECONDS} s'
)
{_AS_CLAIMED}"""


async def unheard(conn: Connection, worker_ids: Sequence[str], *, seconds: float) -> list[Claimed]:
    """Runs leased to these workers over `seconds` ago that no worker has taken up."""
    return [_claimed(r) for r in await conn.fetch(UNHEARD, worker_ids, seconds)]


# Nothing is on record of a run without frames: any version may begin it.
RELEASE = """
with x as (
    select r.run_id
    from unnest($1::uuid[], $2::int[]) as x(run_id, epoch) join run r using (run_id, epoch)
    where r.status = 'running' order by r.run_id for update of r
)
update run r set status = 'pending', worker_id = null, lease_until = null, attempt = attempt - 1,
    epoch = epoch + 1, graph_version = case when last_seq > 0 then graph_version end
from x where r.run_id = x.run_id
"""


async def release(conn: Connection, leases: Sequence[Lease]) -> None:
    """Make these claimable again, uncharged: no worker was told of them."""
    await conn.execute(RELEASE, [x.run_id for x in leases], [x.epoch for x in leases])


# The lock asks again what `held` asked: a run may have ended, or changed hands, in between.
RENEW = f"""
with x as (select * from unnest($2::uuid[], $3::int[]) as x(run_id, epoch)),
seen as (update worker set last_seen_at = now() where worker_id = $1 returning worker_id),
held as (
    select r.run_id from run r join x using (run_id, epoch)
    where r.worker_id = $1 and r.status = 'running'
), renewed as (
    update run r set lease_until = now() + interval '{LEASE_SECONDS} s'
    from (
        select run_id from run join x using (run_id, epoch)
        where run.worker_id = $1 and run.status = 'running'
        order by run_id for update of run skip locked
    ) h
    where r.run_id = h.run_id
)
select x.run_id, x.epoch, r.status = 'interrupted' and r.worker_id = $1 as cancelled
from x left join run r using (run_id)
where not exists (select from held where held.run_id = x.run_id)
"""


async def renew(conn: Connection, worker_id: str, active: Sequence[Lease]) -> list[Control]:
    """Renew the leases, touch the worker; returns those it no longer holds."""
    records = await conn.fetch(
        RENEW, worker_id, [a.run_id for a in active], [a.epoch for a in active]
    )
    return [
        Control(r["run_id"], r["epoch"], "cancel" if r["cancelled"] else "fenced") for r in records
    ]


def _claimed(record: Record) -> Claimed:
    columns = dict(record)
    return Claimed(**columns | {name: bytes(columns[name]) for name in ("kwargs", "metadata")})
