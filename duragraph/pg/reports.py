"""What workers report: fenced, numbered and recorded in one statement for a whole batch."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal, TypeAlias

import attrs

from duragraph import codec, usage
from duragraph.pg import Connection
from duragraph.protocol import LEASE_SECONDS, Checkpoint, Frame, Report, RunKind, Scheduled

_STATUS = {
    "success": "success",
    "error": "error",
    "timeout": "timeout",
    "released": "pending",
    "waiting": "running",
}


@attrs.frozen
class Reported:
    """A report as its worker sent it."""

    worker_id: str
    report: Report


@attrs.frozen
class Recorded:
    """`last_seq` numbers the report's last frame; `open_runs` is set when the run ended.

    `tied`: it has waited, has child runs or is one, so that its end may concern other runs.
    """

    run_id: str
    organization_id: str
    thread_id: str
    kind: RunKind
    ms: int
    last_seq: int
    tied: bool
    open_runs: int | None


# The fence names no status: that would walk the partial index of all active runs. The
# finishing report bumps the epoch and keeps its own number, so that a resend is a duplicate.
# One that waits stays active, without a worker; the leases that it lost before are forgiven.
# One given back before its first frame has not begun: a worker of any version may begin it.
# Who is `apart`, an update or a run that was refused, leaves its thread as it was when it fails.
RECORD = f"""
with x as materialized (
    select * from unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::bytea[],
        $7::text[], $8::json[], $9::text[], $10::bool[], $11::json[], $12::uuid[], $45::bool[],
        $51::jsonb[])
    as x(run_id, worker_id, epoch, batch, n, frames, outcome, error, trace, interrupted,
        interrupts, head_id, refused, usage)
), locked as materialized (
    select t.thread_id
    from x join run using (run_id) join thread t using (organization_id, thread_id)
    where x.outcome is not null or x.head_id is not null
    order by t.thread_id for update of t
), ok as (
    update run r set
        last_seq = r.last_seq + x.n,
        last_batch = x.batch,
        lease_until = case when x.outcome is null then now() + interval '{LEASE_SECONDS} s' end,
        status = coalesce(x.outcome, r.status),
        active = x.outcome is null or x.outcome in ('pending', 'running'),
        worker_id = case when x.outcome = 'running' then null else r.worker_id end,
        epoch = r.epoch + (x.outcome is not null)::int,
        graph_version = case when x.outcome = 'pending' and r.last_seq + x.n = 0 then null
            else r.graph_version end,
        attempt = case x.outcome when 'running' then 0 when 'pending' then r.attempt - 1
            else r.attempt end,
        finished_epoch = case when x.outcome is null then r.finished_epoch else x.epoch end,
        finished_batch = case when x.outcome is null then r.finished_batch else x.batch end,
        asked = x.interrupts::text <> '{{}}',
        error = x.error,
        trace = x.trace,
        usage = case when x.usage is null then r.usage else added(r.usage, x.usage) end,
        updated_at = case when x.outcome is null then r.updated_at else clock_timestamp() end
    from x
    where (select count(*) from locked) >= 0
        and r.run_id = x.run_id and r.epoch = x.epoch and r.last_batch = x.batch - 1
        and r.worker_id = x.worker_id and r.lease_until is not null
    returning r.run_id, r.organization_id, r.thread_id, r.kind, r.ms, r.last_seq, r.on_completion,
        r.tied, x.n, x.frames, x.outcome, x.error, x.interrupted, x.interrupts, x.head_id,
        x.refused or r.kind <> 'run' as apart
), ev as (
    insert into event (run_id, seq, organization_id, n, frames)
    select run_id, last_seq, organization_id, n, frames from ok where n > 0
), ck as (
    insert into checkpoint (organization_id, thread_id, run_id, checkpoint_id, parent_id, root_id,
        ns, source, step, next, tasks, metadata, versions, opaque, created_at)
    select ok.organization_id, ok.thread_id, ok.run_id, c.checkpoint_id, c.parent_id, c.root_id,
        c.ns, c.source, c.step, c.next::text[], c.tasks, c.metadata, c.versions, c.opaque,
        c.created_at
    from unnest($13::uuid[], $14::uuid[], $15::uuid[], $16::uuid[], $17::text[], $18::text[],
        $19::int[], $20::text[], $21::json[], $22::json[], $23::jsonb[], $24::bytea[], $25::text[])
    as c(run_id, checkpoint_id, parent_id, root_id, ns, source, step, next, tasks, metadata,
        versions, opaque, created_at)
    join ok using (run_id)
), sc as (
    update checkpoint c set
        next = s.next::text[], tasks = s.tasks, versions = c.versions || s.versions
    from unnest($46::uuid[], $47::uuid[], $48::text[], $49::json[], $50::jsonb[])
        as s(run_id, checkpoint_id, next, tasks, versions) join ok using (run_id)
    where c.organization_id = ok.organization_id and c.thread_id = ok.thread_id
        and c.checkpoint_id = s.checkpoint_id
), cv as (
    insert into channel_value (organization_id, thread_id, channel, version, base_id, depth,
        value, codec)
    select ok.organization_id, ok.thread_id, c.channel, c.version, c.base_id, c.depth, c.value,
        c.codec
    from unnest($26::uuid[], $27::text[], $28::uuid[], $29::uuid[], $30::int[], $31::json[],
        $32::bytea[])
    as c(run_id, channel, version, base_id, depth, value, codec) join ok using (run_id)
), sw as (
    insert into step_write (organization_id, thread_id, run_id, checkpoint_id, ns, task_id,
        result, error, interrupts, opaque)
    select ok.organization_id, ok.thread_id, ok.run_id, w.checkpoint_id, w.ns, w.task_id,
        w.result, w.error, w.interrupts, w.opaque
    from unnest($33::uuid[], $34::uuid[], $35::text[], $36::text[], $37::json[], $38::text[],
        $39::json[], $40::bytea[])
    as w(run_id, checkpoint_id, ns, task_id, result, error, interrupts, opaque)
    join ok using (run_id)
    on conflict (organization_id, thread_id, checkpoint_id, task_id) do update set
        run_id = excluded.run_id, result = excluded.result, error = excluded.error,
        interrupts = excluded.interrupts, opaque = excluded.opaque,
        before = case when step_write.run_id = excluded.run_id then step_write.before
            else row_to_json(step_write) end
), ef as (
    insert into effect (organization_id, thread_id, checkpoint_id, key, result)
    select ok.organization_id, ok.thread_id, e.checkpoint_id, e.key, e.result
    from unnest($41::uuid[], $42::uuid[], $43::text[], $44::json[])
    as e(run_id, checkpoint_id, key, result)
    join ok using (run_id)
    on conflict do nothing
), th as (
    update thread t set
        checkpoint_id = coalesce(ok.head_id, t.checkpoint_id),
        state_updated_at = case when ok.head_id is null then t.state_updated_at
            else clock_timestamp() end,
        open_runs = t.open_runs - done::int,
        active_run_id = case when done then null else t.active_run_id end,
        status = case
            when not done or t.open_runs > 1 then t.status
            when ok.outcome <> 'success' and not ok.apart then 'error'
            when ok.interrupted then 'interrupted'
            when ok.outcome <> 'success' then case
                when t.error is not null then 'error'
                when exists (select from checkpoint c where c.organization_id = t.organization_id
                    and c.thread_id = t.thread_id and c.checkpoint_id = t.checkpoint_id
                    and c.next <> '{{}}') then 'interrupted'
                else 'idle' end
            else 'idle' end,
        error = case when done and (not ok.apart or ok.outcome = 'success') then ok.error
            else t.error end,
        interrupts = case when done and ok.outcome = 'success' then ok.interrupts
            else t.interrupts end,
        erase_at = case when done and t.temporary and t.open_runs = 1
            then now() + interval '5 min' end,
        updated_at = case when done then clock_timestamp() else t.updated_at end
    from (select *, coalesce(outcome not in ('pending', 'running'), false) as done from ok) ok
    where t.organization_id = ok.organization_id and t.thread_id = ok.thread_id
        and (done or ok.head_id is not null)
    returning ok.run_id, done, t.open_runs
)
select ok.run_id, ok.organization_id, ok.thread_id, ok.kind, ok.ms, ok.last_seq, ok.tied,
    case when th.done then th.open_runs end as open_runs
