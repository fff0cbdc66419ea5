"""The event log, read back. `reports.py` writes it."""

from collections.abc import Sequence

import attrs

from duragraph.frames import ALL, Batch, Mark
from duragraph.models import TERMINAL, Json, RunStatus
from duragraph.pg import Connection, columns
from duragraph.protocol import RunKind
from duragraph.thread_events import RunSummary

BATCHES_A_READ = 100
BYTES_A_READ = 1 << 20
VALUES_A_READ = 8
"""A read stops with the batch that exceeds one of these: it waits in memory for its reader."""


@attrs.frozen
class Stored:
    """One recorded batch: `frames` are `(event, data)`, numbered up to `last_seq`."""

    last_seq: int
    frames: list[tuple[str, bytes]]

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.frames) + 1


@attrs.frozen
class Progress:
    """How far a run is. `ms` begins its event ids; 0 until it becomes active."""

    run_id: str
    organization_id: str
    thread_id: str
    kind: RunKind
    status: RunStatus
    ms: int
    last_seq: int
    error: Json | None
    created_at: str

    @property
    def mark(self) -> Mark:
        """Where its log stands."""
        return self.ms, ALL if self.status in TERMINAL else self.last_seq

    def batch(self, stored: Stored) -> Batch:
        return self._batch(stored.last_seq, stored.frames, None)

    def end(self) -> Batch:
        return self._batch(self.last_seq, (), self.status)

    def _batch(
        self, last_seq: int, frames: Sequence[tuple[str, bytes]], status: RunStatus | None
    ) -> Batch:
        ids = self.organization_id, self.thread_id, self.run_id
        return Batch(*ids, self.kind, self.ms, last_seq, frames, status)


AFTER = f"""
select seq, frames, organization_id, thread_id
from (
    select e.seq, e.frames, r.organization_id, r.thread_id, sum(octet_length(e.frames))
        over (order by e.seq rows between unbounded preceding and 1 preceding) as bytes_before
    from event e join run r using (run_id)
    where e.run_id = $1 and e.seq > $2
    order by e.seq limit {BATCHES_A_READ}
) x
where coalesce(bytes_before, 0) < {BYTES_A_READ}
order by seq
"""

VALUES_OF = """
select checkpoint_id, unwrap(versions, fold(organization_id, thread_id, versions)) as values
from checkpoint where organization_id = $1 and thread_id = $2 and checkpoint_id = any($3::uuid[])
"""


async def after(conn: Connection, run_id: str, seq: int) -> list[Stored]:
    """The next batches with a frame above `seq`, oldest first.

    A frame recorded as a reference gets its checkpoint's values; where those are erased, `{}`.
    """
    records = await conn.fetch(AFTER, run_id, seq)
    parsed: list[tuple[int, list[tuple[str, bytes]]]] = []
    ids: set[str] = set()
    for record in records:
        if len(ids) >= VALUES_A_READ:
            break
        frames = _split(record["frames"])
        parsed.append((record["seq"], frames))
        ids |= {data[1:].decode() for _, data in frames if data[:1] == b"@"}
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


_PROGRESS = columns(Progress)
PROGRESS = f"select {_PROGRESS} from run where run_id = any($1::uuid[])"


async def progress(conn: Connection, run_ids: Sequence[str]) -> dict[str, Progress]:
    """By run id; a run that was erased is absent."""
    return {r["run_id"]: Progress(*r) for r in await conn.fetch(PROGRESS, run_ids)}


KEPT = """
select exists (select from event where run_id = $1 and seq > $2 and seq - n <= $2)
"""


async def kept(conn: Connection, run_id: str, seq: int) -> bool:
    """Whether the log still has the run's next frame after `seq`."""
    found: bool = await conn.fetchval(KEPT, run_id, seq)
    return found


# All that became active has an `ms`, in the order of their activation. The index has the runs by
# `created_at`, which is nearly that order, so it narrows the search: clocks are set back by less.
RUNS_AFTER = f"""
select {_PROGRESS} from run
where organization_id = $1 and thread_id = $2
    and created_at >= coalesce($3::timestamptz, '-infinity') - interval '1 day'
    and ms > 0
    and (ms, last_seq + (status not in ('pending', 'running'))::int) > ($4::bigint, $5::int)
order by ms limit $6
"""
RUNS_A_READ = 100


async def runs_after(
    conn: Connection, organization_id: str, thread_id: str, mark: Mark, created_at: str | None
) -> list[Progress]:
    """The thread's runs with a frame or their end behind `mark`, in order, at most RUNS_A_READ.

    `created_at` is that of the run at `mark`, where it is known.
    """
    records = await conn.fetch(
        RUNS_AFTER, organization_id, thread_id, created_at, *mark, RUNS_A_READ
    )
    return [Progress(*r) for r in records]


STORY = """
select graph_id, status, asked, error, (extract(epoch from updated_at) * 1000)::bigint
from run where run_id = $1
"""


async def summary(conn: Connection, run_id: str) -> RunSummary | None:
    """What is to be told of a run besides its frames; None if it was erased."""
    record = await conn.fetchrow(STORY, run_id)
    return None if record is None else RunSummary(*record)


NEWEST = f"""
select {_PROGRESS} from run
where organization_id = $1 and thread_id = $2 and ms > 0 and kind = 'run' and erase_at is null
order by ms desc limit 1
"""


async def newest(conn: Connection, organization_id: str, thread_id: str) -> Progress | None:
    """The thread's run that became active last."""
    record = await conn.fetchrow(NEWEST, organization_id, thread_id)
    return None if record is None else Progress(*record)


RUN_AT = """
select max(ms) from run where organization_id = $1 and thread_id = $2 and ms between 1 and $3
"""


async def run_at(conn: Connection, organization_id: str, thread_id: str, ms: int) -> int:
    """The `ms` of the thread's last run that became active by then; 0 if there is none."""
    return await conn.fetchval(RUN_AT, organization_id, thread_id, ms) or 0


# With no active run the thread stands behind all of its last one.
MARKS = f"""
select t.organization_id, t.thread_id, t.last_ms,
    case when t.active_run_id is null then {ALL} else coalesce(r.last_seq, 0) end
from unnest($1::uuid[], $2::uuid[]) as x(organization_id, thread_id)
join thread t using (organization_id, thread_id)
left join run r on r.run_id = t.active_run_id
"""


async def marks(
    conn: Connection, threads: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Mark]:
    """Where these (organization, thread) stand; one that does not exist is absent."""
    records = await conn.fetch(MARKS, *zip(*threads, strict=True))
    return {(org, thread): (ms, seq) for org, thread, ms, seq in records}


def _split(frames: bytes) -> list[tuple[str, bytes]]:
    split = (line.partition(b"\t") for line in frames.split(b"\n"))
    return [(event.decode(), data) for event, _, data in split]
