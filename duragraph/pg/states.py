"""A thread's states: checkpoints folded, with what their tasks left behind. Read only.

Payloads pass from `json` columns to the response as bytes; only the frame around them is built.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter

import attrs
import msgspec
from asyncpg import Record
from msgspec import Raw

from duragraph.codec import dumps
from duragraph.models import NULL, Checkpoint, Json, ThreadState, ThreadStorage, ThreadTask
from duragraph.part_cache import PartCache, Place
from duragraph.pg import Connection
from duragraph.protocol import ROOT_CHANNEL

_STATE = """
select c.thread_id, c.checkpoint_id, c.parent_id, c.root_id, c.ns, c.next, c.tasks, c.metadata,
    c.created_at, {live} as live, case when c.ns <> '' then c.metadata -> 'parents' end as parents,
    c.versions ? '__root__' as is_root,
    (select json_object_agg(e.key, e.value order by w.task_id)
    from step_write w cross join lateral json_each(w.result) e
    where w.organization_id = c.organization_id and w.thread_id = c.thread_id
        and w.checkpoint_id = c.checkpoint_id
        and w.task_id in ('00000000-0000-0000-0000-000000000000',
            case when {live} then '00000000-0000-0000-0000-000000000001' end)
        and ({only}::text[] is null or e.key = any({only}::text[]))) as changed,
    (select coalesce(json_object_agg(w.task_id, json_build_object(
        'result', w.result, 'error', w.error, 'interrupts', w.interrupts)), '{{}}')
    from step_write w where w.organization_id = c.organization_id and w.thread_id = c.thread_id
        and w.checkpoint_id = c.checkpoint_id and w.ns = c.ns) as writes
"""
_ALL = "null"

HEAD = f"""
{_STATE.format(live=True, only="$3")}
from thread t join checkpoint c using (organization_id, thread_id, checkpoint_id)
where t.organization_id = $1 and t.thread_id = $2
"""

NEWEST = f"""
{_STATE.format(live=True, only="$3")}
from checkpoint c
where c.organization_id = $1 and c.thread_id = $2 and c.ns = $4
order by c.checkpoint_id desc limit 1
"""

AT = f"""
{_STATE.format(live=False, only="$3")}
from checkpoint c
where c.organization_id = $1 and c.thread_id = $2 and c.ns = $4
    and c.checkpoint_id = $5
"""

# Joined in Python: `shown`, which does the same in SQL, takes ten times as long over a long list.
# The parts that the plane holds are named, not read.
PARTS = """
select c.checkpoint_id, p.channel, p.depth, n.name,
    case when n.name <> all($5::text[]) then p.value end
from checkpoint c
cross join lateral parts_of(c.organization_id, c.thread_id, case when $4::text[] is null
    then c.versions else (select coalesce(jsonb_object_agg(key, value), '{}')
        from jsonb_each(c.versions) where key = any($4::text[])) end) p
cross join lateral (select p.version || p.channel) n(name)
where c.organization_id = $1 and c.thread_id = $2 and c.checkpoint_id = any($3::uuid[])
"""

Parts = dict[str, dict[str, list[tuple[int, Json]]]]
"""By checkpoint and channel, each part with its depth."""


async def _parts(
    conn: Connection,
    cache: PartCache,
    organization_id: str,
    records: Sequence[Record],
    only: Sequence[str] | None = None,
) -> Parts:
    if not records:
        return {}
    found: Parts = {record["checkpoint_id"]: {} for record in records}
    thread_id = records[0]["thread_id"]
    places = {r["checkpoint_id"]: (organization_id, thread_id, r["ns"]) for r in records}
    held = {name: part for place in {*places.values()} for name, part in cache.held(place).items()}
    shown: defaultdict[Place, dict[str, Json]] = defaultdict(dict)
    for checkpoint_id, channel, depth, name, value in await conn.fetch(
        PARTS, organization_id, thread_id, list(found), only, list(held)
    ):
        part = held[name] if value is None else value
        found[checkpoint_id].setdefault(channel, []).append((depth, part))
        shown[places[checkpoint_id]][name] = part
    for place, parts in shown.items():
        cache.keep(place, parts)
    return found


async def get(
    conn: Connection,
    cache: PartCache,
    organization_id: str,
    thread_id: str,
    *,
    checkpoint_id: str | None = None,
    ns: str = "",
    subgraphs: bool = False,
    only: Sequence[str] | None = None,
) -> ThreadState | None:
    """At a checkpoint; by default at the thread's head, or at the newest of a subgraph's.

    There finished tasks are part of the state, also while others of their superstep wait. With
    `subgraphs` a task of a subgraph carries the state that its graph is in. `only` some values.
    """
    at = (organization_id, thread_id)
    if checkpoint_id is not None:
        record = await conn.fetchrow(AT, *at, only, ns, checkpoint_id)
    elif ns:
        record = await conn.fetchrow(NEWEST, *at, only, ns)
    else:
        record = await conn.fetchrow(HEAD, *at, only)
    if record is None:
        return None
    root_id = record["root_id"] or record["checkpoint_id"]
    below = await _below(conn, *at, record, root_id) if subgraphs else []
    parts = await _parts(conn, cache, organization_id, [record], only)
    parts |= await _parts(conn, cache, organization_id, below)
    return _state(record, parts, {r["ns"]: r for r in below})


async def _below(
    conn: Connection, organization_id: str, thread_id: str, record: Record, root_id: str
) -> list[Record]:
    """Where the subgraphs stand, those too that keep a state and have yet to run."""
    begun = await conn.fetch(UNDER, organization_id, thread_id, root_id)
    known = {each["ns"] for each in begun}
    planned = _planned(record["tasks"])
    kept = {_kept(task.ns) for task in planned if task.ns and task.ns not in known} - known
    if not kept:
        return begun
    return begun + await conn.fetch(KEPT, organization_id, thread_id, list(kept))


UNDER = f"""
select distinct on (s.ns) s.*
from ({_STATE.format(live=True, only=_ALL)} from checkpoint c
    where c.organization_id = $1 and c.thread_id = $2 and c.root_id = $3) s
