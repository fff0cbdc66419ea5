"""The worker protocol's endpoints, in msgpack; heartbeats in JSON, for a child of stdlib alone."""

import attrs
import msgspec
from aiohttp import web
from msgspec import Raw

from duragraph import creates, intake
from duragraph.api.io import Call, read
from duragraph.codec import dumps, loads
from duragraph.errors import Conflict, Invalid, NotFound
from duragraph.ids import new_id
from duragraph.inspection import inspect_ids
from duragraph.intake import Object
from duragraph.models import RunCreate
from duragraph.pg import Connection, erasure, threads, waits, workers
from duragraph.pg.assistants import Resolved
from duragraph.pg.checkpoints import hold, of_run
from duragraph.protocol import (
    MEDIA_TYPE,
    CheckpointQuery,
    CopyThread,
    EraseRuns,
    GraphSpec,
    Heartbeat,
    Lease,
    Poll,
    Register,
    Registered,
    Renewed,
    Report,
    T,
    pack,
    unpack,
)
from duragraph.questions import AuthAnswer
from duragraph.waiting import ChildStarted, StartChild


async def register(call: Call) -> web.Response:
    message = await _read(call, Register)
    message = attrs.evolve(message, graphs=[_checked(spec) for spec in message.graphs])
    worker_id = new_id()
    if message.auth is not None:
        await call.deps.identities.register(message.auth)
    async with call.tenant() as conn:
        await workers.register(
            conn, call.organization_id, worker_id, message, labels=dumps(message.labels)
        )
    return _answer(Registered(worker_id))


async def poll(call: Call, worker_id: str) -> web.Response:
    return _answer(await call.deps.dispatcher.poll(worker_id, await _read(call, Poll)))


async def report(call: Call, worker_id: str) -> web.Response:
    return _answer(await call.deps.reports.submit(worker_id, await _read(call, list[Report])))


async def checkpoints(call: Call, worker_id: str) -> web.Response:
    """Of the thread of a run that the worker holds. Raises Conflict once it does not."""
    query = await _read(call, CheckpointQuery)
    inspect_ids(query.run_id, query.checkpoint_id, query.before)
    async with call.tenant() as conn:
        found = await of_run(conn, worker_id, query)
    if found is None:
        raise _lost()
    return _answer(found)


async def answers(call: Call, worker_id: str) -> web.Response:  # noqa: ARG001 - of whoever answers
    """What auth handlers say, to questions that came with a poll."""
    said = await _read(call, list[AuthAnswer])
    inspect_ids(*(answer.plane_id for answer in said))
    for answer in said:
        call.deps.consult.answered(answer)
    return _answer({})


async def erase(call: Call, worker_id: str) -> web.Response:
    """Drop what runs have made of the thread of one that the worker holds. Raises Conflict."""
    message = await _read(call, EraseRuns)
    async with call.tenant() as conn, conn.transaction():
        thread = await _hold(conn, worker_id, Lease(message.run_id, message.epoch))
        await erasure.forget(conn, *thread, message.run_ids)
    return _answer({})


async def copy(call: Call, worker_id: str) -> web.Response:
    """A thread's history on a new one. Raises Conflict if that is there, NotFound."""
    message = await _read(call, CopyThread)
    inspect_ids(message.source_id, message.target_id)
    async with call.tenant() as conn, conn.transaction():
        await _hold(conn, worker_id, Lease(message.run_id, message.epoch))
        found = await threads.copy(
            conn, call.organization_id, message.source_id, copy_id=message.target_id
        )
    if found is None:
        raise NotFound(f"Thread {message.source_id} not found")
    return _answer({})


async def start_child(call: Call, worker_id: str) -> web.Response:
    """Or the child that was started before. Raises as `creation.create`, Conflict as `copy`."""
    start = await _read(call, StartChild)
    inspect_ids(start.run_id, start.checkpoint_id)
    body = _child(start, max_depth=call.deps.config.max_depth)

    async def make(assistant: Resolved) -> ChildStarted:
        async with call.tenant() as conn, conn.transaction():
            _, thread_id = await _hold(conn, worker_id, Lease(start.run_id, start.epoch))
            if (known := await waits.child(conn, start)) is not None:
                return ChildStarted(*known)
            parent = await waits.parent(conn, start.run_id)
            new = intake.child_run(
                assistant,
                body,
                parent,
                parent_run_id=start.run_id,
                parent_thread_id=thread_id,
                organization_id=call.organization_id,
            )
            created, ended = await creates.place(conn, [new])
            await waits.tie(conn, start, run_id=new.run_id, thread_id=new.thread_id)
        call.deps.creates.placed([new], created, ended)
        return ChildStarted(new.run_id, new.thread_id)

    return _answer(await call.deps.assistants.use(call.organization_id, body.assistant_id, make))


def _child(start: StartChild, *, max_depth: int) -> RunCreate:
    """Raises Invalid."""
    config, context = (
        loads(each, Object, max_depth=max_depth) for each in (start.config, start.context)
    )
    return RunCreate(
        start.assistant_id,
        loads(start.input, Raw, max_depth=max_depth),
        config=config,
        context=context,
        on_completion="delete",
    )


async def _hold(conn: Connection, worker_id: str, lease: Lease) -> tuple[str, str]:
    """Organization and thread of a lease that holds to the transaction's end."""
    inspect_ids(lease.run_id)
    thread = await hold(conn, worker_id, lease)
    if thread is None:
        raise _lost()
    return thread


def _lost() -> Conflict:
    return Conflict("The run's lease is gone", hint="stop the run: another worker has it")


async def heartbeat(call: Call, worker_id: str, *, body: Heartbeat) -> Renewed:
    return Renewed(await call.deps.dispatcher.renew(worker_id, body.active))


async def drain(call: Call, worker_id: str) -> web.Response:
    """No more work for it; it reports its runs as released itself."""
    async with call.tenant() as conn:
        await workers.drain(conn, worker_id)
    call.deps.dispatcher.drained(worker_id)
    return web.json_response({})


def _checked(spec: GraphSpec) -> GraphSpec:
    """With what its assistant starts with as any assistant has it. Raises Invalid, Refused."""
    try:
        said = [msgspec.json.decode(each, type=Object) for each in (spec.config, spec.context)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("Invalid message", hint=f"graph {spec.graph_id!r}: {error}") from None
    config, context = intake.mirrored(*said)
    return attrs.evolve(spec, config=dumps(config), context=dumps(context))


async def _read(call: Call, type: type[T]) -> T:
    try:
        return unpack(await read(call.request), type)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("Invalid message", hint=str(error)) from None


def _answer(message: object) -> web.Response:
    return web.Response(body=pack(message), content_type=MEDIA_TYPE)
