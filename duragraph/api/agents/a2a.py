"""A2A: every assistant is an agent that others talk to. A context is a thread, a task a run.

Contract: a2a-protocol.org, 0.3 (`message/send`, …) and 1.0 (`SendMessage`, …), and the LangGraph
server's recorded answers. All is in PostgreSQL, so that any plane answers for a task, also after
its end; a client who hangs up changes nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeAlias

import attrs
from aiohttp import web
from msgspec import UNSET

from duragraph import codec
from duragraph.api import creation, sse
from duragraph.api.agents import cards, jsonrpc, parts, tasks
from duragraph.api.agents.jsonrpc import INVALID_PARAMS, Failure, Fault, Message, MessageId
from duragraph.api.agents.parts import TERMINAL, V03, V10, Dialect, Given
from duragraph.api.agents.tasks import Asked, Length, TaskId
from duragraph.api.io import Call, EventStream, Reply, Unread, Value, reply
from duragraph.errors import NotFound, Refused
from duragraph.frames import Batch
from duragraph.ids import assistant_id, new_id
from duragraph.models import RunCreate, StreamMode
from duragraph.pg import agents
from duragraph.pg.agents import Agent, Task

UNSUPPORTED, VERSION_UNSUPPORTED = -32004, -32009
EVENTS = {"Content-Type": "text/event-stream"}


@attrs.frozen
class Configuration:
    """`blocking` is 0.3's, `returnImmediately` 1.0's."""

    blocking: bool | None = None
    returnImmediately: bool = False  # noqa: N815 - the wire's names
    historyLength: Length = None  # noqa: N815

    @property
    def waits(self) -> bool:
        return self.blocking is not False and not self.returnImmediately


@attrs.frozen
class Send:
    message: Given
    configuration: Configuration | None = None


@attrs.frozen
class CardQuery:
    assistant_id: str | None = None


async def card(call: Call, assistant: str) -> Value:
    """The assistant's agent card."""
    agent = await _agent(call, assistant)
    return reply(cards.card(call, agent), 200)


async def get(call: Call, assistant: str) -> Value:
    """The same at the agent's own address."""
    return await card(call, assistant)


async def well_known_card(call: Call, *, query: CardQuery) -> Value:
    """The agent card of the assistant named by `assistant_id`."""
    if query.assistant_id is None:
        raise Refused("Missing required query parameter: assistant_id")
    return await card(call, query.assistant_id)


async def post(
    call: Call, assistant: str, *, body: Annotated[bytes, Unread(Message)]
) -> Value | EventStream | Reply[None]:
    """One JSON-RPC message. A streaming method is answered with Server-Sent Events."""
    jsonrpc.check_origin(call)
    asked_id: MessageId = None
    streams = False
    try:
        message = jsonrpc.decode(call, body)
        if message.method is None or message.id is UNSET:
            return Reply(status=202)
        asked_id, streams = message.id, message.method in STREAMING
        dialect, method = _method(call, message.method)
        with jsonrpc.faults():
            agent = await _agent(call, assistant)
            return await method(Asked(call, agent, dialect, asked_id), message)
    except Fault as fault:
        failed = codec.dumps(Failure(asked_id, fault.problem))
    if streams:
        return await sse.written(call, _one(tasks.frame(failed)), EVENTS)
    return web.Response(body=failed, content_type="application/json")


