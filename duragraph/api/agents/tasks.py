"""A2A's methods for tasks that exist: read, cancelled, listed.

Owns a task's id and the form of an answer. Makes no runs: see `a2a.py`.
"""

from typing import Annotated, Any, Self, TypeAlias
from uuid import UUID

import attrs
from aiohttp import web
from msgspec import Meta, Raw

from duragraph import codec
from duragraph.api.access import threads as access
from duragraph.api.agents import jsonrpc, parts
from duragraph.api.agents.jsonrpc import INVALID_PARAMS, Failure, Fault, Message, MessageId, Success
from duragraph.api.agents.parts import V10, Dialect
from duragraph.api.io import Call
from duragraph.pg import agents
from duragraph.pg.agents import Agent, Filter, Task

NOT_FOUND, NOT_CANCELABLE = -32001, -32002
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
        return frame(self.success(result))

    def answer(self, result: Any) -> web.Response:
        return web.Response(body=self.success(result), content_type="application/json")


@attrs.frozen
class TaskId:
    """A task's thread and its first run."""

    context_id: str
    root_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Fault."""
        context_id, _, root_id = text.partition(":")
        if not (is_uuid(context_id) and is_uuid(root_id)):
            raise Fault(NOT_FOUND, f"Task not found: {text}")
        return cls(context_id, root_id)

    def __str__(self) -> str:
        return f"{self.context_id}:{self.root_id}"


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


async def get(asked: Asked, message: Message) -> web.Response:
    named = jsonrpc.params(message, Named)
    task, values = await read(asked, TaskId.parse(named.id))
    return asked.answer(asked.dialect.task(task, values, history=named.historyLength))


async def cancel(asked: Asked, message: Message) -> web.Response:
    task_id = TaskId.parse(jsonrpc.params(message, Named).id)
    task = await known(asked, task_id, action="update")
    ended = await asked.call.deps.cancels.cancel(
        asked.call.organization_id, task.context_id, run_ids=[task.run_id], action="interrupt"
    )
    if not ended:
        raise Fault(NOT_CANCELABLE, "Task is not cancelable in its current state")
    task, values = await read(asked, task_id)
    return asked.answer(asked.dialect.task(task, values, history=None))


async def list_tasks(asked: Asked, message: Message) -> web.Response:
    wants = jsonrpc.params(message, ListTasks)
    if wants.pageToken and not is_uuid(wants.pageToken):
        raise Fault(INVALID_PARAMS, "Invalid pageToken.")
    state = STATES.get(wants.status)
    if wants.status and state is None:
        raise Fault(INVALID_PARAMS, f"Invalid status value: '{wants.status}'.")
    found: list[Task] = []
    total = 0
    if not wants.contextId or is_uuid(wants.contextId):
        org = asked.call.organization_id
        those = Filter(asked.agent.assistant_id, wants.contextId or None, state or None)
        async with (await access.listing(asked.call)).tenant() as conn:
            before = wants.pageToken or None
            found = await agents.tasks(conn, org, those, before=before, limit=wants.pageSize + 1)
            total = await agents.count(conn, org, those)
    page = found[: wants.pageSize]
    return asked.answer(
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


async def known(asked: Asked, task_id: TaskId, *, action: str = "read") -> Task:
    """The task as it stands, for who may do this to its thread. Raises Fault."""
    async with (await access.reading(asked.call, action, task_id.context_id)).tenant() as conn:
        task = await agents.task(
            conn,
            asked.call.organization_id,
            asked.agent.assistant_id,
            task_id.context_id,
            task_id.root_id,
        )
    if task is None:
        raise Fault(NOT_FOUND, f"Task not found: {task_id}")
    return task


async def _values(asked: Asked, task: Task) -> Raw | None:
    """The state that it came to."""
    org, context_id = asked.call.organization_id, task.context_id
    async with (await access.reading(asked.call, "read", context_id)).tenant() as conn:
        return await agents.values(conn, org, context_id, task.run_id)


async def read(asked: Asked, task_id: TaskId) -> tuple[Task, Raw | None]:
    task = await known(asked, task_id)
    return task, await _values(asked, task)


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def frame(answer: bytes) -> bytes:
    return b"event: message\r\ndata: %b\r\n\r\n" % answer
