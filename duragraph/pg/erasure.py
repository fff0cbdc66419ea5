"""Threads that go, and histories that are cut to their head: in batches, so that locks are short.

A thread that goes is hidden by its mark, `erase_at`; what a crash leaves of it goes at the next
sweep. Rows are taken with SKIP LOCKED, so any plane may sweep.
"""

from collections.abc import Sequence
from typing import Literal

from duragraph.pg import Connection, rows

BATCH = {"checkpoint": 200, "channel_value": 500, "step_write": 500, "effect": 500, "run": 50}
"""Rows of a thread that one statement erases; a thread with more of any goes bit by bit."""
THREADS_A_BATCH = 200
BATCHES_A_SWEEP = 25
"""The rest waits for the next sweep, so that leases need not."""

_BIG = " or ".join(
    f"exists (select from {table} x where x.organization_id = t.organization_id"
    f" and x.thread_id = t.thread_id offset {most})"
    for table, most in BATCH.items()
)

DELETE = f"""
with t as materialized (
    select organization_id, thread_id from thread
    where organization_id = $1 and thread_id = any($2::uuid[]) and erase_at is null
    order by thread_id for update
), big as materialized (
    select * from t where {_BIG}
), marked as (
    update thread set erase_at = now() from big
    where thread.organization_id = big.organization_id and thread.thread_id = big.thread_id
), gone as (
    delete from thread using t
    where thread.organization_id = t.organization_id and thread.thread_id = t.thread_id
        and t.thread_id not in (select thread_id from big)
)
select thread_id, exists (select from big where big.thread_id = t.thread_id) from t
"""


async def delete(
    conn: Connection, organization_id: str, thread_ids: Sequence[str]
) -> dict[str, bool]:
    """Erase threads with all that hangs on them, and hide those that are too big for one batch.

    Cancel their runs first, in that transaction, and `finish` the big ones after it. Returns, by
    the id of each that there was, whether it is big.
    """
    return dict(await conn.fetch(DELETE, organization_id, thread_ids))


_SHED = ", ".join(
    f"""{table}_rows as (
    delete from {table} where ctid = any(array(
        select x.ctid from {table} x join t using (organization_id, thread_id) limit {most}))
)"""
    for table, most in BATCH.items()
)

SHED = f"""
with t as materialized (
    select organization_id, thread_id from thread
    where organization_id = $1 and thread_id = $2 and erase_at <= now() and open_runs = 0
), {_SHED}
select exists (select from t where {_BIG})
"""

ERASE_ONE = """
delete from thread
where organization_id = $1 and thread_id = $2 and erase_at <= now() and open_runs = 0
"""


async def finish(conn: Connection, organization_id: str, thread_id: str) -> None:
    """Erase a thread that `delete` has hidden, a transaction a batch."""
    while await conn.fetchval(SHED, organization_id, thread_id):
        pass
    await conn.execute(ERASE_ONE, organization_id, thread_id)


# The oldest first, as the index has them: who skips what is locked needs no order of locks.
EXPIRE = f"""
update thread set erase_at = now() where (organization_id, thread_id) in (
    select organization_id, thread_id from thread
    where expires_at < now() and ttl_strategy = 'delete' and open_runs = 0 and erase_at is null
    order by expires_at limit {THREADS_A_BATCH} for update skip locked)
"""

ERASE = f"""
with t as materialized (
    select organization_id, thread_id from thread where erase_at < now() and open_runs = 0
    order by erase_at limit {THREADS_A_BATCH} for update skip locked
), big as materialized (
    select * from t where {_BIG}
), gone as (
    delete from thread using t
    where thread.organization_id = t.organization_id and thread.thread_id = t.thread_id
        and (t.organization_id, t.thread_id) not in (select * from big)
)
select organization_id, thread_id, thread_id in (select thread_id from big) as big from t
"""


async def sweep(conn: Connection) -> None:
    """Erase what is marked and due, threads past their time to live among it; prune others."""
    for _ in range(BATCHES_A_SWEEP):
        expired = rows(await conn.execute(EXPIRE))
        due = await conn.fetch(ERASE)
        big = next((r for r in due if r["big"]), None)
        if big is not None:
            await conn.fetchval(SHED, big["organization_id"], big["thread_id"])
        elif THREADS_A_BATCH not in (expired, len(due)):
            break
    for organization_id, thread_id in await conn.fetch(STALE):
        await _prune_batch(conn, organization_id, thread_id, lock=LOCK_IDLE + "skip locked")


STALE = f"""
select organization_id, thread_id from thread
where expires_at < now() and ttl_strategy = 'keep_latest' and open_runs = 0 and erase_at is null
order by expires_at limit {BATCHES_A_SWEEP}
"""

LOCK_IDLE = """
select checkpoint_id from thread
where organization_id = $1 and thread_id = $2 and open_runs = 0 and erase_at is null
for update
"""