order by s.ns, s.checkpoint_id desc
"""

# Most of those that are asked for keep no state, which must not cost a look at all the thread was.
KEPT = f"""
{_STATE.format(live=True, only=_ALL)}
from unnest($3::text[]) as kept(ns) cross join lateral (
    select * from (
        select * from checkpoint
        where organization_id = $1 and thread_id = $2 and root_id is not null
        order by root_id desc limit 500
    ) recent
    where ns = kept.ns order by checkpoint_id desc limit 1
) c
"""

# Only the states that are returned are folded.
HISTORY = f"""
{_STATE.format(live=False, only="$8")}
from (
    select * from checkpoint
    where organization_id = $1 and thread_id = $2 and ns = $3
        and ($4::uuid is null or checkpoint_id = $4)
        and ($5::uuid is null or checkpoint_id < $5)
        and metadata::jsonb @> $6
    order by checkpoint_id desc limit $7
) c
order by c.checkpoint_id desc
"""


async def history(
    conn: Connection,
    cache: PartCache,
    organization_id: str,
    thread_id: str,
    *,
    ns: str = "",
    checkpoint_id: str | None = None,
    before: str | None = None,
    metadata: bytes = b"{}",
    limit: int,
    only: Sequence[str] | None = None,
) -> list[ThreadState]:
    """Newest first, those strictly older than `before` whose metadata contains `metadata`."""
    records = await conn.fetch(
        HISTORY, organization_id, thread_id, ns, checkpoint_id, before, metadata, limit, only
    )
    parts = await _parts(conn, cache, organization_id, records, only)
    return [_state(record, parts, {}) for record in records]


OF_RUN = """
select thread_id, checkpoint_id, ns, root_id, metadata -> 'parents' as parents from checkpoint
where organization_id = $1 and thread_id = $2 and run_id = $3
order by checkpoint_id desc limit 1
"""


async def of_run(
    conn: Connection, organization_id: str, thread_id: str, run_id: str
) -> Checkpoint | None:
    """The address of the last checkpoint that a run wrote."""
    record = await conn.fetchrow(OF_RUN, organization_id, thread_id, run_id)
    return None if record is None else _address(record, record["checkpoint_id"])


MADE_BY = f"""
{_STATE.format(live=True, only=_ALL)}
from checkpoint c
where c.organization_id = $1 and c.thread_id = $2 and c.run_id = $3
order by c.checkpoint_id desc limit 1
"""


async def made_by(
    conn: Connection, cache: PartCache, organization_id: str, thread_id: str, run_id: str
) -> ThreadState | None:
    """At the last checkpoint that a run wrote, in whatever graph."""
    record = await conn.fetchrow(MADE_BY, organization_id, thread_id, run_id)
    if record is None:
        return None
    return _state(record, await _parts(conn, cache, organization_id, [record]), {})


STORAGE = """
with k as materialized (
    select octet_length(c::text) as bytes from checkpoint c
    where organization_id = $1 and thread_id = $2
), v as materialized (
    select channel, count(*) as versions, sum(octet_length(value::text)) as bytes
    from channel_value where organization_id = $1 and thread_id = $2 group by channel
), w as materialized (
    select octet_length(w::text) as bytes from step_write w
    where organization_id = $1 and thread_id = $2
)
select json_build_object(
    'thread_id', t.thread_id,
    'total_bytes', (select coalesce(sum(bytes), 0) from (
        select bytes from k union all select bytes from v union all select bytes from w) x),
    'checkpoints', (select json_build_object(
        'count', count(*), 'bytes', coalesce(sum(bytes), 0)) from k),
    'channel_values', (select json_build_object(
        'count', coalesce(sum(versions), 0), 'bytes', coalesce(sum(bytes), 0),
        'by_channel', coalesce(json_object_agg(channel, json_build_object(
            'versions', versions, 'bytes', bytes)), '{}')) from v),
    'pending_writes', (select json_build_object(
        'count', count(*), 'bytes', coalesce(sum(bytes), 0)) from w))
