"""What the reaper finds: leases that ran out, attempts past their deadline, things to erase."""

import attrs

from duragraph.models import RunStatus
from duragraph.pg import Connection
from duragraph.protocol import Control, RunKind

# A run's lease is judged by the database's clock alone. The run goes back in its thread's one
# place, under a new epoch at its next claim. Before its first frame any version may begin it.
EXPIRE = """
with x as (
    select run_id, worker_id, epoch from run
    where status = 'running' and worker_id is not null and lease_until < now() and attempt < $1
        and leased_at > now() - make_interval(secs => $2)
    order by run_id limit 500 for update skip locked
)
update run r set status = 'pending', worker_id = null, epoch = r.epoch + 1, lease_until = null,
    graph_version = case when r.last_seq > 0 then r.graph_version end,
    updated_at = clock_timestamp()
from x where r.run_id = x.run_id
returning x.worker_id, x.run_id, x.epoch
"""


async def expire(
    conn: Connection, *, max_attempts: int, timeout_seconds: float
) -> list[tuple[str, Control]]:
    """Make runs of silent workers claimable again; returns what to tell which worker."""
    records = await conn.fetch(EXPIRE, max_attempts, timeout_seconds)
    return [(r["worker_id"], Control(r["run_id"], r["epoch"], "fenced")) for r in records]


@attrs.frozen
class Doomed:
    """A run that ends here: too many attempts, or an attempt that took too long."""

    run_id: str
    organization_id: str
    thread_id: str
    kind: RunKind
    worker_id: str | None
    epoch: int
    timed_out: bool
    attempt: int

    @property
    def status(self) -> RunStatus:
        return "timeout" if self.timed_out else "error"


DOOMED = """
select run_id, organization_id, thread_id, kind, worker_id, epoch,
    leased_at <= now() - make_interval(secs => $2) as timed_out, attempt
from run
where status = 'running' and worker_id is not null
    and (lease_until < now() and attempt >= $1 or leased_at <= now() - make_interval(secs => $2))
order by thread_id limit 100
"""


async def doomed(conn: Connection, *, max_attempts: int, timeout_seconds: float) -> list[Doomed]:
    return [Doomed(*r) for r in await conn.fetch(DOOMED, max_attempts, timeout_seconds)]


LOCK = "select from thread where organization_id = $1 and thread_id = $2 for update"

BURY = """
with r as (
    update run set status = $3, active = false, epoch = epoch + 1, error = $4, lease_until = null,
        last_seq = last_seq + 1, updated_at = clock_timestamp()
    where run_id = $1 and epoch = $2 and status = 'running'
        and ($3 = 'timeout' or lease_until < now())
    returning run_id, organization_id, thread_id, ms, last_seq
), e as (
    insert into event (run_id, seq, organization_id, n, frames)
    select run_id, last_seq, organization_id, 1, 'error'::bytea || '\\x09'::bytea ||
        convert_to($4::json::text, 'UTF8')
    from r
), t as (
    update thread t set status = case when t.open_runs > 1 then 'busy' else 'error' end, error = $4,
        active_run_id = null, open_runs = t.open_runs - 1, updated_at = clock_timestamp(),
        erase_at = case when t.temporary and t.open_runs = 1 then now() + interval '5 min' end
    from r where t.organization_id = r.organization_id and t.thread_id = r.thread_id
)
select ms, last_seq from r
"""


async def bury(conn: Connection, run: Doomed, error: bytes) -> tuple[int, int] | None:
    """End it and free its thread; its `(ms, last_seq)`, or None if it moved meanwhile."""
    async with conn.transaction():
        await conn.execute(LOCK, run.organization_id, run.thread_id)
        record = await conn.fetchrow(BURY, run.run_id, run.epoch, run.status, error)
    return None if record is None else (record["ms"], record["last_seq"])


ERASE_RUNS = """
delete from run where run_id in (
    select run_id from run where erase_at < now() order by run_id limit 500 for update skip locked)
"""


async def erase_runs(conn: Connection) -> None:
    """Rolled-back runs whose grace is over."""
    await conn.execute(ERASE_RUNS)
