"""Runs that end from outside: cancelled, rolled back, deleted.

Each is part of a transaction that has locked the thread. The run's epoch grows, so whatever its
worker still reports is refused.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import attrs

from duragraph.models import CancelAction
from duragraph.pg import Connection
from duragraph.protocol import RunKind


@attrs.frozen
class Ended:
    """A run that was ended from outside. `worker_id` held it under `epoch` until now.

    `tied`: it waited, has child runs or is one.
    """

    organization_id: str
    thread_id: str
    run_id: str
    kind: RunKind
    status: str
    worker_id: str | None
    epoch: int
    ms: int
    last_seq: int
    base_id: str | None
    active: bool
    tied: bool


LOCK_THREADS = """
select thread_id from thread where organization_id = $1 and thread_id = any($2::uuid[])
order by thread_id for update
"""

END_RUNS = """
with o as materialized (
    select * from run
    where organization_id = $1 and thread_id = any($2::uuid[]) and status in ('pending', 'running')
        and ($3::uuid[] is null or run_id = any($3))
    order by run_id for update
)
update run r set status = 'interrupted', active = false, epoch = o.epoch + 1, lease_until = null,
    erase_at = case when $4 then now() + interval '5 min' end, updated_at = clock_timestamp()
from o where r.run_id = o.run_id
returning o.organization_id, o.thread_id, o.run_id, o.kind, o.status, o.worker_id, o.epoch, o.ms,
    o.last_seq, o.base_id, o.active, o.tied
"""

# A thread is `interrupted` when its head leaves nodes to run.
SETTLE_THREADS = """
update thread t set
    open_runs = t.open_runs - x.ended,
    active_run_id = case when x.was_active then null else t.active_run_id end,
    checkpoint_id = case when x.undo then x.base_id else t.checkpoint_id end,
    status = case when t.open_runs > x.ended then 'busy'
        when exists (select from checkpoint c where c.organization_id = $1
            and c.thread_id = t.thread_id and c.next <> '{}'
            and c.checkpoint_id = case when x.undo then x.base_id else t.checkpoint_id end)
        then 'interrupted' else 'idle' end,
    error = coalesce(x.error, t.error),
    interrupts = case when x.undo then (
            select coalesce(json_object_agg(w.task_id, w.interrupts), '{}') from step_write w
            where w.organization_id = $1 and w.thread_id = t.thread_id
                and w.checkpoint_id = x.base_id and w.result is null and w.interrupts is not null)
        when x.was_active then '{}' else t.interrupts end,
    erase_at = case when t.temporary and t.open_runs = x.ended then now() + interval '5 min' end,
    updated_at = clock_timestamp()
from unnest($2::uuid[], $3::int[], $4::bool[], $5::bool[], $6::uuid[], $7::json[])
    as x(thread_id, ended, was_active, undo, base_id, error)
where t.organization_id = $1 and t.thread_id = x.thread_id
"""

# What earlier runs had left where these wrote over it, such as a question that was answered.
RESTORE = """
with x as (
    select b.* from step_write w cross join json_populate_record(null::step_write, w.before) b
    where w.organization_id = $1 and w.thread_id = any($2::uuid[]) and w.run_id = any($3::uuid[])
)
update step_write w set run_id = x.run_id, result = x.result, error = x.error,
    interrupts = x.interrupts, opaque = x.opaque, before = x.before
from x where w.organization_id = $1 and w.thread_id = x.thread_id
    and w.checkpoint_id = x.checkpoint_id and w.task_id = x.task_id
"""

ERASE_PROGRESS = """
with gone as (
    delete from checkpoint where organization_id = $1 and thread_id = any($2::uuid[])
        and run_id = any($3::uuid[])
    returning checkpoint_id
), parts as (
    delete from channel_value where organization_id = $1 and thread_id = any($2)
        and version in (select checkpoint_id from gone)
), writes as (
    delete from step_write where organization_id = $1 and thread_id = any($2)
        and (run_id = any($3) or checkpoint_id in (select checkpoint_id from gone))
)
delete from effect where organization_id = $1 and thread_id = any($2)
    and (checkpoint_id in (select checkpoint_id from gone) or checkpoint_id = any($3))
