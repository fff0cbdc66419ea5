"""A thread's states: now, at a checkpoint, through time; and the update of one."""

from typing import Annotated, TypeAlias

import attrs
from msgspec import Meta

from duragraph import codec, pg
from duragraph.api import updates
from duragraph.api.fields import Limit, Object, no_thread, select
from duragraph.api.io import Call
from duragraph.api.updates import StateUpdate, Updated
from duragraph.models import EMPTY, Checkpoint, CheckpointRef, Id, ThreadState, ThreadStorage
from duragraph.pg import states, threads

Select: TypeAlias = Annotated[list[str], Meta(max_length=100)]
"""Fields of a state to return, or `values.KEY` for some of its values; what is none is ignored."""


@attrs.frozen
class StateQuery:
    subgraphs: bool = False
    select: Select = attrs.field(factory=list)


async def get(call: Call, thread_id: str, *, query: StateQuery) -> ThreadState:
    """At the thread's head; empty before the first run. Raises NotFound."""
    return await _state(call, thread_id, CheckpointRef(), query)


async def get_at(
    call: Call, thread_id: str, checkpoint_id: str, *, query: StateQuery
) -> ThreadState:
    """Empty for a checkpoint that is not there. Raises NotFound (thread)."""
    at = CheckpointRef(checkpoint_id=checkpoint_id)
    return await _state(call, thread_id, at, query)


@attrs.frozen
class StateAt:
    checkpoint: CheckpointRef
    subgraphs: bool = False
    select: Select = attrs.field(factory=list)


async def post_at(call: Call, thread_id: str, *, body: StateAt) -> ThreadState:
    """As `get_at`; also a subgraph's state, by its `checkpoint_ns`."""
    return await _state(call, thread_id, body.checkpoint, body)


async def _state(
    call: Call, thread_id: str, at: CheckpointRef, asked: StateQuery | StateAt
) -> ThreadState:
    async with call.tenant() as conn:
        found = await states.get(
            conn,
            call.deps.parts,
            call.organization_id,
            thread_id,
            checkpoint_id=at.checkpoint_id,
            ns=at.checkpoint_ns or "",
            subgraphs=asked.subgraphs,
            only=_only(asked.select),
        )
        if found is None:
            await _check_thread(conn, call, thread_id)
    state: ThreadState
    [state] = select([found or _empty(thread_id, at.checkpoint_id)], _fields(asked.select))
    return state


def _fields(names: list[str]) -> list[str]:
    named = {name.partition(".")[0] for name in names}
    return [field.name for field in attrs.fields(ThreadState) if field.name in named]


def _only(names: list[str]) -> list[str] | None:
    """The values that are wanted, None for all."""
    if not _fields(names) or "values" in names:
        return None
    return [name.removeprefix("values.") for name in names if name.startswith("values.")]


def _empty(thread_id: str, checkpoint_id: str | None) -> ThreadState:
    named = None if checkpoint_id is None else Checkpoint(thread_id, checkpoint_id=checkpoint_id)
    return ThreadState(
        values=EMPTY,
        next=[],
        tasks=[],
        metadata=None,
        created_at=None,
        checkpoint=named,
        parent_checkpoint=None,
        interrupts=[],
        checkpoint_id=checkpoint_id,
        parent_checkpoint_id=None,
    )


@attrs.frozen
class HistoryQuery:
    limit: Annotated[int, Meta(ge=0, le=1000)] = 1
    before: Id | None = None
    select: Select = attrs.field(factory=list)


async def history(call: Call, thread_id: str, *, query: HistoryQuery) -> list[ThreadState]:
    """Newest first. Raises NotFound."""
    body = HistoryBody(limit=query.limit, before=query.before, select=query.select)
    return await search(call, thread_id, body=body)


@attrs.frozen
class HistoryBody:
    limit: Limit = 1
    before: CheckpointRef | Id | None = None
    metadata: Object = attrs.field(factory=dict)
    checkpoint: CheckpointRef | None = None
    select: Select = attrs.field(factory=list)


async def search(call: Call, thread_id: str, *, body: HistoryBody) -> list[ThreadState]:
    """Newest first, strictly older than `before`. Raises NotFound."""
    at, before = body.checkpoint or CheckpointRef(), body.before
    async with call.tenant() as conn:
        found = await states.history(
            conn,
            call.deps.parts,
            call.organization_id,
            thread_id,
            ns=at.checkpoint_ns or "",
            checkpoint_id=at.checkpoint_id,
            before=before.checkpoint_id if isinstance(before, CheckpointRef) else before,
            metadata=codec.dumps(body.metadata),
            limit=body.limit,
            only=_only(body.select),
        )
        if not found:
            await _check_thread(conn, call, thread_id)
    return select(found, _fields(body.select))


async def update(call: Call, thread_id: str, *, body: StateUpdate) -> Updated:
    """Apply `values` as if `as_node` had returned them. Raises as `updates.apply` does."""
    return await updates.apply(call, thread_id, body)


async def storage(call: Call, thread_id: str) -> ThreadStorage:
    """What the thread's states take in the database. Raises NotFound."""
    async with call.tenant() as conn:
        found = await states.storage(conn, call.organization_id, thread_id)
    if found is None:
        raise no_thread(thread_id)
    return found


async def _check_thread(conn: pg.Connection, call: Call, thread_id: str) -> None:
    if await threads.binding(conn, call.organization_id, thread_id) is None:
        raise no_thread(thread_id)