# A subgraph that remembers from one call to the next has no task in its namespace.
# The oldest go first, so that what a crash leaves is a history that begins later.
CUT = f"""
with kept as materialized (
    select $3::uuid as checkpoint_id
    union all (
        select distinct on (ns) checkpoint_id from checkpoint
        where organization_id = $1 and thread_id = $2 and ns <> ''
            and (root_id = $3 or root_id is null or strpos(ns, ':') = 0)
        order by ns, checkpoint_id desc)
), old as materialized (
    select checkpoint_id from checkpoint
    where organization_id = $1 and thread_id = $2
        and checkpoint_id not in (select checkpoint_id from kept)
    order by checkpoint_id limit {BATCH["checkpoint"]}
), writes as (
    delete from step_write where organization_id = $1 and thread_id = $2
        and checkpoint_id in (select checkpoint_id from old)
), effects as (
    delete from effect where organization_id = $1 and thread_id = $2
        and (checkpoint_id in (select checkpoint_id from old)
            or checkpoint_id in (select run_id from run
                where organization_id = $1 and thread_id = $2 and not active))
), gone as (
    delete from checkpoint where organization_id = $1 and thread_id = $2
        and checkpoint_id in (select checkpoint_id from old)
)
select count(*) from old
"""

# Parts that no checkpoint reaches any more.
DROP_PARTS = f"""
with recursive reached as (
    select v.channel, v.version, v.base_id
    from checkpoint c
    cross join lateral jsonb_each_text(c.versions) h
    join channel_value v on v.organization_id = $1 and v.thread_id = $2
        and v.version = h.value::uuid and v.channel = h.key
    where c.organization_id = $1 and c.thread_id = $2
    union
    select v.channel, v.version, v.base_id
    from reached r
    join channel_value v on v.organization_id = $1 and v.thread_id = $2
        and v.version = r.base_id and v.channel = r.channel
), gone as (
    delete from channel_value where ctid = any(array(
        select ctid from channel_value v where organization_id = $1 and thread_id = $2
            and (v.version, v.channel) not in (select version, channel from reached)
        limit {BATCH["channel_value"]}))
    returning 1
)
select count(*) from gone
"""

FORGET = """
with old as materialized (
    select checkpoint_id from checkpoint
    where organization_id = $1 and thread_id = $2 and metadata ->> 'run_id' = any($3::text[])
), writes as (
    delete from step_write where organization_id = $1 and thread_id = $2
        and checkpoint_id in (select checkpoint_id from old)
), effects as (
    delete from effect where organization_id = $1 and thread_id = $2
        and (checkpoint_id in (select checkpoint_id from old) or checkpoint_id::text = any($3))
), gone as (
    delete from checkpoint where organization_id = $1 and thread_id = $2
        and checkpoint_id in (select checkpoint_id from old)
)
update thread set checkpoint_id = (
    select checkpoint_id from checkpoint
    where organization_id = $1 and thread_id = $2 and ns = ''
        and checkpoint_id not in (select checkpoint_id from old)
    order by checkpoint_id desc limit 1)
where organization_id = $1 and thread_id = $2 and checkpoint_id in (select checkpoint_id from old)
"""


async def forget(
    conn: Connection, organization_id: str, thread_id: str, run_ids: Sequence[str]
) -> None:
    """Drop what these runs have made of a thread's history. Lock the thread before."""
    await conn.execute(FORGET, organization_id, thread_id, run_ids)
    while await conn.fetchval(DROP_PARTS, organization_id, thread_id):
        pass


# A run that is deleted later leaves the thread without a state, not with a pointer to nowhere.
BEHEAD = """
with k as (
    update checkpoint set parent_id = null
    where organization_id = $1 and thread_id = $2 and parent_id is not null
), r as (
    update run set base_id = null
    where organization_id = $1 and thread_id = $2 and base_id <> $3
)
update thread set expires_at = now() + make_interval(secs => 60 * ttl_minutes)
where organization_id = $1 and thread_id = $2
    and ttl_strategy = 'keep_latest' and expires_at < now()
"""


async def prune(conn: Connection, organization_id: str, thread_id: str) -> bool:
    """Keep a thread's head, its subgraphs' heads and the parts that they reach; nothing before.

    False where there is no such thread, or it has open runs. A run that comes between two batches
    ends it early: it builds on the head, which stays.
    """
    batch = await _prune_batch(conn, organization_id, thread_id)
    while batch == "more":
        if await _prune_batch(conn, organization_id, thread_id) != "more":
            break
    return batch != "busy"


async def _prune_batch(
    conn: Connection, organization_id: str, thread_id: str, *, lock: str = LOCK_IDLE
) -> Literal["busy", "more", "done"]:
    thread = (organization_id, thread_id)
    async with conn.transaction():
        idle = await conn.fetchrow(lock, *thread)
        if idle is None:
            return "busy"
        head = idle["checkpoint_id"]
        if head is not None and await conn.fetchval(CUT, *thread, head):
            return "more"
        if await conn.fetchval(DROP_PARTS, *thread):
            return "more"
        await conn.execute(BEHEAD, *thread, head)
        return "done"
