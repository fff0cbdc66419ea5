"""The frames of a run that was started through the event-streaming protocol.

Owns what of a graph's progress is an event, and the fields of its data. The plane adds only
numbers, and what it alone knows: when a run began and how it ended.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from duragraph.event_names import EventName
from duragraph.protocol import Frame
from duragraph_worker import serialize
from duragraph_worker.errors import GraphInterrupt, ParentCommand, masked
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.content_blocks import ContentBlocks
from duragraph_worker.executor.frames import Frames, Shown
from duragraph_worker.executor.run import Run
from duragraph_worker.messages import AIMessageChunk, Message
from duragraph_worker.plan import START


class EventStreamingFrames(Frames):
    """Puts one frame an event, whatever the stream modes; subgraphs always show."""

    def __init__(self, run: Run, ns: str) -> None:
        super().__init__(run, ns)
        self._namespace = tuple(ns.split("|")) if ns else ()
        self._modes = frozenset({"values", "updates", "tasks"})
        self._tasks = self.messages = self.customs = True
        self._open: dict[str, tuple[NodeTask, ContentBlocks]] = {}

    def _put(self, mode: str, data: bytes, *, checkpoint_id: str | None = None) -> None:
        self._event(mode, data, checkpoint_id=checkpoint_id)

    def _event(
        self, method: str, data: bytes, *, node: str = "", checkpoint_id: str | None = None
    ) -> None:
        at_ms = int(self._run.clock.now().timestamp() * 1000)
        name = EventName(method, at_ms, node, self._namespace)
        self._run.recorder.put(Frame(str(name), data, checkpoint_id))

    def values(self, state: bytes, *, checkpoint_id: str | None = None) -> None:
        # The plane knows the values of root checkpoints only by their ids.
        self._event("values", state, checkpoint_id=None if self._namespace else checkpoint_id)

    def stands_at(self, shown: Callable[[], Shown | None]) -> None:
        """Clients pair the envelope with the values that come next, to branch off there."""
        if (at := shown()) is None:
            return
        envelope: dict[str, Any] = {"id": at.checkpoint_id, "step": at.step}
        if at.parent_config is not None:
            envelope["parent_id"] = at.parent_config["checkpoint_id"]
        envelope["source"] = serialize.decode(at.metadata)["source"]
        self._event("checkpoints", serialize.encode(envelope))

    def started(self, task: NodeTask, step: int, state: bytes) -> None:  # noqa: ARG002
        """Without the input: it is the state, and would be recorded once a task."""
        if task.name != START:
            begun = {"id": task.id, "name": task.name, "triggers": task.triggers}
            self._event("tasks", serialize.encode(begun))

    def finished(self, task: NodeTask, step: int) -> None:
        """A task's update."""
        if task.name == START:
            return
        self._settle(task, None)
        update = task.result if task.updates and task.result is not None else b'{"value":null}'
        self._event("updates", update, node=task.name)
        if not task.replayed:
            self._ended(task, step)

    def failed(self, task: NodeTask, step: int, error: bytes) -> None:
        """A task's error, as clients see it."""
        self._settle(task, error)
        super().failed(task, step, error)

    def interrupted(self, task: NodeTask, step: int, state: bytes) -> None:
        """A task asks; a subgraph has told of what its own tasks ask."""
        for asked in task.interrupts:
            if asked.id not in self._run.asked:
                self._run.asked.add(asked.id)
                told = {"interrupt_id": asked.id, "payload": asked.value, "value": asked.value}
                self._event("input.requested", serialize.encode(told))
        self.values(state)
        asks = [{"value": each.value, "id": each.id} for each in task.interrupts]
        self._ended(task, step, interrupts=serialize.encode(asks))

    def breakpoint(self) -> None:
        """Is no event."""

    def custom(self, data: bytes, *, name: str | None) -> None:
        named = {} if name is None else {"name": name}
        self._event("custom", serialize.encode({**named, "payload": msgspec.Raw(data)}))

    @contextmanager
    def lifetime(self, task: NodeTask) -> Iterator[None]:
        """While the graph runs, a subgraph, as `task` of the graph above."""
        if task.waited != self._run.task.run_id:
            self._lifecycle(task, "started", namespace=self._namespace, trigger_call_id=task.id)
        try:
            yield
        except (GraphInterrupt, asyncio.CancelledError):
            self._lifecycle(task, "interrupted")
            raise
        except ParentCommand:
            self._lifecycle(task, "completed")
            raise
        except Exception as error:
            told = msgspec.json.decode(masked(error))
            self._lifecycle(task, "failed", error=told["message"])
            raise
        self._lifecycle(task, "completed")

    def _lifecycle(self, task: NodeTask, event: str, **fields: Any) -> None:
        data = {"event": event, "graph_name": task.name, **fields}
        self._event("lifecycle", serialize.encode(data))

    def tool(self, task: NodeTask, data: dict[str, Any]) -> None:
        """What becomes of a tool that a model has called."""
        self._event("tools", serialize.encode(data), node=task.name)

    def known(self, values: dict[str, Any]) -> None:
        """Only messages that are streamed have events; the rest comes with the values."""

    def returned(self, task: NodeTask, metadata: bytes) -> None:
        """As `known`."""

    def message(
        self, message: Message, task: NodeTask, metadata: bytes, *, streamed: bool  # noqa: ARG002
    ) -> None:  # fmt: skip
        """The next chunk of a message."""
        if not message.id or not isinstance(message, AIMessageChunk):
            return
        if message.id not in self._open:
            self._open[message.id] = task, ContentBlocks(message.id)
        self._messages(task, message.id, self._open[message.id][1].feed(message))
        if message.chunk_position == "last":
            del self._open[message.id]

    def _settle(self, task: NodeTask, error: bytes | None) -> None:
        """End what the task leaves open: a reply given up, or one whose last chunk is not named."""
        for message_id, (of, blocks) in list(self._open.items()):
            if of is not task:
                continue
            del self._open[message_id]
            events = blocks.finish() if error is None else iter([_broken(error)])
            self._messages(task, message_id, events)

    def _messages(self, task: NodeTask, message_id: str, events: Iterator[dict[str, Any]]) -> None:
        # Python's client tells parallel messages apart by `id`, JavaScript's by `run_id`.
        ids = {"id": message_id, "run_id": message_id}
        for event in events:
            self._event("messages", serialize.encode({**event, **ids}), node=task.name)


def _broken(error: bytes) -> dict[str, Any]:
    told = msgspec.json.decode(error)
    return {"event": "error", "message": told["message"], "code": told["error"]}
