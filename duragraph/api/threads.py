"""Threads: create, find, change, delete. Their states are in `states.py`."""

from typing import Annotated, Literal

import attrs
from msgspec import UNSET, Meta, UnsetType

from duragraph import codec
from duragraph.api import extract, updates
from duragraph.api.extract import Extract
from duragraph.api.fields import Limit, Object, Offset, no_thread, select
from duragraph.api.idempotency import once
from duragraph.api.io import Call, Reply, Status, page
from duragraph.api.updates import Superstep
from duragraph.errors import Conflict, Invalid, NotFound, Unavailable
from duragraph.ids import new_id
from duragraph.intake import own_metadata
from duragraph.models import Id, SortOrder, Thread, ThreadStatus, TtlStrategy
from duragraph.pg import Connection, Page, endings, erasure, threads

Field = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "error",
    "interrupts",
]


@attrs.frozen
class TimeToLive:
    """Counted from now on. What is not given stays as it is, or as the configuration has it."""

    ttl: Annotated[float, Meta(gt=0, le=1e9)] | UnsetType = UNSET
    """In minutes."""
    strategy: TtlStrategy | UnsetType = UNSET


@attrs.frozen
class ThreadCreate:
    thread_id: Id | None = None
    metadata: Object = attrs.field(factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: TimeToLive | UnsetType | None = UNSET
    """Null: for ever, whatever the configuration says."""
    supersteps: list[Superstep] = attrs.field(factory=list)
    """Each becomes a checkpoint; they need `metadata.graph_id`."""


@attrs.frozen
class WithoutState:
    """The thread was made, and its supersteps could not be applied."""

    detail: str


async def create(
    call: Call, *, body: ThreadCreate
) -> Thread | Annotated[Reply[WithoutState], Status(201)]:
    """Raises Conflict, Invalid, and Refused for what the graph's nodes could not have written."""
    made = await _create(call, body=body)
    if not body.supersteps:
        return made
    thread_id = made.thread_id
    if call.key is not None:
        made = await _thread(call, thread_id)
        if made.values is not None:  # the key was used before
            return made
    try:
        await updates.replay(call, thread_id, body.supersteps)
    except (updates.NoGraph, NotFound, Invalid, Conflict, Unavailable) as error:
        problem = f"Thread {thread_id} was created, but there were problems updating the state: "
        return Reply(WithoutState(problem + error.message), status=201)
    return await _thread(call, thread_id)


@once
async def _create(call: Call, *, body: ThreadCreate) -> Thread:
    thread_id, metadata = body.thread_id or new_id(), codec.dumps(own_metadata(body.metadata))
    async with call.tenant() as conn:
        made = await threads.create(conn, call.organization_id, thread_id, metadata=metadata)
        if made is not None:
            await _set_ttl(conn, call, thread_id, body.ttl)
        elif body.if_exists == "do_nothing":
            made = await threads.get(conn, call.organization_id, thread_id)
    if made is None:
        raise Conflict(f"Thread with ID {thread_id} already exists")
    return made


async def _thread(call: Call, thread_id: str) -> Thread:
    async with call.tenant() as conn:
        found = await threads.get(conn, call.organization_id, thread_id)
    if found is None:
        raise no_thread(thread_id)
    return found


async def _set_ttl(
    conn: Connection, call: Call, thread_id: str, ttl: TimeToLive | UnsetType | None
) -> None:
    if ttl is None:
        await threads.clear_ttl(conn, call.organization_id, thread_id)
    elif ttl is not UNSET:
        await threads.set_ttl(
            conn,
            call.organization_id,
            thread_id,
            minutes=None if ttl.ttl is UNSET else ttl.ttl,
            strategy=None if ttl.strategy is UNSET else ttl.strategy,
        )


@attrs.frozen
class ThreadCount:
    metadata: Object = attrs.field(factory=dict)
    values: Object | None = None
    status: ThreadStatus | None = None


@attrs.frozen
class ThreadSearch(ThreadCount):
    ids: Annotated[list[Id], Meta(max_length=1000)] | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: threads.SortBy = "updated_at"
    sort_order: SortOrder = "desc"
    select: list[Field] | None = None
    extract: Extract = attrs.field(factory=dict)


async def search(call: Call, *, body: ThreadSearch) -> Reply[list[Thread]]:
    """The one changed last comes first by default."""
    paths = extract.paths(body.extract)
    shown = not body.select or "values" in body.select
    async with call.tenant() as conn:
        found = await threads.search(
            conn,
            call.organization_id,
            _filter(body, ids=body.ids),
            Page(body.sort_by, body.sort_order, body.limit + 1, body.offset),
            values=shown or any(root == "values" for root, _ in paths.values()),
            extract=paths,
        )
    extracted: tuple[str, ...] = ("extracted",) if paths else ()
    rows = select(found, body.select and (*body.select, *extracted))
    return page(rows, body.limit, body.offset)


async def count(call: Call, *, body: ThreadCount) -> int:
    async with call.tenant() as conn:
        return await threads.count(conn, call.organization_id, _filter(body))


@attrs.frozen
class ThreadQuery:
    include: list[str] = attrs.field(factory=list)
    """`ttl` is what there is to include."""


async def get(call: Call, thread_id: str, *, query: ThreadQuery) -> Thread:
    async with call.tenant() as conn:
        found = await threads.get(conn, call.organization_id, thread_id)
        if found is None:
            raise no_thread(thread_id)
        if "ttl" in query.include:
            left = await threads.ttl(conn, call.organization_id, thread_id)
            found = attrs.evolve(found, ttl=left or UNSET)
    return found


@attrs.frozen
class ThreadUpdate:
    metadata: Object | None = None
    ttl: TimeToLive | UnsetType | None = UNSET
    """Null: for ever."""


async def update(call: Call, thread_id: str, *, body: ThreadUpdate) -> Thread | None:
    """Merge metadata; `Prefer: return=minimal` leaves the thread out of the answer."""
    metadata = codec.dumps(own_metadata(body.metadata or {}))
    async with call.tenant() as conn, conn.transaction():
        updated = await threads.update(conn, call.organization_id, thread_id, metadata=metadata)
        if updated is None:
            raise no_thread(thread_id)
        await _set_ttl(conn, call, thread_id, body.ttl)
    return None if call.request.headers.get("Prefer") == "return=minimal" else updated


async def delete(call: Call, thread_id: str) -> None:
    """Cancels its runs and erases it with its history."""
    if not await _delete(call, thread_id):
        raise no_thread(thread_id)


async def _delete(call: Call, thread_id: str) -> bool:
    org = call.organization_id
    async with call.tenant() as conn:
        async with conn.transaction():
            ended = await endings.cancel(conn, org, thread_id)
            found = await erasure.delete(conn, org, [thread_id])
        call.deps.cancels.tell(ended)
        if found.get(thread_id):
            await erasure.finish(conn, org, thread_id)
    return bool(found)


@attrs.frozen
class ThreadPrune:
    thread_ids: Annotated[list[Id], Meta(max_length=1000)]
    strategy: TtlStrategy = "delete"


@attrs.frozen
class Pruned:
    pruned_count: int


async def prune(call: Call, *, body: ThreadPrune) -> Pruned:
    """Delete threads, or cut their histories to the newest state; unknown ones are skipped.

    `delete` ends open runs, as deleting each would; `keep_latest` leaves busy threads alone.
    """
    count = 0
    for thread_id in dict.fromkeys(each.lower() for each in body.thread_ids):
        if body.strategy == "delete":
            count += await _delete(call, thread_id)
        else:
            async with call.tenant() as conn:
                count += await erasure.prune(conn, call.organization_id, thread_id)
    return Pruned(count)


@once
async def copy(call: Call, thread_id: str) -> Thread:
    """A new, idle thread with the same metadata and history. Raises Conflict if there is none."""
    async with call.tenant() as conn:
        copied = await threads.copy(conn, call.organization_id, thread_id, copy_id=new_id())
    if copied is None:
        raise Conflict
    return copied


def _filter(body: ThreadCount, *, ids: list[str] | None = None) -> threads.Filter:
    values = None if body.values is None else codec.dumps(body.values)
    return threads.Filter(ids, codec.dumps(body.metadata), body.status, values)
