"""Commands that start runs: with an input, with answers to what a thread asks, as a fork."""

import asyncio
from typing import Annotated, Any, cast

import attrs
from msgspec import Meta, Raw

from duragraph import codec
from duragraph.api import creation
from duragraph.api.event_streaming.envelope import CommandError, read_params
from duragraph.api.io import Call
from duragraph.errors import Invalid
from duragraph.ids import new_id
from duragraph.models import (
    NULL,
    Configuration,
    Id,
    Json,
    MultitaskStrategy,
    RunCreate,
    RunnableConfig,
    StreamMode,
)
from duragraph.pg import questions
from duragraph.pg.questions import Asking
from duragraph.protocol import EVENT_MODE

SETTLE_SECONDS = 5.0
"""How long an answer waits for the run that asks to end: the interrupt's event comes before."""
MOST_ANSWERS = 1000


@attrs.frozen
class RunStart:
    assistant_id: Annotated[str, Meta(min_length=1)]
    input: Json = NULL
    config: RunnableConfig | None = None
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
    config: RunnableConfig | None = None
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
    config: RunnableConfig | None = None


async def start(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    """Run the graph on an input, or answer the interrupt at which the thread waits with it."""
    given = read_params(params, RunStart)
    strategy = given.multitask_strategy or given.multitaskStrategy
    answers: dict[str, Json] = {}
    if given.input != NULL:
        asking = await _asking(call, thread_id)
        if asking is not None and asking.status == "interrupted" and asking.ids:
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


async def respond(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    """Answer interrupts that wait. Raises CommandError if there is none, or not these."""
    given = read_params(params, Respond)
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
    waiting = asking.ids
    for each in responses:
        if each.interrupt_id not in waiting:
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


async def fork(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    """Run the graph from an older checkpoint. Raises CommandError if the thread has none."""
    given = read_params(params, Fork)
    codec.check(given.config or {}, Configuration, where="$.params.config")
    asking = await _asking(call, thread_id)
    if asking is None or asking.assistant_id is None:
        raise CommandError("no_such_checkpoint", "The thread has no checkpoint to fork from.")
    config = given.config or {}
    at = {"checkpoint_id": given.checkpoint_id}
    config = config | {"configurable": config.get("configurable", {}) | at}
    run_id = await _run(
        call, thread_id, asking.assistant_id, config, None, input=given.input, strategy="enqueue"
    )
    return {"run_id": run_id, "thread_id": thread_id}


async def _run(
    call: Call,
    thread_id: str,
    assistant_id: str,
    config: RunnableConfig | None,
    metadata: dict[str, Any] | None,
    *,
    input: Json = NULL,
    command: Json = NULL,
    strategy: MultitaskStrategy,
) -> str:
    """Create a run whose frames are events; raises as `creation.create`."""
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
        strict_resume=command != NULL,
        if_not_exists="create",
    )
    return (await creation.create(call, new_id(), thread_id, body)).run.run_id


async def _asking(call: Call, thread_id: str) -> Asking | None:
    async with call.tenant() as conn:
        return await questions.asking(conn, call.organization_id, thread_id)


async def _settled(call: Call, thread_id: str, ids: set[str]) -> Asking | None:
    """What the thread asks, once it asks `ids` or no run is under way."""
    streams = call.deps.streams
    with streams.subscribe_thread(call.organization_id, thread_id) as follower:
        now = await streams.thread_mark(call.organization_id, thread_id)
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
