"""Checkpoints as runs start from them. How clients see them is in `states.py`."""

from collections import defaultdict
from collections.abc import Sequence

import attrs
import msgspec
from asyncpg import Record
from msgspec import Raw

from duragraph.pg import Connection
from duragraph.protocol import CheckpointQuery, Effect, Lease, Snapshot, Write

SNAPSHOT = """
with k as (
    select c.checkpoint_id as start_id, c.*
    from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as x(organization_id, thread_id, checkpoint_id)
    join checkpoint c using (organization_id, thread_id, checkpoint_id)
), below as (
    select distinct on (k.checkpoint_id, c.ns) k.checkpoint_id as start_id, c.*
    from k join checkpoint c on c.organization_id = k.organization_id and c.thread_id = k.thread_id
        and c.root_id = k.checkpoint_id
    where $4
    order by k.checkpoint_id, c.ns, c.checkpoint_id desc
)
select k.start_id, k.organization_id, k.thread_id, k.checkpoint_id, k.ns, k.step, k.next,
    k.versions, k.opaque, k.metadata, k.created_at, k.parent_id, p.channels, p.values, p.depths,
    p.codecs,
    exists (select from step_write w where w.organization_id = k.organization_id
        and w.thread_id = k.thread_id and w.checkpoint_id = k.checkpoint_id)
    or exists (select from effect e where e.organization_id = k.organization_id
        and e.thread_id = k.thread_id and e.checkpoint_id = k.checkpoint_id) as begun
from (select * from k union all select * from below) k
left join lateral (
    select array_agg(v.channel) as channels, array_agg(v.value) as values,
        array_agg(v.depth) as depths, array_agg(v.codec) as codecs
    from jsonb_each_text(k.versions) h
    cross join lateral (
        select * from channel_value v
        where v.organization_id = k.organization_id and v.thread_id = k.thread_id
            and v.version = h.value::uuid and v.channel = h.key
        offset 0
    ) v
) p on true
"""

# The channels that are more than one part.
FOLD = "select fold($1, $2, $3)"

# Where one part lacks its codec, the others restore another value: then the JSON must do.
CODECS = """
select channel, array_agg(codec order by depth) as codecs
from parts_of($1, $2, $3) group by channel having bool_and(codec is not null)
"""

WRITES = """
select w.checkpoint_id, w.ns, w.task_id, w.result, w.error, w.interrupts, w.opaque
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as x(organization_id, thread_id, checkpoint_id)
join step_write w using (organization_id, thread_id, checkpoint_id)
"""

EFFECTS = """
select e.checkpoint_id, e.key, e.result
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as x(organization_id, thread_id, checkpoint_id)
join effect e using (organization_id, thread_id, checkpoint_id)
"""

Address = tuple[str, str, str]
"""Organization, thread and checkpoint."""


async def snapshots(
    conn: Connection, addresses: Sequence[Address], *, below: bool = True
) -> dict[str, tuple[Snapshot, list[Effect]]]:
    """By checkpoint id: all that a run needs to start there, and the effects recorded there.

    Without `below` the checkpoints of subgraphs are left out.
    """
    found = await conn.fetch(SNAPSHOT, *_columns(addresses), below)
    begun = [
        (r["organization_id"], r["thread_id"], r["checkpoint_id"]) for r in found if r["begun"]
    ]
    writes: defaultdict[str, list[Write]] = defaultdict(list)
    effects: defaultdict[str, list[Effect]] = defaultdict(list)
    if begun:
        for r in await conn.fetch(WRITES, *_columns(begun)):
            writes[r["checkpoint_id"]].append(_write(r))
        for r in await conn.fetch(EFFECTS, *_columns(begun)):
            effects[r["checkpoint_id"]].append(_effect(r))
    by_start: defaultdict[str, list[Record]] = defaultdict(list)
    for r in found:
        by_start[r["start_id"]].append(r)
    folded = {r["checkpoint_id"]: await _fold(conn, r) for r in found if any(r["depths"] or ())}

    def made(r: Record, children: list[Snapshot]) -> Snapshot:
        at = r["checkpoint_id"]
        return _snapshot(r, folded.get(at, _NOTHING), writes=writes[at], children=children)

    return {
        start_id: (
            made(
                next(r for r in group if r["checkpoint_id"] == start_id),
                [made(r, []) for r in group if r["checkpoint_id"] != start_id],
            ),
            [e for r in group for e in effects[r["checkpoint_id"]]],
        )
        for start_id, group in by_start.items()
    }


async def memos(conn: Connection, runs: Sequence[Address]) -> dict[str, list[Effect]]:
    """By run id: the effects recorded under runs themselves, addressed as their checkpoints are."""
    found: defaultdict[str, list[Effect]] = defaultdict(list)
    for r in await conn.fetch(EFFECTS, *_columns(runs)):
        found[r["checkpoint_id"]].append(_effect(r))
    return found


