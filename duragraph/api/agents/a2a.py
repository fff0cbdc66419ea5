"""A2A: every assistant is an agent that others talk to. A context is a thread, a task a run.

Contract: a2a-protocol.org, 0.3 (`message/send`, …) and 1.0 (`SendMessage`, …), and the LangGraph
server's recorded answers. All is in PostgreSQL, so that any plane answers for a task, also after
its end; a client who hangs up changes nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import attrs
from aiohttp import web
from msgspec import UNSET, Meta, Raw

from duragraph import codec
from duragraph.api import intake, sse
from duragraph.api.agents import cards, jsonrpc, parts
from duragraph.api.agents.jsonrpc import INVALID_PARAMS, Failure, Fault, Message, MessageId, Success
from duragraph.api.agents.parts import TERMINAL, V03, V10, Dialect, Given
from duragraph.api.io import Call, EventStream, Reply, Unread, Value
from duragraph.errors import NotFound, Refused
from duragraph.frames import Batch
from duragraph.ids import assistant_id, new_id
from duragraph.models import RunCreate, StreamMode
from duragraph.pg import agents
from duragraph.pg.agents import Agent, Filter, Task

NOT_FOUND, NOT_CANCELABLE, UNSUPPORTED, VERSION_UNSUPPORTED = -32001, -32002, -32004, -32009
EVENTS = {"Content-Type": "text/event-stream"}
PAGE = 50

STATES = {V10.state(state): state for state in parts.STATES} | {"TASK_STATE_UNSPECIFIED": ""}

Length: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)] | None


@attrs.frozen
class Asked:
    """One request, of whom, and how it is to be answered."""

    call: Call
    agent: Agent
    dialect: Dialect
    id: MessageId

    def success(self, result: Any) -> bytes:
        return codec.dumps(Success(self.id, result))

    def failure(self, fault: Fault) -> bytes:
        return codec.dumps(Failure(self.id, fault.problem))

    def frame(self, result: Any) -> bytes:
        return _frame(self.success(result))


@attrs.frozen
class Place:
    """What a task's id names: its thread, its first run."""

    context_id: str
    root_id: str


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
class Named:
    """A task, by its id."""

    id: str
    historyLength: Length = None  # noqa: N815


@attrs.frozen
class ListTasks:
    contextId: str = ""  # noqa: N815 - the wire's names
    status: str = ""
    pageSize: Annotated[int, Meta(ge=1, le=100)] = PAGE  # noqa: N815
    pageToken: str = ""  # noqa: N815
    historyLength: Length = 0  # noqa: N815
    includeArtifacts: bool = False  # noqa: N815


@attrs.frozen
class CardQuery:
    assistant_id: str | None = None


async def card(call: Call, assistant: str) -> Value:
    """The assistant's agent card."""
    agent = await _agent(call, assistant)
    return web.Response(body=codec.dumps(cards.card(call, agent)), content_type="application/json")


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
    jsonrpc.refuse_strangers(call)
    asked_id: MessageId = None
    streams = False
    try:
        message = jsonrpc.decode(call, body)
        if message.method is None or message.id is UNSET:
            return Reply(status=202)
        asked_id, streams = message.id, message.method in STREAMING
        dialect, method = _method(call, message.method)
        agent = await jsonrpc.met(_agent(call, assistant))
        return await jsonrpc.met(method(Asked(call, agent, dialect, asked_id), message))
    except Fault as fault:
        failed = codec.dumps(Failure(asked_id, fault.problem))
    if streams:
        return await sse.written(call, _one(_frame(failed)), EVENTS)
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
        place = Place(task.context_id, task.root_id)
        batches = streams.follow(run_id, follower, fresh=True) if wants.waits else _nothing()
        return await sse.value(asked.call, _sent(asked, place, batches, wants.historyLength), {})


async def _sent(
    asked: Asked, place: Place, batches: AsyncIterator[Batch], history: int | None
) -> bytes:
    async for _ in batches:
        pass
    try:
        task, values = await _read(asked, place)
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
    task, values = await _read(asked, _place(jsonrpc.params(message, Named).id))
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
        task, values = await _read(asked, Place(task.context_id, task.root_id))
    except Fault as fault:
        yield _frame(asked.failure(fault))
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
        place = Place(_context(given.contextId), run_id)
        body = attrs.evolve(body, input=given.as_input(), if_not_exists="create")
    else:
        place = await _answerable(asked, given.taskId, given.contextId)
        body = attrs.evolve(body, command=given.as_answer(), multitask_strategy="reject")
    body = attrs.evolve(body, metadata={"a2a_task": place.root_id})
    run = (await intake.create(asked.call, run_id, place.context_id, body)).run
    return Task(
        place.context_id, place.root_id, run_id, run.assistant_id, "submitted", run.created_at
    )


async def _answerable(asked: Asked, name: str, context_id: str | None) -> Place:
    """A task that waits for its user. Raises Fault."""
    task = await _known(asked, _place(name))
    if context_id not in {None, "", task.context_id}:
        raise Fault(INVALID_PARAMS, "The task belongs to another context")
    if task.state in TERMINAL:
        raise Fault(UNSUPPORTED, "A terminal task cannot accept another message")
    if task.state != "input-required":
        raise Fault(UNSUPPORTED, "The task is at work and asks for no message")
    return Place(task.context_id, task.root_id)


