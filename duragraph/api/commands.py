"""Commands of the event-streaming protocol: start a run, answer what it asks, look at it.

An answer is `success` or `error` in the protocol's own shape, with HTTP 200: what went wrong is
the command's matter, not the request's. `sockets.py` carries the same commands.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar, cast

import attrs
import msgspec
from msgspec import Meta, Raw

from duragraph import codec
from duragraph.api import intake
from duragraph.api.io import Call, Reply, Unread
from duragraph.errors import Busy, DuraGraphError, Invalid, Refused, Unavailable
from duragraph.frames import Mark
from duragraph.ids import new_id
from duragraph.models import EMPTY, NULL, Id, Json, MultitaskStrategy, RunCreate, StreamMode
from duragraph.pg import questions
from duragraph.pg.questions import Asking
from duragraph.protocol import EVENT_MODE

P = TypeVar("P")

SETTLE_SECONDS = 5.0
"""How long an answer waits for the run that asks to end: its question travels ahead of that."""
MOST_ANSWERS = 1000


@attrs.frozen
class Command:
    """What a client wants; `params` depend on the method."""

    id: int
    method: str
    params: Json = EMPTY


class Applied(msgspec.Struct):
    """How far the connection's events had come: nowhere, for a command alone."""

    applied_through_seq: int = 0


class Success(msgspec.Struct, tag_field="type", tag="success"):
    id: int
    result: dict[str, Any]
    meta: Applied = msgspec.field(default_factory=Applied)


class Failure(msgspec.Struct, tag_field="type", tag="error"):
    """`error` is one of the protocol's codes."""

    id: int | None
    error: str
    message: str


Answer = Success | Failure


