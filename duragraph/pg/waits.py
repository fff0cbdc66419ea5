"""What runs wait for: sleeps, signals and child runs, and the wake-up when one is over.

A wait that is over is due. The wake-up alone makes an effect of it and the run claimable, in one
statement. It locks runs before waits, as reports do, and skips runs that others hold.
"""

from collections.abc import Iterable, Sequence

import attrs

from duragraph.errors import NotFound
from duragraph.models import Json
from duragraph.pg import Connection, rows
from duragraph.waiting import TIMED_OUT, StartChild, Wait

MOST_WOKEN = 500
"""Waits a wake-up; there is always a next one."""
MOST_KEPT = 1000
"""Signals that a run keeps until it asks for them."""

# What was over before, or is no child of the run, is due at once. A wait that is told again stays
# as it was, unless what it waits for has come meanwhile. A kept signal goes to all that ask for it
# here, as one does that comes while they wait.
TELL = f"""
with x as materialized (
    select r.organization_id, r.thread_id, x.*
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::float8[], $6::text[])
        as x(run_id, checkpoint_id, key, kind, seconds, name)
    join run r using (run_id)
), tied as (
    update run set tied = true where run_id in (select run_id from x) and not tied
), dropped as (
    delete from wait w where w.run_id in (select run_id from x) and w.child_id is null
        and (w.run_id, w.checkpoint_id, w.key) not in (select run_id, checkpoint_id, key from x)
), known as (
    select x.*, e.key is not null as is_over, e.result, s.signal_id, s.payload
    from x
    left join lateral (
        select e.key, case when e.key = x.key then e.result end as result from effect e
        where e.organization_id = x.organization_id and e.thread_id = x.thread_id
            and e.checkpoint_id = x.checkpoint_id and e.key in (x.key, x.key || '{TIMED_OUT}')
        limit 1
    ) e on true
    left join lateral (
        select signal_id, payload from signal s
        where e.key is null and x.kind = 'signal' and s.run_id = x.run_id and s.name = x.name
        order by signal_id limit 1
    ) s on true
), taken as (
    delete from signal where signal_id in (select signal_id from known)
)
insert into wait as w (organization_id, thread_id, run_id, checkpoint_id, key, kind, name, due_at,
    result)
select organization_id, thread_id, run_id, checkpoint_id, key, kind, name,
    case when is_over or signal_id is not null or kind = 'run' then now()
        else now() + make_interval(secs => seconds) end,
    coalesce(result, payload, case when kind = 'run' and not is_over then $7::json end)
from known
on conflict (run_id, checkpoint_id, key) do update set
    due_at = now(), result = case when w.kind = 'run' then w.result else excluded.result end
where case when w.kind = 'run' then w.result else excluded.result end is not null
returning run_id, due_at <= now()
"""

NO_CHILD = (
    b'{"status":"error","output":null,'
    b'"error":{"error":"NoSuchRun","message":"The run has no such child run."}}'
)


async def tell(conn: Connection, told: Iterable[tuple[str, Wait]]) -> int:
    """What runs wait for that gave their leases back in this transaction, by run id.

    Wakes those for which something is over already; returns how many.
    """
    columns = [(run_id, w.checkpoint_id, w.key, w.kind, w.seconds, w.name) for run_id, w in told]
    records = await conn.fetch(TELL, *zip(*columns, strict=True), NO_CHILD)
    over = sorted({run_id for run_id, is_over in records if is_over})
    return await wake(conn, over) if over else 0


_WAKE = f"""
with r as materialized (
    select run_id from run
    where run_id in (
        select run_id from wait where due_at <= now() {{of}} order by due_at limit {MOST_WOKEN})
    order by run_id for update skip locked
), gone as (
    delete from wait w using r
    where w.run_id = r.run_id and w.due_at <= now() and w.kind <> 'run' returning w.*
), told as (
    update wait w set due_at = null from r
    where w.run_id = r.run_id and w.due_at <= now() and w.kind = 'run' returning w.*
), over as (
    select * from gone union all select * from told
), effects as (
    insert into effect (organization_id, thread_id, checkpoint_id, key, result)
    select organization_id, thread_id, checkpoint_id,
        case when kind = 'signal' and result is null then key || '{TIMED_OUT}' else key end,
        coalesce(result, 'null')
    from over
    on conflict do nothing
)
update run r set status = 'pending', updated_at = clock_timestamp()
where r.run_id in (select run_id from over) and r.status = 'running' and r.worker_id is null
returning r.run_id
"""
WAKE = _WAKE.format(of="")
WAKE_SOME = _WAKE.format(of="and run_id = any($1::uuid[])")


async def wake(conn: Connection, run_ids: Sequence[str] | None = None) -> int:
    """Whatever is due, of these runs or of the first of all; returns how many are claimable now."""
    if run_ids is None:
        return len(await conn.fetch(WAKE))
    return len(await conn.fetch(WAKE_SOME, run_ids))