from ok left join th using (run_id)
"""


async def record(conn: Connection, batch: Sequence[Reported]) -> dict[str, Recorded]:
    """Record what passes the fence, at most one report a run and a thread; by run id.

    Raises Invalid when a value of any of them can't be stored: then nothing is.
    """
    # Rows are locked as they stand here, and a worker may repeat itself on another plane.
    batch = sorted(batch, key=lambda reported: reported.report.run_id)
    reports = [b.report for b in batch]
    records = await conn.fetch(
        RECORD,
        [r.run_id for r in reports],
        [b.worker_id for b in batch],
        [r.epoch for r in reports],
        [r.batch for r in reports],
        [len(r.frames) for r in reports],
        [lines(r.frames) for r in reports],
        [r.outcome and _STATUS[r.outcome.status] for r in reports],
        [r.outcome and r.outcome.error for r in reports],
        [r.outcome and _text(r.outcome.trace) for r in reports],
        [r.outcome is not None and r.outcome.interrupted for r in reports],
        [b"{}" if r.outcome is None else r.outcome.interrupts for r in reports],
        [_head(r.checkpoints) for r in reports],
        *_columns(13, chain.from_iterable(map(_checkpoints, reports))),
        *_columns(7, chain.from_iterable(map(_channels, reports))),
        *_columns(8, chain.from_iterable(map(_writes, reports))),
        *_columns(4, chain.from_iterable(map(_effects, reports))),
        [r.outcome is not None and r.outcome.refused for r in reports],
        *_columns(5, chain.from_iterable(map(_scheduled, reports))),
        [_usage(r) if r.usages else None for r in reports],
    )
    return {r["run_id"]: Recorded(*r) for r in records}


def lines(frames: Iterable[Frame]) -> bytes:
    """The `event.frames` column."""
    return b"\n".join(
        f.event.encode()
        + b"\t"
        + (f.data if f.checkpoint_id is None else b"@" + f.checkpoint_id.encode())
        for f in frames
    )


Judged: TypeAlias = tuple[Literal["accepted", "fenced", "cancelled", "gap"], int]
"""A verdict, and the batch expected next."""

JUDGE = """
select r.run_id, r.epoch, r.worker_id, r.status, r.last_batch, r.finished_epoch, r.finished_batch,
    r.lease_until is not null as leased
