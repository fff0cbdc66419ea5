"""The SSE frames of one graph's progress, for the stream modes that the run asked for.

Owns names, fields and order within one event as LangGraph's server sends them. Builds nothing
that nobody asked for; payloads that are JSON already are joined, not encoded again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs
import msgspec

from duragraph.protocol import Frame
from duragraph.usage import Usage, frame
from duragraph_worker import serialize
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.events import Events
from duragraph_worker.executor.run import Run
from duragraph_worker.executor.writes import interrupts_json
from duragraph_worker.messages import AIMessageChunk, Message
from duragraph_worker.plan import START

Raw = msgspec.Raw


@attrs.frozen
class Shown:
    """A checkpoint as `checkpoints` and `debug` frames show it."""

    checkpoint_id: str
    metadata: bytes
    config: dict[str, Any]
    parent_config: dict[str, Any] | None
    step: int


class Frames:
    """Puts the frames of the graph at namespace `ns`; "" is the root."""

    def __init__(self, run: Run, ns: str) -> None:
        shown = run.modes if not ns or run.kwargs.subgraphs else frozenset[str]()
        self._run = run
        self._modes = shown
        self._suffix = f"|{ns}" if ns else ""
        self._tasks = bool(shown & {"tasks", "debug"})
        self.checkpoints = bool(shown & {"checkpoints", "debug"})
        self.events = Events(run) if "events" in shown else None
        self.inputs = self._tasks or self.events is not None
        """Somebody looks at what tasks begin with."""
        self.messages = bool(shown & {"messages", "messages-tuple", "events"})
        self.customs = "custom" in shown
        self._partial: dict[str, AIMessageChunk] = {}
        self._task_metadata = b""

    def wants(self, mode: str) -> bool:
        return mode in self._modes

    def _put(self, mode: str, data: bytes, *, checkpoint_id: str | None = None) -> None:
        self._run.recorder.put(Frame(mode + self._suffix, data, checkpoint_id))

    def values(self, state: bytes, *, checkpoint_id: str | None = None) -> None:
        """`checkpoint_id` only where `state` is what that stored checkpoint folds to."""
        self._put("values", state, checkpoint_id=None if self._suffix else checkpoint_id)

    def stands_at(self, shown: Callable[[], Shown | None]) -> None:
        """The values that come next are this checkpoint's."""

    def lifetime(self, task: NodeTask) -> AbstractContextManager[None]:  # noqa: ARG002
        """While the graph runs, a subgraph, as `task` of the graph above."""
        return nullcontext()

    def tool(self, task: NodeTask, data: dict[str, Any]) -> None:
        """What becomes of a tool that a model has called."""

    def checkpoint(
        self, shown: Shown, *, state: bytes, tasks: list[NodeTask], subgraphs: frozenset[str]
    ) -> None:
        """The checkpoint and what runs next; `subgraphs` names the nodes that are graphs."""
        payload: dict[str, Any] = {
            "config": {"configurable": shown.config},
            "parent_config": shown.parent_config and {"configurable": shown.parent_config},
            "values": Raw(state),
            "metadata": Raw(shown.metadata),
            "next": [task.name for task in tasks],
            "tasks": [self._next(task, task.name in subgraphs) for task in tasks],
        }
        if self.wants("checkpoints"):
            self._put("checkpoints", serialize.encode(payload))
        if self.wants("debug"):
            for task in payload["tasks"]:
                if task["state"] is not None:
                    task["checkpoint"] = task.pop("state")["configurable"]
            payload["checkpoint"] = _pointer(shown.config)
            payload["parent_checkpoint"] = _pointer(shown.parent_config)
            self._debug("checkpoint", shown.step, serialize.encode(payload))

    def _next(self, task: NodeTask, is_graph: bool) -> dict[str, Any]:
        thread = {"thread_id": self._run.task.thread_id, "checkpoint_ns": task.ns}
        shown: dict[str, Any] = {"id": task.id, "name": task.name}
        if task.error is not None:
            shown["error"] = task.error
        else:
            if task.result is not None and task.result != b"{}":
                shown["result"] = Raw(task.result)
            shown["interrupts"] = Raw(interrupts_json(task.interrupts, streamed=True))
        shown["state"] = {"configurable": thread} if is_graph else None
        return shown

    def started(self, task: NodeTask, step: int, state: bytes) -> None:
        """A task begins; `state` is its input."""
        if not self.inputs or task.name == START:
            return
        if self.events is not None:
            self.events.node_started(task, step, state)
        if not self._tasks:
            return
        if not self._task_metadata:
            tags = self._run.config.get("tags")
            metadata = self._run.metadata
            self._task_metadata = serialize.encode({**metadata, "tags": tags} if tags else metadata)
        self._task(
            "task",
            step,
            {
                "id": task.id,
                "name": task.name,
                "input": Raw(state),
                "triggers": task.triggers,
                "metadata": Raw(self._task_metadata),
            },
        )

    def finished(self, task: NodeTask, step: int) -> None:
        """A task's update."""
        if task.name == START:
            return
        if self.wants("updates"):
            self._put("updates", _update(task))
        if self._tasks and not task.replayed:
            self._ended(task, step)
        if self.events is not None and not task.replayed:
            self.events.node_ended(task, step)

    def failed(self, task: NodeTask, step: int, error: bytes) -> None:
        """A task's error, as clients see it."""
        if self._tasks and task.name != START:
            self._ended(task, step, error=error)

    def interrupted(self, task: NodeTask, step: int, state: bytes) -> None:
        """A task asks; `state` is the one the superstep began with."""
        asked = interrupts_json(task.interrupts, streamed=True)
        field = serialize.join_object([("__interrupt__", asked)])
        if self.wants("updates"):
            self._put("updates", field)
        if self.wants("values"):
            self.values(serialize.extend_object(state, field))
        if self._tasks:
            self._ended(task, step, interrupts=asked)

    def breakpoint(self) -> None:
        if self.wants("updates"):
            self._put("updates", b'{"__interrupt__":[]}')

    def custom(self, data: bytes, *, name: str | None) -> None:  # noqa: ARG002
        """A node's own value, JSON; only if `customs`."""
        self._put("custom", data)

    def usage(self, usage: Usage, task: NodeTask) -> None:
        """A call of a model, whichever graph made it; without a namespace, as messages."""
        if "usage" in self._run.modes:
            self._run.recorder.put(Frame("usage", frame(usage, node=task.name)))

    def error(self, error: bytes) -> None:
        self._run.recorder.put(Frame("error", error))

    def _ended(
        self, task: NodeTask, step: int, *, error: bytes = b"null", interrupts: bytes = b"[]"
    ) -> None:
        result = {
            "id": task.id,
            "name": task.name,
            "error": Raw(error),
            "result": Raw(task.result or b"{}"),
            "interrupts": Raw(interrupts),
        }
        self._task("task_result", step, result)

    def _task(self, type: str, step: int, payload: dict[str, Any]) -> None:
        data = serialize.encode(payload)
        if self.wants("tasks"):
            self._put("tasks", data)
        if self.wants("debug"):
            self._debug(type, step, data)

    def _debug(self, type: str, step: int, payload: bytes) -> None:
        at = self._run.clock.now().isoformat()
        frame = {"step": step, "timestamp": at, "type": type, "payload": Raw(payload)}
        self._put("debug", serialize.encode(frame))

    def known(self, values: dict[str, Any]) -> None:
        """Messages that were in the state before a task began need not be shown again."""
        for message in _messages_in(values):
            if message.id:
                self._run.messages_seen.add(message.id)

    def message(
        self, message: Message, task: NodeTask, metadata: bytes, *, streamed: bool  # noqa: ARG002
    ) -> None:  # fmt: skip
        """A message, or the next chunk of one, with the metadata of the task that made it."""
        if not self.messages or not message.id:
            return
        if streamed:
            self._run.messages_seen.add(message.id)
        if self.events is not None and isinstance(message, AIMessageChunk):
            self.events.chunk(message, metadata)
        if self.wants("messages-tuple"):
            self._put("messages", serialize.join_array([serialize.encode(message), metadata]))
            return
        if not self.wants("messages"):
            return
        first = message.id not in self._partial
        if isinstance(message, AIMessageChunk):
            whole = message if first else self._partial[message.id] + message
            self._partial[message.id] = whole
            self._message_frame(whole.so_far(), "messages/partial", metadata if first else None)
        else:
            self._message_frame(message, "messages/complete", metadata if first else None)

    def _message_frame(self, message: Message, event: str, metadata: bytes | None) -> None:
        # These never carry a namespace, unlike all others.
        put = self._run.recorder.put
        if metadata is not None:
            told = {message.id: {"metadata": Raw(metadata)}}
            put(Frame("messages/metadata", serialize.encode(told)))
        put(Frame(event, serialize.encode([message])))

    def returned(self, task: NodeTask, metadata: bytes) -> None:
        """Show the messages of a task's update that were not streamed."""
        for message in _messages_in({u.channel: u.value for u in task.updates}):
            if message.id and message.id not in self._run.messages_seen:
                self._run.messages_seen.add(message.id)
                self.message(message, task, metadata, streamed=False)


def _update(task: NodeTask) -> bytes:
    channels = [update.channel for update in task.updates]
    if not channels:
        update = b"null"
    elif len(set(channels)) == len(channels):
        update = task.result or b"null"
    else:
        update = serialize.join_array(
            serialize.join_object([(u.channel, u.encoded or serialize.encode(u.value))])
            for u in task.updates
        )
    frame = serialize.join_object([(task.name, update)])
    cached = b'{"__metadata__":{"cached":true}}'
    return serialize.extend_object(frame, cached) if task.replayed else frame


def _pointer(config: dict[str, Any] | None) -> dict[str, Any] | None:
    if config is None:
        return None
    names = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")
    return {name: config[name] for name in names if name in config}


def _messages_in(values: dict[str, Any]) -> list[Message]:
    found: list[Message] = []
    for value in values.values():
        if isinstance(value, Message):
            found.append(value)
        elif isinstance(value, list):
            found.extend(item for item in value if isinstance(item, Message))
    return found