THERE = "select from thread where organization_id = $1 and thread_id = $2 and erase_at is null"

# Between two runs, or where all are to run later, the next one takes it. Its lock keeps away who
# ends it, or reports what it waits for.
RECEIVER = """
select run_id, lease_until is null as free from run
where organization_id = $1 and thread_id = $2 and kind = 'run'
    and (active or status = 'pending' and not active) -- as two indexes have them
order by active desc, coalesce(not_before, created_at), run_id limit 1
for update
"""

# What a worker does meanwhile may have nothing to do with what it waited for before.
DELIVER = """
update wait set due_at = now(), result = $3
where run_id = $1 and kind = 'signal' and name = $2 and (due_at is null or due_at > now())
"""

KEEP = """
with tied as (
    update run set tied = true where run_id = $3 and not tied
)
insert into signal (organization_id, thread_id, run_id, name, payload)
select $1, $2, $3, $4, $5 where (select count(*) from signal where run_id = $3) < $6
"""


@attrs.frozen
class Receiver:
    """The run that took a signal, or would have; not `taken`: it has kept too many already."""

    run_id: str
    taken: bool


async def signal(
    conn: Connection, organization_id: str, thread_id: str, *, name: str, payload: Json
) -> Receiver | None:
    """Give it to the thread's open run: to what waits there for it, else for later.

    None without one. Must run in a transaction. Raises NotFound.
    """
    if not await conn.fetch(THERE, organization_id, thread_id):
        raise NotFound(f"Thread with ID {thread_id} not found")
    of = organization_id, thread_id
    # The first may have ended while we waited for its lock: who is next then takes it.
    run = await conn.fetchrow(RECEIVER, *of) or await conn.fetchrow(RECEIVER, *of)
    if run is None:
        return None
    run_id = run["run_id"]
    if run["free"] and rows(await conn.execute(DELIVER, run_id, name, payload)):
        await wake(conn, [run_id])
        return Receiver(run_id, taken=True)
    kept = rows(await conn.execute(KEEP, *of, run_id, name, payload, MOST_KEPT))
    return Receiver(run_id, taken=bool(kept))


CHILD = """
select child_id, child_thread_id from wait
where run_id = $1 and checkpoint_id = $2 and key = $3
"""


async def child(conn: Connection, start: StartChild) -> tuple[str, str] | None:
    """Run and thread of the child that was started before."""
    record = await conn.fetchrow(CHILD, start.run_id, start.checkpoint_id, start.key)
    return None if record is None else (record["child_id"], record["child_thread_id"])


PARENT = """
select t.metadata, json_strip_nulls(json_build_object(
    'langgraph_auth_user', c.configurable -> 'langgraph_auth_user',
    'langgraph_auth_user_id', c.configurable -> 'langgraph_auth_user_id',
    'langgraph_auth_permissions', c.configurable -> 'langgraph_auth_permissions')) as asker
from run r join thread t using (organization_id, thread_id)
cross join lateral (select r.kwargs #> '{config,configurable}' as configurable) c
where r.run_id = $1
"""


@attrs.frozen
class Parent:
    """`asker` is the user in whose name it runs; `{}` without one."""

    thread_metadata: Json
    asker: Json


async def parent(conn: Connection, run_id: str) -> Parent:
    """What a child is told of the run that starts it."""
    record = await conn.fetchrow(PARENT, run_id)
    assert record is not None
    return Parent(*record)


TIE = """
with tied as (
    update run set tied = true where run_id in ($1, $4) and not tied
)
insert into wait (organization_id, thread_id, run_id, checkpoint_id, key, kind, child_id,
    child_thread_id)
select organization_id, thread_id, run_id, $2, $3, 'run', $4, $5 from run where run_id = $1
"""


async def tie(conn: Connection, start: StartChild, *, run_id: str, thread_id: str) -> None:
    """Make a run the child that was asked for, in the transaction that creates it."""
    await conn.execute(TIE, start.run_id, start.checkpoint_id, start.key, run_id, thread_id)


NEXT_DUE = """
select extract(epoch from min(due_at) - clock_timestamp())::float8 from wait
"""


async def next_due(conn: Connection) -> float | None:
    """Seconds until the first wait is over by itself, below 0 for what waits for its wake-up."""
    seconds: float | None = await conn.fetchval(NEXT_DUE)
    return seconds


ABANDONED = """
select c.organization_id, c.thread_id, c.run_id from wait w join run c on c.run_id = w.child_id
where w.abandoned and c.status in ('pending', 'running')
order by c.organization_id, w.child_id limit 100
"""


async def abandoned(conn: Connection) -> list[tuple[str, str, str]]:
    """(organization, thread, run) of open child runs whose parents have ended."""
    records = await conn.fetch(ABANDONED)
    return [(r["organization_id"], r["thread_id"], r["run_id"]) for r in records]
