"""Checkpoints as runs start from them. How clients see them is in `states.py`."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from asyncpg import Record

from duragraph.pg import Connection
from duragraph.protocol import Effect, Snapshot, Write

SNAPSHOT = """
with x as (
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as x(organization_id, thread_id, checkpoint_id)
), k as (
    select x.checkpoint_id as start_id, c.*
    from x join checkpoint c using (organization_id, thread_id, checkpoint_id)
    union all
    select * from (
        select distinct on (x.checkpoint_id, c.ns) x.checkpoint_id as start_id, c.*
        from x join checkpoint c on c.organization_id = x.organization_id and c.thread_id = x.thread_id
            and c.root_id = x.checkpoint_id
        order by x.checkpoint_id, c.ns, c.checkpoint_id desc) as child
)
select start_id, checkpoint_id, ns, step, next, versions, opaque, metadata, created_at,
    fold(organization_id, thread_id, versions) as values,
    (select coalesce(json_object_agg(v.channel, v.depth), '{}')
     from jsonb_each_text(k.versions) h join channel_value v
     on v.organization_id = k.organization_id and v.thread_id = k.thread_id
        and v.version = h.value::uuid and v.channel = h.key
     where v.depth > 0) as depths
from k
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

Place = tuple[str, str, str]
"""Organization, thread and checkpoint."""


async def snapshots(
    conn: Connection, places: Sequence[Place]
) -> dict[str, tuple[Snapshot, list[Effect]]]:
    """By checkpoint id: all that a run needs to start there, and the effects recorded there."""
    found = await conn.fetch(SNAPSHOT, *_columns(places))
    # A superstep that is over has neither writes to heed nor tasks to repeat.
    organization_of = {place[2]: place[:2] for place in places}
    open_places = [
        (*organization_of[r["start_id"]], r["checkpoint_id"]) for r in found if r["next"]
    ]
    writes: defaultdict[str, list[Write]] = defaultdict(list)
    effects: defaultdict[str, list[Effect]] = defaultdict(list)
    if open_places:
        for r in await conn.fetch(WRITES, *_columns(open_places)):
            writes[r["checkpoint_id"]].append(_write(r))
        for r in await conn.fetch(EFFECTS, *_columns(open_places)):
            effects[r["checkpoint_id"]].append(
                Effect(r["checkpoint_id"], r["key"], bytes(r["result"]))
            )
    by_start: defaultdict[str, list[Record]] = defaultdict(list)
    for r in found:
        by_start[r["start_id"]].append(r)
    return {
        start_id: (
            _snapshot(start_id, group, writes),
            [e for r in group for e in effects[r["checkpoint_id"]]],
        )
        for start_id, group in by_start.items()
    }


def _write(record: Record) -> Write:
    columns = dict(record)
    for name in ("result", "interrupts"):
        if columns[name] is not None:
            columns[name] = bytes(columns[name])
    return Write(**columns)


def _columns(places: Sequence[Place]) -> list[tuple[str, ...]]:
    return list(zip(*places, strict=True))


def _snapshot(start_id: str, group: list[Record], writes: dict[str, list[Write]]) -> Snapshot:
    def one(r: Record, children: list[Snapshot]) -> Snapshot:
        folded = msgspec.json.decode(r["values"], type=dict[str, msgspec.Raw])
        return Snapshot(
            checkpoint_id=r["checkpoint_id"],
            ns=r["ns"],
            step=r["step"],
            next=r["next"],
            values={channel: bytes(value) for channel, value in folded.items()},
            versions=msgspec.json.decode(r["versions"]),
            depths=msgspec.json.decode(r["depths"]),
            opaque=r["opaque"],
            metadata=bytes(r["metadata"]),
            created_at=r["created_at"],
            writes=writes.get(r["checkpoint_id"], []),
            children=children,
        )

    roots = [r for r in group if r["checkpoint_id"] == start_id]
    children = [one(r, []) for r in group if r["checkpoint_id"] != start_id]
    return one(roots[0], children)
