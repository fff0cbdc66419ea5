"""The event log's partitions: made ahead, and let go when their events are kept no longer.

One a week, by the time in the run's id. Only the tables' owner may make and drop them.
"""

import time
from uuid import UUID

from duragraph.pg import Connection

WEEK_MS = 7 * 24 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
WEEKS_AHEAD = 2
PREFIX = "event_"

OWN = "set local role none"
TAKE_TURN = "select pg_advisory_xact_lock('event'::regclass::bigint)"

MAKE = """
create table if not exists event_{week} partition of event for values from ('{low}') to ('{high}')
"""


async def make_ahead(conn: Connection) -> None:
    """The partitions of the next weeks, unless they are there.

    Not this week's: ids of it may stand in the default partition by now.
    """
    this_week = _now() // WEEK_MS
    async with conn.transaction():
        await conn.execute(OWN)
        await conn.execute(TAKE_TURN)
        for week in range(this_week + 1, this_week + 1 + WEEKS_AHEAD):
            low, high = _first(week * WEEK_MS), _first((week + 1) * WEEK_MS)
            await conn.execute(MAKE.format(week=week, low=low, high=high))


PARTITIONS = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'event'::regclass and c.relname <> 'event_default' order by c.relname
"""

# A run may end long after the week of its id: it waited, or was to start late.
HELD = """
select exists (
    select from run where run_id >= $1 and run_id < $2
        and (status in ('pending', 'running') or updated_at > now() - make_interval(days => $3)))
"""

# PostgreSQL detaches concurrently only where there is no default partition. This detaching locks
# the whole log for a moment, and whoever comes waits behind it: so it waits for the lock briefly.
THERE = "select to_regclass($1) is not null"
PATIENCE = "set local lock_timeout = '500ms'"
DETACH = "alter table event detach partition {partition}"
DROP = "drop table {partition}"


async def drop_old(conn: Connection, *, days: int) -> list[str]:
    """Drop the partitions of runs that all ended over `days` ago; returns their names.

    Raises Busy when others are at work on the log for too long.
    """
    dropped = []
    for record in await conn.fetch(PARTITIONS):
        partition = record["relname"]
        low, high = (int(partition.removeprefix(PREFIX)) + n for n in (0, 1))
        if high * WEEK_MS > _now() - days * DAY_MS:
            continue
        if await conn.fetchval(HELD, _first(low * WEEK_MS), _first(high * WEEK_MS), days):
            continue
        async with conn.transaction():
            await conn.execute(OWN)
            await conn.execute(PATIENCE)
            await conn.execute(TAKE_TURN)
            if not await conn.fetchval(THERE, partition):
                continue  # another plane was first
            await conn.execute(DETACH.format(partition=partition))
            await conn.execute(DROP.format(partition=partition))
        dropped.append(partition)
    return dropped


# What is in the default partition comes from before the others were made.
STRAY = """
select distinct run_id from (
    select run_id from event_default where run_id > $1 and run_id < $2
    order by run_id, seq limit 5000) x
order by run_id
"""
ERASE = """
delete from event_default where run_id in (
    select run_id from run where run_id = any($1::uuid[]) and status not in ('pending', 'running')
        and updated_at < now() - make_interval(days => $2))
"""


async def erase_old(conn: Connection, *, days: int) -> None:
    """The same of the default partition, some runs at a time."""
    last, end = _first(0), _first(_now() - days * DAY_MS)
    while runs := [r["run_id"] for r in await conn.fetch(STRAY, last, end)]:
        await conn.execute(ERASE, runs, days)
        last = runs[-1]


def _now() -> int:
    return time.time_ns() // 1_000_000


def _first(ms: int) -> str:
    """The least id that a run of this millisecond can have."""
    return str(UUID(int=ms << 80))