def _check_input(agent: Agent, given: Given) -> None:
    fields = cards.fields(agent)
    if given.texts and fields and "messages" not in fields:
        raise Fault(
            INVALID_PARAMS,
            f"Assistant '{agent.assistant_id}' (graph '{agent.graph_id}') does not support A2A "
            "conversational messages. Graph input schema must include a 'messages' field to "
            f"accept text or file parts. Available input fields: {fields}",
        )


async def _get(asked: Asked, message: Message) -> web.Response:
    named = jsonrpc.params(message, Named)
    task, values = await _read(asked, _place(named.id))
    return _answered(asked, asked.dialect.task(task, values, history=named.historyLength))


async def _cancel(asked: Asked, message: Message) -> web.Response:
    place = _place(jsonrpc.params(message, Named).id)
    task = await _known(asked, place)
    ended = await asked.call.deps.dispatcher.cancel(
        asked.call.organization_id, task.context_id, run_ids=[task.run_id], action="interrupt"
    )
    if not ended:
        raise Fault(NOT_CANCELABLE, "Task is not cancelable in its current state")
    task, values = await _read(asked, place)
    return _answered(asked, asked.dialect.task(task, values, history=None))


async def _list(asked: Asked, message: Message) -> web.Response:
    wants = jsonrpc.params(message, ListTasks)
    if wants.pageToken and not _is_uuid(wants.pageToken):
        raise Fault(INVALID_PARAMS, "Invalid pageToken.")
    state = STATES.get(wants.status)
    if wants.status and state is None:
        raise Fault(INVALID_PARAMS, f"Invalid status value: '{wants.status}'.")
    found: list[Task] = []
    total = 0
    if not wants.contextId or _is_uuid(wants.contextId):
        org = asked.call.organization_id
        those = Filter(asked.agent.assistant_id, wants.contextId or None, state or None)
        async with asked.call.tenant() as conn:
            before = wants.pageToken or None
            found = await agents.tasks(conn, org, those, before=before, limit=wants.pageSize + 1)
            total = await agents.count(conn, org, those)
    page = found[: wants.pageSize]
    return _answered(
        asked,
        {
            "tasks": [await _listed(asked, task, wants) for task in page],
            "totalSize": total,
            "pageSize": len(page),
            "nextPageToken": page[-1].run_id if len(found) > len(page) else "",
        },
    )


async def _listed(asked: Asked, task: Task, wants: ListTasks) -> dict[str, Any]:
    """States may be big: one is read at a time, and only if it is to be seen."""
    seen = wants.historyLength != 0 or wants.includeArtifacts
    values = await _values(asked, task) if seen else None
    return asked.dialect.task(
        task, values, history=wants.historyLength, artifacts=wants.includeArtifacts
    )


async def _extended_card(asked: Asked, _message: Message) -> web.Response:
    return _answered(asked, cards.card(asked.call, asked.agent))


async def _known(asked: Asked, place: Place) -> Task:
    """The task as it stands. Raises Fault."""
    async with asked.call.tenant() as conn:
        task = await agents.task(
            conn,
            asked.call.organization_id,
            asked.agent.assistant_id,
            place.context_id,
            place.root_id,
        )
    if task is None:
        raise Fault(NOT_FOUND, f"Task not found: {place.context_id}:{place.root_id}")
    return task


async def _values(asked: Asked, task: Task) -> Raw | None:
    """The state that it came to."""
    org = asked.call.organization_id
    async with asked.call.tenant() as conn:
        return await agents.values(conn, org, task.context_id, task.run_id)


async def _read(asked: Asked, place: Place) -> tuple[Task, Raw | None]:
    task = await _known(asked, place)
    return task, await _values(asked, task)


def _place(name: str) -> Place:
    context_id, _, root_id = name.partition(":")
    if not (_is_uuid(context_id) and _is_uuid(root_id)):
        raise Fault(NOT_FOUND, f"Task not found: {name}")
    return Place(context_id, root_id)


def _context(name: str | None) -> str:
    if name and not _is_uuid(name):
        raise Fault(INVALID_PARAMS, "Failed to create run: Invalid thread ID")
    return name or new_id()


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _answered(asked: Asked, result: Any) -> web.Response:
    return web.Response(body=asked.success(result), content_type="application/json")


def _frame(answer: bytes) -> bytes:
    return b"event: message\r\ndata: %b\r\n\r\n" % answer


async def _one(frame: bytes) -> AsyncIterator[bytes]:
    yield frame


async def _nothing() -> AsyncIterator[Batch]:
    return
    yield


Method: TypeAlias = Callable[[Asked, Message], Awaitable[web.StreamResponse]]
METHODS: dict[str, tuple[Dialect, Method]] = {
    "message/send": (V03, _send),
    "message/stream": (V03, _stream),
    "tasks/get": (V03, _get),
    "tasks/cancel": (V03, _cancel),
    "tasks/resubscribe": (V03, _resubscribe),
    "agent/getAuthenticatedExtendedCard": (V03, _extended_card),
    "SendMessage": (V10, _send),
    "SendStreamingMessage": (V10, _stream),
    "GetTask": (V10, _get),
    "CancelTask": (V10, _cancel),
    "ListTasks": (V10, _list),
    "SubscribeToTask": (V10, _resubscribe),
    "GetExtendedAgentCard": (V10, _extended_card),
}
STREAMING = frozenset(
    {"message/stream", "tasks/resubscribe", "SendStreamingMessage", "SubscribeToTask"}
)