"""

USER_INTERRUPT = b'{"error":"UserInterrupt","message":"User interrupted the run"}'
USER_ROLLBACK = b'{"error":"UserRollback","message":"User rolled back the run"}'


async def cancel(
    conn: Connection,
    organization_id: str,
    thread_id: str,
    *,
    run_ids: Sequence[str] | None = None,
    action: CancelAction = "interrupt",
) -> list[Ended]:
    """End these open runs (all of the thread's by default); see `cancel_many`."""
    return await cancel_many(conn, organization_id, [thread_id], run_ids=run_ids, action=action)


async def cancel_many(
    conn: Connection,
    organization_id: str,
    thread_ids: Sequence[str],
    *,
    run_ids: Sequence[str] | None = None,
    action: CancelAction = "interrupt",
) -> list[Ended]:
    """End these open runs (all of the threads' by default) from their acknowledged state.

    Must run in a transaction. The threads' next runs are not yet promoted.
    """
    locked = await conn.fetch(LOCK_THREADS, organization_id, thread_ids)
    if not locked:
        return []  # what is made from here on was not there to be ended
    there, rollback = [r["thread_id"] for r in locked], action == "rollback"
    records = await conn.fetch(END_RUNS, organization_id, there, run_ids, rollback)
    ended = [Ended(*r) for r in records]
    if not ended:
        return []
    by_thread: defaultdict[str, list[Ended]] = defaultdict(list)
    for run in ended:
        by_thread[run.thread_id].append(run)
    if rollback:
        ids = [run.run_id for run in ended]
        await conn.execute(RESTORE, organization_id, list(by_thread), ids)
        await conn.execute(ERASE_PROGRESS, organization_id, list(by_thread), ids)
    settled = (_settled(each, rollback=rollback) for each in by_thread.values())
    await conn.execute(SETTLE_THREADS, organization_id, *zip(*settled, strict=True))
    return ended


def _settled(ended: Sequence[Ended], *, rollback: bool) -> tuple[Any, ...]:
    """A thread's row for SETTLE_THREADS, from those of its runs that ended."""
    first = ended[0]
    was_active = next((run for run in ended if run.active), None)
    if was_active is None:
        return first.thread_id, len(ended), False, False, None, None
    error = USER_ROLLBACK if rollback else USER_INTERRUPT
    told = error if was_active.status == "running" else None
    return first.thread_id, len(ended), True, rollback, was_active.base_id, told


# The head leaves a deleted run's checkpoints, and so does what a later run's rollback goes back
# to; parts that later checkpoints build on stay.
DELETE = """
with gone as (
    delete from run where organization_id = $1 and thread_id = $2 and run_id = $3
        and erase_at is null
    returning base_id
), k as (
    delete from checkpoint where organization_id = $1 and thread_id = $2 and run_id = $3
        and exists (select from gone) returning checkpoint_id
), e as (
    delete from effect where organization_id = $1 and thread_id = $2 and checkpoint_id = $3
), t as (
    update thread set checkpoint_id = (select base_id from gone)
    where organization_id = $1 and thread_id = $2 and checkpoint_id in (select checkpoint_id from k)
), r as (
    update run set base_id = (select base_id from gone)
    where organization_id = $1 and thread_id = $2 and base_id in (select checkpoint_id from k)
)
select count(*) from gone
"""


async def delete(conn: Connection, organization_id: str, thread_id: str, run_id: str) -> bool:
    """Erase a run and its checkpoints. Cancel it first; must run in that transaction."""
    return bool(await conn.fetchval(DELETE, organization_id, thread_id, run_id))
