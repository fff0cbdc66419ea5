"""Messages of a graph as A2A's parts, and back; A2A's objects in its two dialects. Pure.

The one place where the plane reads payloads: an agent that calls has no worker of ours to
translate for it. So it is kept small: text and JSON objects, no files; at most HISTORY messages,
the rest of a state is carried as bytes.
"""

from typing import Any

import attrs
import msgspec
from msgspec import UNSET, Raw, UnsetType

from duragraph import codec
from duragraph.api.agents.jsonrpc import INVALID_PARAMS, Fault, in_words
from duragraph.pg.agents import Task

HISTORY = 100
"""How many messages an answer shows at most: the last ones."""
CONTENT_TYPE_NOT_SUPPORTED = -32005
ROLES = {"human": "user", "ai": "agent"}
TERMINAL = frozenset({"completed", "canceled", "failed"})
STATES = {"submitted", "working", "input-required", *TERMINAL}


@attrs.frozen
class Part:
    """A piece of a message: text or a JSON object; anything else is read as neither."""

    text: str | None = None
    data: dict[str, Raw] | UnsetType = UNSET


@attrs.frozen
class Given:
    """A message that a client sends."""

    messageId: str  # noqa: N815 - the wire's names
    role: str
    parts: list[Part]
    contextId: str | None = None  # noqa: N815
    taskId: str | None = None  # noqa: N815

    @property
    def texts(self) -> list[str]:
        return [part.text for part in self.parts if part.text is not None]

    @property
    def data(self) -> dict[str, Raw]:
        """The keys of all objects; of equal ones the last."""
        objects = (part.data for part in self.parts if not isinstance(part.data, UnsetType))
        return {key: value for given in objects for key, value in given.items()}

    def check(self) -> None:
        """Raises Fault."""
        if not self.parts:
            raise Fault(INVALID_PARAMS, "Message must contain at least one part")
        if any(part == Part() for part in self.parts):
            raise Fault(CONTENT_TYPE_NOT_SUPPORTED, "Parts must be of text or data.")

    def as_input(self) -> Raw:
        """What a graph is given: the data, and the text as one message."""
        if not self.texts:
            return Raw(codec.dumps(self.data))
        kind = "ai" if self.role in {"agent", "ROLE_AGENT"} else "human"
        message = {"type": kind, "content": "\n".join(self.texts), "id": self.messageId}
        return Raw(codec.dumps(self.data | {"messages": [message]}))

    def as_answer(self) -> Raw:
        """What an interrupt is answered with: the data if there is any, or the text."""
        return Raw(codec.dumps({"resume": self.data or "\n".join(self.texts)}))


@attrs.frozen
class Said:
    """A message in a state, as far as it can be shown."""

    type: str = ""
    id: str | None = None
    content: str | list[Any] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            blocks = (block for block in self.content if isinstance(block, dict))
            return "".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")
        return self.content or ""


@attrs.frozen
class _Held:
    messages: list[Raw] | UnsetType = UNSET


def said(values: Raw | None) -> list[Said] | None:
    """The last messages of a state; None if it holds no such thing."""
    try:
        held = msgspec.json.decode(values or b"{}", type=_Held).messages
        if isinstance(held, UnsetType):
            return None
        return [msgspec.json.decode(message, type=Said) for message in held[-HISTORY:]]
    except msgspec.ValidationError:
        return None


def streamed(data: bytes) -> str:
    """The text so far of a message that is being streamed, from a `messages/partial` frame."""
    return "".join(part.text for part in msgspec.json.decode(data, type=list[Said]))