from thread t where organization_id = $1 and thread_id = $2 and erase_at is null
"""


async def storage(conn: Connection, organization_id: str, thread_id: str) -> ThreadStorage | None:
    found = await conn.fetchval(STORAGE, organization_id, thread_id)
    return None if found is None else msgspec.json.decode(found, type=ThreadStorage)


@attrs.frozen
class Planned:
    """An element of `checkpoint.tasks`; `ns` is its subgraph's, where it has one."""

    id: str
    name: str
    path: Json
    ns: str | None = None


@attrs.frozen
class _Left:
    """What `step_write` holds of a task."""

    result: Json = NULL
    error: str | None = None
    interrupts: list[Json] | None = None

    def still(self) -> "_Left":
        """Less what was asked by a task that has finished."""
        return self if self.result == NULL else attrs.evolve(self, interrupts=None)


_NOTHING = _Left()
_planned = msgspec.json.Decoder(list[Planned]).decode
_left = msgspec.json.Decoder(dict[str, _Left]).decode
Buffer = bytes | memoryview


def _state(record: Record, parts: Parts, below: dict[str, Record]) -> ThreadState:
    planned = _planned(record["tasks"])
    left = _left(record["writes"])
    if record["live"]:
        left = {task_id: each.still() for task_id, each in left.items()}
    tasks = [
        _task(p, left.get(p.id, _NOTHING), parts, thread_id=record["thread_id"], below=below)
        for p in planned
    ]
    parent_id, following = record["parent_id"], record["next"]
    if record["live"]:
        following = [p.name for p in planned if left.get(p.id, _NOTHING).result == NULL]
    return ThreadState(
        values=_values(record, parts[record["checkpoint_id"]]),
        next=following,
        tasks=tasks,
        metadata=record["metadata"],
        created_at=record["created_at"],
        checkpoint=_address(record, record["checkpoint_id"]),
        parent_checkpoint=None if parent_id is None else _address(record, parent_id),
        interrupts=[interrupt for task in tasks for interrupt in task.interrupts],
        checkpoint_id=record["checkpoint_id"],
        parent_checkpoint_id=parent_id,
    )


def _values(record: Record, parts: Mapping[str, list[tuple[int, Json]]]) -> Json:
    """The channels' parts joined, and over them what was changed since: long lists copied once."""
    fields = {channel: _joined(each) for channel, each in parts.items()}
    if record["changed"] is not None:
        changed = msgspec.json.decode(record["changed"], type=dict[str, Json])
        fields |= {name: [memoryview(value)] for name, value in changed.items()}
    if record["is_root"]:
        return Raw(b"".join(fields.get(ROOT_CHANNEL, [b"null"])))
    pieces: list[Buffer] = []
    for name, value in fields.items():
        pieces += [b"," if pieces else b"{", dumps(name), b":", *value]
    return Raw(b"".join([*pieces, b"}"]) if pieces else b"{}")


def _joined(parts: list[tuple[int, Json]]) -> list[Buffer]:
    """A wrong report may not break readers: what is no array is nothing to append to."""
    if len(parts) == 1:
        return [memoryview(parts[0][1])]
    pieces: list[Buffer] = []
    for _, value in sorted(parts, key=itemgetter(0)):
        array = memoryview(value)
        if array[0] == ord("[") and len(array) > len("[]"):
            pieces += [b"," if pieces else b"[", array[1:-1]]
    return [*pieces, b"]"] if pieces else [b"[]"]


def _task(
    planned: Planned, left: _Left, parts: Parts, *, thread_id: str, below: dict[str, Record]
) -> ThreadTask:
    inner = below.get(planned.ns) or below.get(_kept(planned.ns)) if planned.ns else None
    pointer = planned.ns and inner is None
    return ThreadTask(
        id=planned.id,
        name=planned.name,
        path=planned.path,
        error=left.error,
        interrupts=left.interrupts or [],
        checkpoint=Checkpoint(thread_id, checkpoint_ns=planned.ns or "") if pointer else None,
        state=None if inner is None else _state(inner, parts, below),
        result=left.result,
    )


def _kept(ns: str) -> str:
    """Where a subgraph is that keeps its state from run to run: no task of a run names it."""
    return "|".join(part.partition(":")[0] for part in ns.split("|"))


def _address(record: Record, checkpoint_id: str) -> Checkpoint:
    ns: str = record["ns"]
    if not ns:
        return Checkpoint(record["thread_id"], checkpoint_id=checkpoint_id, checkpoint_ns=ns)
    parents = msgspec.json.decode(record["parents"] or b"{}", type=dict[str, str])
    above = {"": record["root_id"]} | parents
    return Checkpoint(
        record["thread_id"],
        checkpoint_id=checkpoint_id,
        checkpoint_ns=ns,
        checkpoint_map=above | {ns: checkpoint_id},
    )