class CommandError(Exception):
    """A command can't be carried out: one of the protocol's codes, and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class RunStart:
    assistant_id: Annotated[str, Meta(min_length=1)]
    input: Json = NULL
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    multitask_strategy: MultitaskStrategy | None = None
    multitaskStrategy: MultitaskStrategy | None = None  # noqa: N815 - as older clients say it


@attrs.frozen
class Respond:
    """One answer, or several as `responses`; the rest goes with them into one run."""

    interrupt_id: str | None = None
    response: Json = NULL
    responses: Annotated[list["Response"], Meta(max_length=MOST_ANSWERS)] | None = None
    namespace: list[str] = attrs.field(factory=list)
    update: Json = NULL
    goto: Json = NULL
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@attrs.frozen
class Response:
    interrupt_id: str
    response: Json = NULL
    namespace: list[str] = attrs.field(factory=list)


@attrs.frozen
class Fork:
    checkpoint_id: Id
    input: Json = NULL
    config: dict[str, Any] | None = None


async def send(
    call: Call, thread_id: str, *, body: Annotated[bytes, Unread(Command)]
) -> Reply[Answer]:
    """Carry out one command."""
    try:
        command = read(call, body)
    except Invalid as error:
        return Reply(Failure(None, "invalid_argument", error.message), status=400)
    return Reply(await answer(call, thread_id, command))


def read(call: Call, body: bytes) -> Command:
    """Raises Invalid."""
    return codec.loads(body, Command, max_depth=call.deps.config.max_depth)


async def answer(call: Call, thread_id: str, command: Command) -> Answer:
    """What becomes of the command. Raises Busy, Unavailable: it may be sent again."""
    carry_out = METHODS.get(command.method)
    if carry_out is None:
        unknown = f"Unknown protocol command: {command.method}"
        return Failure(command.id, "unknown_command", unknown)
    try:
        return Success(command.id, await carry_out(call, thread_id, command.params))
    except CommandError as error:
        return Failure(command.id, error.code, str(error))
    except (Busy, Unavailable):
        raise
    except (Invalid, Refused) as error:
        return Failure(command.id, "invalid_argument", error.message)
    except DuraGraphError as error:
        return Failure(command.id, "unknown_error", error.message)


async def _start(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    given = fitted(params, RunStart)
    strategy = given.multitask_strategy or given.multitaskStrategy
    answers: dict[str, Json] = {}
    if given.input != NULL:
        asking = await _asking(call, thread_id)
        if asking is not None and asking.status == "interrupted" and asking.ids:
            # What is given to a thread that asks is the answer.
            answers, strategy = {"resume": given.input}, strategy or "reject"
    run_id = await _run(
        call,
        thread_id,
        given.assistant_id,
        given.config,
        given.metadata,
        input=NULL if answers else given.input,
        command=Raw(codec.dumps(answers)) if answers else NULL,
        strategy=strategy or "enqueue",
    )
    return {"run_id": run_id}


async def _respond(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    given = fitted(params, Respond)
    responses = given.responses
    if responses is None:
        if given.interrupt_id is None:
            raise Invalid("input.respond requires an interrupt_id.")
        responses = [Response(given.interrupt_id, given.response)]
    if not responses:
        raise Invalid("input.respond requires at least one response.")
    asking = await _settled(call, thread_id, {each.interrupt_id for each in responses})
    if asking is None or asking.assistant_id is None:
        raise CommandError("no_such_run", "No interrupted run is bound to this thread.")
    for each in responses:
        if each.interrupt_id not in asking.ids:
            unknown = f"Unknown or already-consumed interrupt: {each.interrupt_id}"
            raise CommandError("no_such_interrupt", unknown)
    command: dict[str, Any] = {"resume": {each.interrupt_id: each.response for each in responses}}
    command |= {k: v for k, v in (("update", given.update), ("goto", given.goto)) if v != NULL}
    await _run(
        call,
        thread_id,
        asking.assistant_id,
        given.config,
        given.metadata,
        command=Raw(codec.dumps(command)),
        # Of two who answer at once the other finds the thread at work.
        strategy="reject",
    )
    return {}


async def _fork(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    given = fitted(params, Fork)
    asking = await _asking(call, thread_id)
    if asking is None or asking.assistant_id is None:
        raise CommandError("no_such_checkpoint", "The thread has no checkpoint to fork from.")
    config = given.config or {}
    configurable = (config.get("configurable") or {}) | {"checkpoint_id": given.checkpoint_id}
    config |= {"configurable": configurable}
    run_id = await _run(
        call, thread_id, asking.assistant_id, config, None, input=given.input, strategy="enqueue"
    )
    return {"run_id": run_id, "thread_id": thread_id}


METHODS: dict[str, Callable[[Call, str, Json], Awaitable[dict[str, Any]]]] = {
    "run.start": _start,
    "input.respond": _respond,
    "state.fork": _fork,
}


async def _run(
    call: Call,
    thread_id: str,
    assistant_id: str,
    config: dict[str, Any] | None,
    metadata: dict[str, Any] | None,
    *,
    input: Json = NULL,
    command: Json = NULL,
    strategy: MultitaskStrategy,
) -> str:
    """Create a run whose frames are events; raises as `intake.create`."""
    body = RunCreate(
        assistant_id=assistant_id,
        input=input,
        command=command,
        config=config or {},
        metadata=metadata or {},
        stream_mode=cast("StreamMode", EVENT_MODE),
        stream_subgraphs=True,
        stream_resumable=True,
        multitask_strategy=strategy,
        if_not_exists="create",
    )
    return (await intake.create(call, new_id(), thread_id, body)).run.run_id


async def _asking(call: Call, thread_id: str) -> Asking | None:
    async with call.tenant() as conn:
        return await questions.asking(conn, call.organization_id, thread_id)


async def _settled(call: Call, thread_id: str, ids: set[str]) -> Asking | None:
    """What the thread asks, once it asks `ids` or no run is under way."""
    streams = call.deps.streams
    with streams.subscribe_thread(call.organization_id, thread_id) as follower:
        now: Mark = await streams.thread_mark(call.organization_id, thread_id)
        asking = await _asking(call, thread_id)
        if asking is None or asking.status != "busy" or ids <= asking.ids:
            return asking
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                async for batch in streams.follow_thread(follower, after=now):
                    if batch.ended:
                        break
        except TimeoutError:
            pass
    return await _asking(call, thread_id)


def fitted(params: Json, type: type[P]) -> P:
    """A command's parameters. Raises Invalid."""
    try:
        return msgspec.json.decode(EMPTY if params == NULL else params, type=type)
    except msgspec.ValidationError as error:
        raise Invalid(str(error).replace("`$", "`$.params")) from None