@attrs.frozen
class Dialect:
    """How A2A's objects are written: of 0.3, or of 1.0 (as Protocol Buffers write JSON)."""

    legacy: bool

    def _kind(self, kind: str) -> dict[str, str]:
        return {"kind": kind} if self.legacy else {}

    def text(self, text: str) -> dict[str, Any]:
        return self._kind("text") | {"text": text}

    def object(self, data: Any) -> dict[str, Any]:
        return self._kind("data") | {"data": data}

    def state(self, state: str) -> str:
        return state if self.legacy else f"TASK_STATE_{state.upper().replace('-', '_')}"

    def message(self, role: str, text: str, id: str, context_id: str) -> dict[str, Any]:
        return {
            **self._kind("message"),
            "role": role if self.legacy else f"ROLE_{role.upper()}",
            "parts": [self.text(text)],
            "messageId": id,
            "contextId": context_id,
        }

    def status(self, task: Task, *, text: str | None = None) -> dict[str, Any]:
        """Where a task stands; `text` of what it says, or why it failed."""
        status = {"state": self.state(task.state), "timestamp": task.updated_at}
        if task.state == "failed" and task.error is not None:
            text = in_words(task.error)
        if text is None:
            return status
        said = self.message("agent", text, task.run_id, task.context_id)
        return status | {"message": said | {"taskId": task_id(task)}}

    def history(self, task: Task, messages: list[Said], length: int | None) -> list[Any]:
        """The last `length` of what user and agent said; all that is known of it for None."""
        spoken = [m for m in messages if m.type in ROLES and m.text]
        return [
            self.message(ROLES[m.type], m.text, m.id or "", task.context_id)
            for m in (spoken if length is None else spoken[-length:])
        ]

    def artifacts(self, task: Task, values: Raw | None) -> list[Any]:
        """What came of the task: the agent's last word, or what it asks."""
        match task.state:
            case "completed":
                name, parts = "Assistant Response", self._result(values)
                description = f"Response from assistant {task.assistant_id}"
            case "input-required":
                name, description = "Interrupt", "Agent requires input to continue"
                parts = self._questions(task)
            case _:
                return []
        artifact = {"artifactId": task.run_id, "name": name, "description": description}
        return [artifact | {"parts": parts}]

    def _result(self, values: Raw | None) -> list[Any]:
        messages = said(values)
        if messages is None:
            return [self.object(values or {})]
        last = messages[-1] if messages else Said()
        return [self.text(last.text if last.type == "ai" else "")]

    def _questions(self, task: Task) -> list[Any]:
        by_task = msgspec.json.decode(task.interrupts, type=dict[str, list[dict[str, Raw]]])
        return [
            self.object({key: asked[key] for key in ("id", "value") if key in asked})
            for some in by_task.values()
            for asked in some
        ]

    def submitted(self, task: Task, given: Given) -> dict[str, Any]:
        """A task that was just made."""
        said = self.message("user", "\n".join(given.texts), given.messageId, task.context_id)
        return self.task(task, None, history=0) | {"history": [said] if given.texts else []}

    def task(
        self, task: Task, values: Raw | None, *, history: int | None, artifacts: bool = True
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {
            **self._kind("task"),
            "id": task_id(task),
            "contextId": task.context_id,
            "status": self.status(task),
        }
        if history != 0:
            shown["history"] = self.history(task, said(values) or [], history)
        if artifacts and (made := self.artifacts(task, values)):
            shown["artifacts"] = made
        return shown

    def answer(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """What may be one of several things: 1.0 says by a key which it is."""
        return body if self.legacy else {name: body}

    def status_update(self, task: Task, *, text: str | None = None) -> dict[str, Any]:
        final = {"final": text is None} if self.legacy else {}
        update = self._about(task, "status-update") | {"status": self.status(task, text=text)}
        return self.answer("statusUpdate", update | final)

    def artifact_update(self, task: Task, artifact: Any) -> dict[str, Any]:
        update = {"artifact": artifact, "append": False, "lastChunk": True}
        return self.answer("artifactUpdate", self._about(task, "artifact-update") | update)

    def _about(self, task: Task, kind: str) -> dict[str, Any]:
        return {"taskId": task_id(task), "contextId": task.context_id} | self._kind(kind)


def task_id(task: Task) -> str:
    return f"{task.context_id}:{task.root_id}"


V03, V10 = Dialect(legacy=True), Dialect(legacy=False)
