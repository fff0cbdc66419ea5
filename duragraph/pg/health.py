"""What operators ask of the database, across tenants: is it there, how much waits, who works."""

import asyncio

import attrs

from duragraph.errors import Unavailable
from duragraph.pg import Connection, Pool, acquire

ALIVE = "select 1 as alive"
PATIENCE_SECONDS = 5.0


async def alive(pool: Pool) -> bool:
    """Whether the database answers in time."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), acquire(pool) as conn:
            await conn.fetchval(ALIVE)
    except (Unavailable, TimeoutError):
        return False
    return True


@attrs.frozen
class Load:
    """Unfinished runs of a graph by status, and the seconds since the oldest could have run.

    Those that hold no lease meanwhile are `waiting`.
    """

    graph_id: str
    status: str
    runs: int
    oldest_seconds: float


LOAD = """
select graph_id, case when status = 'running' and worker_id is null then 'waiting' else status end,
    count(*) as runs,
    greatest(0, extract(epoch from now() - min(created_at)))::float8 as oldest_seconds
from run where status in ('pending', 'running')
group by 1, 2 order by 1, 2
"""


async def load(conn: Connection) -> list[Load]:
    return [Load(*r) for r in await conn.fetch(LOAD)]


@attrs.frozen
class Waits:
    """Seconds that pending runs have waited; `unblocked` ones hold their thread's place."""

    longest: float | None
    median: float | None
    longest_unblocked: float | None


WAITS = """
select max(seconds), percentile_cont(0.5) within group (order by seconds),
    max(seconds) filter (where active)
from (
    select active, greatest(0, extract(epoch from now() - created_at))::float8 as seconds
    from run where status = 'pending'
) waiting
"""


async def waits(conn: Connection) -> Waits:
    record = await conn.fetchrow(WAITS)
    assert record is not None
    return Waits(*record)


CAPACITY = """
select coalesce(sum(slots), 0)::int from worker
where not draining and last_seen_at > now() - interval '1 min'
"""


async def capacity(conn: Connection) -> int:
    """Slots of the workers that were heard of in the last minute."""
    slots: int = await conn.fetchval(CAPACITY)
    return slots
