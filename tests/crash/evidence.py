"""What the nodes did and what the database holds, judged by what clients saw."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median

import asyncpg
import attrs

from tests.crash.clients import Seen


@attrs.frozen
class Line:
    """A node's body began: a line of the side log."""

    run_id: str
    node: str
    epoch: int
    pid: int
    at: float


def side_log(path: Path) -> list[Line]:
    lines = (line.split() for line in path.read_text().splitlines())
    return [Line(run, node, int(epoch), int(pid), float(at)) for run, node, epoch, pid, at in lines]


def check_no_recorded_step_ran_again(seen: Iterable[Seen], log: Iterable[Line]) -> None:
    """A node that was recorded under one epoch never began under a later one."""
    recorded = {}
    for each in seen:
        for entry in each.trails[-1]:
            node, _, epoch = entry.partition(":")
            recorded[each.run_id, node] = int(epoch)
    again = [line for line in log if line.epoch > recorded.get((line.run_id, line.node), 1 << 30)]
    assert not again, again


def takeovers(log: Iterable[Line], killed: dict[int, float]) -> list[float]:
    """Seconds from the death of a run's worker to the first node that another began.

    An epoch grows by two a takeover, at the lease's end and at the claim: where it grew by more,
    heirs were killed before they began a node, and each counts with its share.
    """
    found = []
    for lines in _by_run(log).values():
        for before, after in pairwise(lines):
            if after.epoch > before.epoch and before.pid in killed:
                heirs = (after.epoch - before.epoch) // 2
                found.append((after.at - killed[before.pid]) / heirs)
    return found


def _by_run(log: Iterable[Line]) -> dict[str, list[Line]]:
    by_run: dict[str, list[Line]] = {}
    for line in sorted(log, key=lambda line: line.at):
        by_run.setdefault(line.run_id, []).append(line)
    return by_run


def spread(seconds: Iterable[float]) -> str:
    given = sorted(seconds)
    if not given:
        return "none"
    return f"{len(given)}: min {given[0]:.1f} median {median(given):.1f} max {given[-1]:.1f} s"


@attrs.frozen
class Lease:
    run_id: str
    worker_id: str
    epoch: int
    last_batch: int
    attempt: int


LEASES = """
    select run_id::text, worker_id::text, epoch, last_batch, attempt from run
    where run_id = any($1::text[]::uuid[])"""


async def leases_of(database_url: str, run_ids: list[str]) -> list[Lease]:
    """As the rows have them."""
    connection = await asyncpg.connect(database_url)
    try:
        return [Lease(*row) for row in await connection.fetch(LEASES, run_ids)]
    finally:
        await connection.close()


AUDIT = {
    "a run in no state that there is": """
        select r.run_id, r.status, r.active
        from run r join thread t using (organization_id, thread_id)
        where not case
            when r.status = 'pending' and r.active
                then t.active_run_id = r.run_id and r.lease_until is null
            when r.status = 'running' and r.worker_id is null
                then r.active and t.active_run_id = r.run_id and r.lease_until is null
                and exists (select from wait w where w.run_id = r.run_id and not w.abandoned
                    and (w.due_at is not null or w.kind = 'signal' or w.result is null))
            when r.status = 'running' then r.active and t.active_run_id = r.run_id
                and r.lease_until is not null
            when r.status = 'pending' then r.not_before > now() or t.active_run_id is not null
                or t.updated_at > now() - interval '5 s' -- the next sweep promotes it
            else not r.active and r.lease_until is null end""",
    "a run without its thread": """
        select run_id from run left join thread t using (organization_id, thread_id)
        where t.thread_id is null""",
    "a thread that miscounts its runs": """
        select t.thread_id, t.status, t.open_runs, t.active_run_id from thread t left join lateral (
            select count(*) as open, (array_agg(r.run_id) filter (where r.active))[1] as active_id
            from run r where (r.organization_id, r.thread_id) = (t.organization_id, t.thread_id)
                and r.status in ('pending', 'running')) o on true
        where t.open_runs <> o.open or (t.status = 'busy') <> (o.open > 0)
            or t.active_run_id is distinct from o.active_id""",
    "a wake-up that was missed": """
        select run_id, key, due_at from wait where due_at < now() - interval '5 s'""",
    "what is waited for by a run that has ended": """
        select x.run_id, x.key from (
            select run_id, key from wait where not abandoned
            union all select run_id, name from signal) x
        left join run r on r.run_id = x.run_id and r.status in ('pending', 'running')
        where r.run_id is null""",
    "a child run that ended and told nobody": """
        select w.child_id, w.abandoned from wait w
        left join run c on c.run_id = w.child_id and c.status in ('pending', 'running')
        where w.child_id is not null and w.result is null and c.run_id is null""",
    "a gap in an event log": """
        select * from (
            select run_id, seq, n, lag(seq, 1, 0) over (partition by run_id order by seq) as before
            from event) s
        where seq - n <> before""",
    "a log that ends elsewhere than its run says": """
        select r.run_id, r.last_seq, max(e.seq) from run r left join event e using (run_id)
        group by r.run_id having r.last_seq <> coalesce(max(e.seq), 0)""",
    "a state with a part missing": """
        select c.checkpoint_id, v.key from checkpoint c, jsonb_each_text(c.versions) v
        where not exists (
            select from channel_value p
            where p.thread_id = c.thread_id and p.version = v.value::uuid and p.channel = v.key)""",
    "a part without what it is appended to": """
        select c.version, c.channel from channel_value c
        where c.base_id is not null and not exists (
            select from channel_value p
            where p.thread_id = c.thread_id and p.version = c.base_id and p.channel = c.channel)""",
    "a step recorded twice": """
        select thread_id, run_id, ns, step from checkpoint where run_id is not null
        group by organization_id, thread_id, run_id, ns, step having count(*) > 1""",
    "a head that is no checkpoint": """
        select t.thread_id from thread t
        where t.checkpoint_id is not null and not exists (
            select from checkpoint c
            where c.thread_id = t.thread_id and c.checkpoint_id = t.checkpoint_id)""",
}
"""Rows of these must not exist, at any time."""

PARENTS = """
    select c.checkpoint_id from checkpoint c
    where c.parent_id is not null and not exists (
        select from checkpoint p
        where p.thread_id = c.thread_id and p.checkpoint_id = c.parent_id)"""
OPEN = "select run_id, status from run where status in ('pending', 'running')"


async def audit(database_url: str, *, deletions: bool = False) -> int:
    """Raises AssertionError for any state that must not be; returns how many runs are open.

    Where clients delete runs, with their checkpoints, those of later runs lose their parents.
    """
    queries = AUDIT if deletions else {**AUDIT, "a checkpoint without its parent": PARENTS}
    connection = await asyncpg.connect(database_url)
    try:
        for what, sql in queries.items():
            rows = await connection.fetch(sql)
            assert not rows, (what, len(rows), [dict(row) for row in rows[:3]])
        return len(await connection.fetch(OPEN))
    finally:
        await connection.close()
