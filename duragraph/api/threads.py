"""Threads: create, find, change, delete. Their states are in `states.py`."""

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from duragraph import codec
from duragraph.api.fields import Limit, Object, Offset, no_thread, select
from duragraph.api.io import Call, Reply, page
from duragraph.errors import Conflict
from duragraph.ids import new_id
from duragraph.intake import own_metadata
from duragraph.models import Id, SortOrder, Thread, ThreadStatus
from duragraph.pg import endings, threads

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
    """In minutes. Checked, and not kept: no thread expires."""

    ttl: Annotated[float, Meta(gt=0, le=1e9)]
    strategy: Literal["delete", "keep_latest"] = "delete"


@attrs.frozen
class ThreadCreate:
    thread_id: Id | None = None
    metadata: Object = attrs.field(factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    ttl: TimeToLive | None = None


async def create(call: Call, *, body: ThreadCreate) -> Thread:
    """Raises Conflict, Invalid."""
    thread_id, metadata = body.thread_id or new_id(), codec.dumps(own_metadata(body.metadata))
    async with call.tenant() as conn:
        made = await threads.create(conn, call.organization_id, thread_id, metadata=metadata)
        if made is None and body.if_exists == "do_nothing":
            made = await threads.get(conn, call.organization_id, thread_id)
    if made is None:
        raise Conflict(f"Thread with ID {thread_id} already exists")
    return made


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


async def search(call: Call, *, body: ThreadSearch) -> Reply[list[Thread]]:
    """The one changed last comes first by default."""
    async with call.tenant() as conn:
        found = await threads.search(
            conn,
            call.organization_id,
            _filter(body, ids=body.ids),
            sort_by=body.sort_by,
            sort_order=body.sort_order,
            limit=body.limit + 1,
            offset=body.offset,
        )
    return page(select(found, body.select), body.limit, body.offset)


async def count(call: Call, *, body: ThreadCount) -> int:
    async with call.tenant() as conn:
        return await threads.count(conn, call.organization_id, _filter(body))


async def get(call: Call, thread_id: str) -> Thread:
    async with call.tenant() as conn:
        found = await threads.get(conn, call.organization_id, thread_id)
    if found is None:
        raise no_thread(thread_id)
    return found


@attrs.frozen
class ThreadUpdate:
    metadata: Object | None = None
    ttl: TimeToLive | None = None


async def update(call: Call, thread_id: str, *, body: ThreadUpdate) -> Thread | None:
    """Merge metadata; `Prefer: return=minimal` leaves the thread out of the answer."""
    metadata = codec.dumps(own_metadata(body.metadata or {}))
    async with call.tenant() as conn:
        updated = await threads.update(conn, call.organization_id, thread_id, metadata=metadata)
    if updated is None:
        raise no_thread(thread_id)
    return None if call.request.headers.get("Prefer") == "return=minimal" else updated


async def delete(call: Call, thread_id: str) -> None:
    """Cancels its runs and erases it with its history."""
    async with call.tenant() as conn, conn.transaction():
        ended = await endings.cancel(conn, call.organization_id, thread_id)
        if not await threads.delete(conn, call.organization_id, [thread_id]):
            raise no_thread(thread_id)
    call.deps.dispatcher.ended(ended)


def _filter(body: ThreadCount, *, ids: list[str] | None = None) -> threads.Filter:
    values = None if body.values is None else codec.dumps(body.values)
    return threads.Filter(ids, codec.dumps(body.metadata), body.status, values)