from run r where r.run_id = any($1::uuid[])
"""


async def judge(conn: Connection, refused: Sequence[Reported]) -> dict[str, Judged]:
    """Why the fence held these reports back; by run id."""
    found = {r["run_id"]: r for r in await conn.fetch(JUDGE, [b.report.run_id for b in refused])}
    verdicts: dict[str, Judged] = {}
    for b in refused:
        run, sent = found.get(b.report.run_id), b.report
        if run is None:
            verdicts[sent.run_id] = ("fenced", 0)
        elif run["finished_epoch"] == sent.epoch and run["finished_batch"] >= sent.batch:
            verdicts[sent.run_id] = ("accepted", 0)
        elif run["leased"] and (run["epoch"], run["worker_id"]) == (sent.epoch, b.worker_id):
            seen = sent.batch <= run["last_batch"]
            verdicts[sent.run_id] = ("accepted" if seen else "gap", run["last_batch"] + 1)
        else:
            verdicts[sent.run_id] = ("cancelled" if run["status"] == "interrupted" else "fenced", 0)
    return verdicts


def _head(checkpoints: Sequence[Checkpoint]) -> str | None:
    return next((c.checkpoint_id for c in reversed(checkpoints) if c.ns == ""), None)


def _columns(width: int, table: Iterable[tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    return list(zip(*table, strict=True)) or [()] * width


def _checkpoints(report: Report) -> Iterable[tuple[Any, ...]]:
    for c in report.checkpoints:
        yield (
            report.run_id, c.checkpoint_id, c.parent_id, c.root_id, c.ns, c.source, c.step,
            _text_array(c.next), c.tasks, c.metadata, codec.dumps(c.versions), c.opaque,
            c.created_at,
        )  # fmt: skip


def _scheduled(report: Report) -> Iterable[tuple[Any, ...]]:
    # Of two for one checkpoint in a batch the last counts; both have all the channels.
    for s in {s.checkpoint_id: s for s in report.scheduled}.values():
        versions = {w.channel: s.checkpoint_id for w in s.channels}
        yield (
            report.run_id, s.checkpoint_id, _text_array(s.next), s.tasks, codec.dumps(versions),
        )  # fmt: skip


def _channels(report: Report) -> Iterable[tuple[Any, ...]]:
    for c in chain[Checkpoint | Scheduled](report.checkpoints, report.scheduled):
        for w in c.channels:
            yield (report.run_id, w.channel, c.checkpoint_id, w.base_id, w.depth, w.value, w.codec)


def _writes(report: Report) -> Iterable[tuple[Any, ...]]:
    # One statement can't write a row twice: of a task's writes in a batch the last counts.
    for w in {(w.checkpoint_id, w.task_id): w for w in report.writes}.values():
        yield (
            report.run_id, w.checkpoint_id, w.ns, w.task_id, w.result, _text(w.error),
            w.interrupts, w.opaque,
        )  # fmt: skip


def _effects(report: Report) -> Iterable[tuple[Any, ...]]:
    for e in report.effects:
        yield (report.run_id, e.checkpoint_id, e.key, e.result)


def _usage(report: Report) -> bytes:
    return codec.storable(usage.dumps(usage.totals(report.usages)))


def _text(words: str | None) -> str | None:
    """A user's own words: NUL, which PostgreSQL can't hold, does not cost them."""
    return words and words.replace("\0", "\ufffd")


def _text_array(names: Iterable[str]) -> str:
    """As a literal: PostgreSQL has no ragged arrays to unnest."""
    quoted = ('"' + n.replace("\\", "\\\\").replace('"', '\\"') + '"' for n in names)
    return "{" + ",".join(quoted) + "}"