def _effect(record: Record) -> Effect:
    return Effect(record["checkpoint_id"], record["key"], bytes(record["result"]))


def _write(record: Record) -> Write:
    columns = dict(record)
    for name in ("result", "interrupts"):
        if columns[name] is not None:
            columns[name] = bytes(columns[name])
    return Write(**columns)


def _columns(addresses: Sequence[Address]) -> list[tuple[str, ...]]:
    return list(zip(*addresses, strict=True))


HELD = """
select r.organization_id, r.thread_id, t.checkpoint_id
from run r join thread t using (organization_id, thread_id)
where r.run_id = $1 and r.epoch = $2 and r.worker_id = $3 and r.lease_until is not null
"""
# Nobody ends the lease before what is done under it.
HOLD = HELD + "for share of r"
LOCK = """
select from thread t join run r using (organization_id, thread_id) where r.run_id = $1
for update of t
"""

OF_THREAD = """
select organization_id, thread_id, checkpoint_id from checkpoint
where organization_id = $1 and thread_id = $2
    and ($3::text is null or ns = $3)
    and ($4::uuid is null or checkpoint_id = $4)
    and ($5::uuid is null or checkpoint_id < $5)
    and ($6::jsonb = '{}' or metadata::jsonb @> $6)
order by checkpoint_id desc limit $7
"""


async def of_run(conn: Connection, worker_id: str, query: CheckpointQuery) -> list[Snapshot] | None:
    """Those of its thread that a run asks for; None if the worker does not hold its lease."""
    held = await conn.fetchrow(HELD, query.run_id, query.epoch, worker_id)
    if held is None:
        return None
    organization_id, thread_id, head_id = held
    if query == CheckpointQuery(query.run_id, query.epoch):
        addresses = [] if head_id is None else [(organization_id, thread_id, head_id)]
    else:
        addresses = await conn.fetch(
            OF_THREAD, organization_id, thread_id, query.ns, query.checkpoint_id, query.before,
            query.metadata, query.limit,
        )  # fmt: skip
    if not addresses:
        return []
    found = await snapshots(conn, [tuple(a) for a in addresses], below=False)
    return [found[a[2]][0] for a in addresses if a[2] in found]


async def hold(conn: Connection, worker_id: str, lease: Lease) -> tuple[str, str] | None:
    """Keep a lease to the transaction's end, and its thread; None if the worker has lost it.

    Returns organization and thread.
    """
    await conn.execute(LOCK, lease.run_id)
    held = await conn.fetchrow(HOLD, lease.run_id, lease.epoch, worker_id)
    return None if held is None else (held["organization_id"], held["thread_id"])


@attrs.frozen
class _Whole:
    """The channels that are more than one part."""

    values: dict[str, bytes] = attrs.field(factory=dict)
    codecs: dict[str, list[bytes]] = attrs.field(factory=dict)


_NOTHING = _Whole()


async def _fold(conn: Connection, r: Record) -> _Whole:
    versions = msgspec.json.decode(r["versions"], type=dict[str, str])
    heads = list(zip(r["channels"], r["depths"], r["codecs"], strict=True))
    long = {c: versions[c] for c, depth, _ in heads if depth}
    coded = {c: versions[c] for c, depth, codec in heads if depth and codec is not None}
    at = r["organization_id"], r["thread_id"]
    whole = await conn.fetchval(FOLD, *at, msgspec.json.encode(long))
    values = {c: bytes(v) for c, v in msgspec.json.decode(whole, type=dict[str, Raw]).items()}
    if not coded:
        return _Whole(values)
    found = await conn.fetch(CODECS, *at, msgspec.json.encode(coded))
    return _Whole(values, dict(found))


def _snapshot(
    r: Record, whole: _Whole, *, writes: list[Write], children: list[Snapshot]
) -> Snapshot:
    channels = r["channels"] or ()
    values = {c: bytes(v) for c, v in zip(channels, r["values"] or (), strict=True)}
    parts = zip(channels, r["depths"] or (), r["codecs"] or (), strict=True)
    codecs = {c: [v] for c, depth, v in parts if v is not None and not depth}
    return Snapshot(
        checkpoint_id=r["checkpoint_id"],
        ns=r["ns"],
        step=r["step"],
        next=r["next"],
        values=values | whole.values,
        versions=msgspec.json.decode(r["versions"]),
        depths={c: d for c, d in zip(channels, r["depths"] or (), strict=True) if d},
        codecs=codecs | whole.codecs,
        opaque=r["opaque"],
        metadata=bytes(r["metadata"]),
        created_at=r["created_at"],
        writes=writes,
        children=children,
        parent_id=r["parent_id"],
    )
