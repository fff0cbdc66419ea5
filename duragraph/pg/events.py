"""The event log, read back. `reports.py` writes it."""

import time
from collections.abc import Sequence
from uuid import UUID

import attrs
from msgspec import Raw

from duragraph.models import RunStatus
from duragraph.pg import Connection

BATCHES_A_READ = 100


@attrs.frozen
class Stored:
    """One recorded batch: `frames` are `(event, data)`, numbered up to `last_seq`."""

    last_seq: int
    frames: list[tuple[str, bytes]]


@attrs.frozen
class Progress:
    """How far a run is. `ms` begins its event ids; 0 until it becomes active."""

    run_id: str
    status: RunStatus
    ms: int
    last_seq: int
    error: Raw | None


AFTER = """
select e.seq, e.frames, r.organization_id, r.thread_id
from event e join run r using (run_id)
where e.run_id = $1 and e.seq > $2
order by e.seq limit $3
"""

VALUES_OF = """
select checkpoint_id, fold(organization_id, thread_id, versions) as values
from checkpoint where organization_id = $1 and thread_id = $2 and checkpoint_id = any($3::uuid[])
"""


async def after(conn: Connection, run_id: str, seq: int) -> list[Stored]:
    """Batches with a frame above `seq`, oldest first, at most BATCHES_A_READ.

    A frame recorded as a reference gets its checkpoint's values; where those are erased, `{}`.
    """
    records = await conn.fetch(AFTER, run_id, seq, BATCHES_A_READ)
    parsed = [(r["seq"], _split(r["frames"])) for r in records]
    ids = {data[1:].decode() for _, frames in parsed for _, data in frames if data[:1] == b"@"}
    if not ids:
        return [Stored(last, frames) for last, frames in parsed]
    values = await conn.fetch(
        VALUES_OF, records[0]["organization_id"], records[0]["thread_id"], list(ids)
    )
    folded = {b"@" + r["checkpoint_id"].encode(): bytes(r["values"]) for r in values}
    return [
        Stored(
            last,
            [(e, folded.get(d, b"{}") if d[:1] == b"@" else d) for e, d in frames],
        )
        for last, frames in parsed
    ]


PROGRESS = "select run_id, status, ms, last_seq, error from run where run_id = any($1::uuid[])"


async def progress(conn: Connection, run_ids: Sequence[str]) -> dict[str, Progress]:
    """By run id; a run that was erased is absent."""
    return {r["run_id"]: Progress(*r) for r in await conn.fetch(PROGRESS, run_ids)}


# Partitions are made ahead, by week of the run id's own time. Only the tables' owner may.
PARTITION = """
create table if not exists event_{week} partition of event for values from ('{low}') to ('{high}')
"""
TAKE_TURN = "select pg_advisory_xact_lock('event'::regclass::bigint)"
WEEK_MS = 7 * 24 * 3600 * 1000
WEEKS_AHEAD = 2


async def partition_ahead(conn: Connection) -> None:
    """The partitions of the next weeks, unless they are there.

    Not this week's: ids of it may stand in the default partition by now.
    """
    this_week = time.time_ns() // 1_000_000 // WEEK_MS
    async with conn.transaction():
        await conn.execute("set local role none")
        await conn.execute(TAKE_TURN)
        for week in range(this_week + 1, this_week + 1 + WEEKS_AHEAD):
            low, high = (UUID(int=w * WEEK_MS << 80) for w in (week, week + 1))
            await conn.execute(PARTITION.format(week=week, low=low, high=high))


def _split(frames: bytes) -> list[tuple[str, bytes]]:
    split = (line.partition(b"\t") for line in frames.split(b"\n"))
    return [(event.decode(), data) for event, _, data in split]