def _method(call: Call, name: str) -> "tuple[Dialect, Method]":
    version = call.request.headers.get("A2A-Version", "")
    if version and not version.startswith(("0.3", "1.0")):
        raise Fault(VERSION_UNSUPPORTED, f"A2A {version} is not spoken here, but 0.3 and 1.0 are.")
    if name not in METHODS:
        raise Fault(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {name}")
    return METHODS[name]


async def _agent(call: Call, name: str) -> Agent:
    """By assistant id or graph name. Raises NotFound."""
    async with call.tenant() as conn:
        agent = await agents.agent(conn, call.organization_id, assistant_id(name))
    if agent is None:
        raise NotFound(f"Assistant '{name}' not found")
    return agent


async def _send(asked: Asked, message: Message) -> web.StreamResponse:
    given = jsonrpc.params(message, Send)
    wants, run_id = given.configuration or Configuration(), new_id()
    streams = asked.call.deps.streams
    with streams.subscribe(run_id) as follower:
        task = await _start(asked, given.message, run_id, ["values"])
        task_id = TaskId(task.context_id, task.root_id)
        batches = streams.follow(run_id, follower, fresh=True) if wants.waits else _nothing()
        return await sse.value(asked.call, _sent(asked, task_id, batches, wants.historyLength), {})


async def _sent(
    asked: Asked, task_id: TaskId, batches: AsyncIterator[Batch], history: int | None
) -> bytes:
    async for _ in batches:
        pass
    try:
        task, values = await tasks.read(asked, task_id)
    except Fault as fault:
        return asked.failure(fault)
    shown = asked.dialect.task(task, values, history=history)
    return asked.success(asked.dialect.answer("task", shown))


async def _stream(asked: Asked, message: Message) -> web.StreamResponse:
    given = jsonrpc.params(message, Send).message
    run_id = new_id()
    streams = asked.call.deps.streams
    with streams.subscribe(run_id) as follower:
        task = await _start(asked, given, run_id, ["values", "messages"])
        batches = streams.follow(run_id, follower, fresh=True)
        updates = _updates(asked, task, asked.dialect.submitted(task, given), batches)
        return await sse.written(asked.call, updates, EVENTS)


async def _resubscribe(asked: Asked, message: Message) -> web.StreamResponse:
    task, values = await tasks.read(asked, TaskId.parse(jsonrpc.params(message, tasks.Named).id))
    if task.state in TERMINAL:
        raise Fault(UNSUPPORTED, "A task that has ended has no more to tell")
    streams = asked.call.deps.streams
    with streams.subscribe(task.run_id) as follower:
        batches = streams.follow(task.run_id, follower)
        updates = _updates(asked, task, asked.dialect.task(task, values, history=None), batches)
        return await sse.written(asked.call, updates, EVENTS)


async def _updates(
    asked: Asked, task: Task, shown: dict[str, Any], batches: AsyncIterator[Batch]
) -> AsyncIterator[bytes]:
    """The task; what its agent says, as far as it has come; what came of it, and how it stands."""
    write = asked.dialect
    yield asked.frame(write.answer("task", shown))
    working = attrs.evolve(task, state="working")
    async for batch in batches:
        for _, event, data in batch.numbered():
            if event == "messages/partial":
                yield asked.frame(write.status_update(working, text=parts.streamed(data)))
    try:
        task, values = await tasks.read(asked, TaskId(task.context_id, task.root_id))
    except Fault as fault:
        yield tasks.frame(asked.failure(fault))
        return
    for artifact in write.artifacts(task, values):
        yield asked.frame(write.artifact_update(task, artifact))
    yield asked.frame(write.status_update(task))


async def _start(asked: Asked, given: Given, run_id: str, stream_mode: list[StreamMode]) -> Task:
    """Make the run that the message asks for. Raises Fault, and what creating a run raises."""
    given.check()
    body = RunCreate(asked.agent.assistant_id, stream_mode=stream_mode)
    if not given.taskId:
        _check_input(asked.agent, given)
        task_id = TaskId(_context(given.contextId), run_id)
        body = attrs.evolve(body, input=given.as_input(), if_not_exists="create")
    else:
        task_id = await _answerable(asked, given.taskId, given.contextId)
        body = attrs.evolve(body, command=given.as_answer(), multitask_strategy="reject")
    body = attrs.evolve(body, metadata={"a2a_task": task_id.root_id})
    run = (await creation.create(asked.call, run_id, task_id.context_id, body)).run
    return Task(
        task_id.context_id, task_id.root_id, run_id, run.assistant_id, "submitted", run.created_at
    )


async def _answerable(asked: Asked, name: str, context_id: str | None) -> TaskId:
    """A task that waits for its user. Raises Fault."""
    task = await tasks.known(asked, TaskId.parse(name))
    if context_id not in {None, "", task.context_id}:
        raise Fault(INVALID_PARAMS, "The task belongs to another context")
    if task.state in TERMINAL:
        raise Fault(UNSUPPORTED, "A terminal task cannot accept another message")
    if task.state != "input-required":
        raise Fault(UNSUPPORTED, "The task is at work and asks for no message")
    return TaskId(task.context_id, task.root_id)


def _check_input(agent: Agent, given: Given) -> None:
    fields = cards.fields(agent)
    if given.texts and fields and "messages" not in fields:
        raise Fault(
            INVALID_PARAMS,
            f"Assistant '{agent.assistant_id}' (graph '{agent.graph_id}') does not support A2A "
            "conversational messages. Graph input schema must include a 'messages' field to "
            f"accept text or file parts. Available input fields: {fields}",
        )


async def _extended_card(asked: Asked, _message: Message) -> web.Response:
    return asked.answer(cards.card(asked.call, asked.agent))


def _context(name: str | None) -> str:
    if name and not tasks.is_uuid(name):
        raise Fault(INVALID_PARAMS, "Failed to create run: Invalid thread ID")
    return name or new_id()


async def _one(frame: bytes) -> AsyncIterator[bytes]:
    yield frame


async def _nothing() -> AsyncIterator[Batch]:
    return
    yield


Method: TypeAlias = Callable[[Asked, Message], Awaitable[web.StreamResponse]]
METHODS: dict[str, tuple[Dialect, Method]] = {
    "message/send": (V03, _send),
    "message/stream": (V03, _stream),
    "tasks/get": (V03, tasks.get),
    "tasks/cancel": (V03, tasks.cancel),
    "tasks/resubscribe": (V03, _resubscribe),
    "agent/getAuthenticatedExtendedCard": (V03, _extended_card),
    "SendMessage": (V10, _send),
    "SendStreamingMessage": (V10, _stream),
    "GetTask": (V10, tasks.get),
    "CancelTask": (V10, tasks.cancel),
    "ListTasks": (V10, tasks.list_tasks),
    "SubscribeToTask": (V10, _resubscribe),
    "GetExtendedAgentCard": (V10, _extended_card),
}
STREAMING = frozenset(
    {"message/stream", "tasks/resubscribe", "SendStreamingMessage", "SubscribeToTask"}
)
