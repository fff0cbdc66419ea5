"""Runs: create, stream, wait, join, cancel. Contract: the LangGraph server's runs API."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal

import attrs
import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from duragraph.api import creation, cursors, fields, results, sse
from duragraph.api.access import runs as access
from duragraph.api.io import Call, EventStream, Reply, Value
from duragraph.errors import Invalid, NotFound
from duragraph.frames import Batch
from duragraph.ids import new_id
from duragraph.models import CancelAction, Id, OpenStatus, Run, RunCreate
from duragraph.pg import endings, events, runs, threads

Field = Literal[
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
    "langsmith_session_name",
    "usage",
]

NOTHING_TO_CANCEL = "No runs found to cancel."
NOT_FOUND = b'{"error":"HTTPException","message":"404: Run not found"}'


@attrs.frozen
class SearchQuery:
    limit: Annotated[int, Meta(ge=0, le=10_000)] = 10
    offset: fields.Offset = 0
    status: str | None = None
    select: list[Field] | None = None


@attrs.frozen
class JoinQuery:
    cancel_on_disconnect: bool = False


@attrs.frozen
class StreamQuery(JoinQuery):
    stream_mode: list[str] | None = None
    last_event_id: str | None = None
    """Where the header of that name is not sent: browsers' EventSource can't."""


@attrs.frozen
class CancelManyQuery:
    action: str = "interrupt"
    """`rollback`, or whatever else for `interrupt`, as the LangGraph server has it."""


@attrs.frozen
class CancelQuery(CancelManyQuery):
    wait: bool = False


@attrs.frozen
class CancelMany:
    """Which runs: those of a status, or some of one thread; not both."""

    status: OpenStatus | UnsetType = UNSET
    thread_id: Id | UnsetType = UNSET
    run_ids: Annotated[list[Id], Meta(max_length=10_000)] | UnsetType = UNSET


async def create(call: Call, thread_id: str, *, body: RunCreate) -> Reply[Run]:
    created = await creation.create(call, new_id(), thread_id, body)
    return Reply(created.run, headers={"Content-Location": _path(created.run)})


async def create_stateless(call: Call, *, body: RunCreate) -> Reply[Run]:
    created = await creation.create(call, new_id(), None, body)
    return Reply(created.run, headers={"Content-Location": f"/runs/{created.run.run_id}"})


async def stream(call: Call, thread_id: str, *, body: RunCreate) -> EventStream:
    return await _stream(call, thread_id, body)


async def stream_stateless(call: Call, *, body: RunCreate) -> EventStream:
    return await _stream(call, None, body)


async def _stream(call: Call, thread_id: str | None, body: RunCreate) -> web.StreamResponse:
    run_id, cancel = new_id(), body.on_disconnect == "cancel"
    query = StreamQuery(cancel_on_disconnect=cancel, last_event_id=cursors.BEGINNING)
    with call.deps.streams.subscribe(run_id) as follower:
        run = (await creation.create(call, run_id, thread_id, body, attended=True)).run
        path = f"/runs/{run.run_id}" if thread_id is None else _path(run)
        if run.run_id == run_id:
            batches = call.deps.streams.follow(run_id, follower, fresh=True)
            headers = _stream_at(path, cursors.BEGINNING, query)
            async with sse.while_connected(call, run, cancel=cancel):
                return await sse.stream(call, batches, headers)
    return await _join_stream(call, run, query, path)


async def wait(call: Call, thread_id: str, *, body: RunCreate) -> Value:
    return await _wait(call, thread_id, body)


async def wait_stateless(call: Call, *, body: RunCreate) -> Value:
    return await _wait(call, None, body)


async def _wait(call: Call, thread_id: str | None, body: RunCreate) -> web.StreamResponse:
    run_id, cancel = new_id(), body.on_disconnect == "cancel"
    with call.deps.streams.subscribe(run_id) as follower:
        run = (await creation.create(call, run_id, thread_id, body, attended=True)).run
        if run.run_id == run_id:
            batches = call.deps.streams.follow(run_id, follower, fresh=True)
            return await _value(call, run, thread_id, batches, cancel=cancel)
    return await _join(call, run, thread_id, cancel=cancel)


async def _value(
    call: Call,
    run: Run,
    thread_id: str | None,
    batches: AsyncIterator[Batch],
    *,
    cancel: bool,
) -> web.StreamResponse:
    async with sse.while_connected(call, run, cancel=cancel):
        result = results.of(call, thread_id, batches)
        return await sse.value(call, result, _locate(_path(run), "join"))


async def batch(
    call: Call, *, body: Annotated[list[RunCreate], Meta(min_length=1, max_length=10_000)]
) -> list[Run]:
    """Create a run on a temporary thread for each body; all of them or none."""
    return [created.run for created in await creation.create_all(call, body)]


async def search(call: Call, thread_id: str, *, query: SearchQuery) -> Reply[list[Run]]:
    async with call.tenant() as conn:
        found = await runs.search(
            conn,
            call.organization_id,
            thread_id,
            status=query.status,
            limit=query.limit,
            offset=query.offset,
        )
        if not found and await threads.get(conn, call.organization_id, thread_id) is None:
            raise fields.no_thread(thread_id)
    return Reply(fields.select(found, query.select))


async def get(call: Call, thread_id: str, run_id: str) -> Run:
    async with call.tenant() as conn:
        run = await runs.get(conn, call.organization_id, thread_id, run_id)
    if run is None:
        raise NotFound
    return run


async def delete(call: Call, thread_id: str, run_id: str) -> None:
    org = call.organization_id
    async with call.tenant() as conn, conn.transaction():
        ended = await endings.cancel(conn, org, thread_id, run_ids=[run_id])
        deleted = await endings.delete(conn, org, thread_id, run_id)
        await runs.promote(conn, [(org, thread_id)])
    if not deleted:
        raise NotFound("Run not found")
    call.deps.cancels.tell(ended)


async def join(call: Call, thread_id: str, run_id: str, *, query: JoinQuery) -> Value:
    run = await _joined(call, thread_id, run_id, query)
    if run is None:
        return web.Response(body=results.failed(NOT_FOUND), content_type="application/json")
    return await _join(call, run, thread_id, cancel=query.cancel_on_disconnect)


async def _join(call: Call, run: Run, thread_id: str | None, *, cancel: bool) -> web.StreamResponse:
    with call.deps.streams.subscribe(run.run_id) as follower:
        batches = call.deps.streams.follow(run.run_id, follower)
        return await _value(call, run, thread_id, batches, cancel=cancel)


async def join_stream(
    call: Call, thread_id: str, run_id: str, *, query: StreamQuery
) -> EventStream:
    run = await _joined(call, thread_id, run_id, query)
    return await _join_stream(call, run, query, _path(run) if run else None)


async def join_stream_stateless(call: Call, run_id: str, *, query: StreamQuery) -> EventStream:
    run = await _joined(call, None, run_id, query)
    return await _join_stream(call, run, query, f"/runs/{run_id}")


async def _joined(call: Call, thread_id: str | None, run_id: str, query: JoinQuery) -> Run | None:
    async with call.tenant() as conn:
        return await runs.join(
            conn,
            call.organization_id,
            thread_id,
            run_id,
            plane_id=call.deps.plane_id,
            attended=query.cancel_on_disconnect,
        )


async def _join_stream(
    call: Call, run: Run | None, query: StreamQuery, path: str | None
) -> web.StreamResponse:
    """Frames behind the event id given; without one only those to come. Raises Gone."""
    if run is None or path is None:
        return await sse.stream(call, _not_found(), {})
    modes = frozenset(query.stream_mode or ())
    streams = call.deps.streams
    with streams.subscribe(run.run_id) as follower:
        async with call.tenant() as conn:
            progress = (await events.progress(conn, [run.run_id])).get(run.run_id)
        if progress is None:
            return await sse.stream(call, _not_found(), {})
        after = cursors.in_run(cursors.given(call, query.last_event_id), progress)
        await streams.check(progress, after)
        headers = _stream_at(path, cursors.shown((progress.ms, after)), query)
        batches = streams.follow(run.run_id, follower, after=after)
        async with sse.while_connected(call, run, cancel=query.cancel_on_disconnect):
            return await sse.stream(call, batches, headers, _modes(modes) if modes else None)


async def cancel(
    call: Call, thread_id: str, run_id: str, *, query: CancelQuery
) -> Reply[None] | Value:
    with call.deps.streams.subscribe(run_id) as follower:
        await _cancel(call, thread_id, [run_id], query.action)
        if not query.wait:
            return Reply(status=202)
        batches = call.deps.streams.follow(run_id, follower, after=follower.heard[1])
        path = f"/threads/{thread_id}/runs/{run_id}"
        return await sse.value(call, results.of(call, None, batches), _locate(path, "join"))


async def _cancel(call: Call, thread_id: str, run_ids: Sequence[str], action: str) -> None:
    """End those of these runs that are open. Raises NotFound if none is."""
    ended = await call.deps.cancels.cancel(
        call.organization_id, thread_id, run_ids=run_ids, action=_action(action)
    )
    if ended:
        return
    async with call.tenant() as conn:
        found = await runs.any_of(conn, call.organization_id, thread_id, run_ids)
    if not found:
        raise NotFound(NOTHING_TO_CANCEL)
    raise NotFound(
        "No matching runs to cancel. Please verify the thread ID and run IDs are correct, "
        "and the runs haven't been deleted or completed."
    )


async def cancel_many(call: Call, *, body: CancelMany, query: CancelManyQuery) -> None:
    """End all open runs of a status, or some of one thread. Raises NotFound if there are none."""
    match body:
        case CancelMany(str(status), msgspec.UNSET, msgspec.UNSET):
            action = _action(query.action)
            org, cancels = call.organization_id, call.deps.cancels
            if call.user is not None:
                many = await access.cancel_seen(call, status, action)
            else:
                many = await cancels.cancel_all(org, status=status, action=action)
            if not many:
                raise NotFound(NOTHING_TO_CANCEL)
        case CancelMany(msgspec.UNSET, str(thread_id), list(run_ids)):
            await _cancel(call, thread_id, run_ids, query.action)
        case _:
            raise Invalid(
                "Give either `status`, or `thread_id` and `run_ids`.",
                hint="`status` is one of pending, running, all.",
            )


def _action(given: str) -> CancelAction:
    return "rollback" if given == "rollback" else "interrupt"


async def _not_found() -> AsyncIterator[Batch]:
    yield Batch("", "", "", "run", 0, 1, [("error", NOT_FOUND)], "error")


def _modes(modes: frozenset[str]) -> sse.Keep:
    """Picks by event name; `messages-tuple` frames are called `messages`."""
    names = modes | ({"messages"} if "messages-tuple" in modes else set())

    def keep(event: str) -> bool:
        return event in names or event == "error" or event.partition("/")[0] in names

    return keep


def _path(run: Run) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def _locate(path: str, verb: str) -> dict[str, str]:
    return {"Location": f"{path}/{verb}", "Content-Location": path}


def _stream_at(path: str, event_id: str, asked: StreamQuery) -> dict[str, str]:
    query = attrs.asdict(asked) | {"last_event_id": None}
    return {
        "Location": cursors.location(f"{path}/stream", event_id, **query),
        "Content-Location": path,
    }
