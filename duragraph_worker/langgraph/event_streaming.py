"""The frames of a LangGraph run that was started through the event-streaming protocol.

Owns what of a graph's progress is an event, and the fields of its data. The plane adds only
numbers, and what it alone knows: when a run began and how it ended.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import msgspec
from langchain_core.messages import ToolMessage

from duragraph.event_names import EventName
from duragraph.protocol import Frame
from duragraph_worker.errors import INTERNAL
from duragraph_worker.langgraph.frames import ValuesFrame
from duragraph_worker.langgraph.serialize import dump
from duragraph_worker.langgraph.terms import INTERRUPT, Namespace, checkpoint_id

Data: TypeAlias = Mapping[str, Any]

_NAMED = "custom:"
_ENDS = ("completed", "failed", "interrupted")


@attrs.frozen
class _Open:
    """A message that a model has begun and not ended."""

    message_id: str
    namespace: Namespace
    node: str


@attrs.define(eq=False)
class EventFrames:
    """Makes one frame an event of the parts that `event_parts` yields; subgraphs always show."""

    values: ValuesFrame
    _held: dict[Namespace, Frame] = attrs.field(factory=dict, init=False)
    """Values whose checkpoint is not known yet: LangGraph names it next."""
    _open: dict[str, _Open] = attrs.field(factory=dict, init=False)
    """By the model's run."""
    _asked: set[str] = attrs.field(factory=set)
    """The ids of the questions that have been told."""
    _graphs: dict[Namespace, str] = attrs.field(factory=dict, init=False)
    _errors: dict[str, BaseException] = attrs.field(factory=dict, init=False)
    """Of tasks that failed, by their ids."""
    _broken: dict[Namespace, list[Data]] = attrs.field(factory=dict, init=False)
    """Tools' errors, until it is known of what type they are: messages may hold secrets."""

    def of(self, ns: Namespace, mode: str, chunk: Any) -> Iterator[Frame]:
        """The frames that show one part."""
        if mode != "checkpoints":
            yield from self._released(ns)
        match mode:
            case "values":
                yield from self._values(ns, chunk)
            case "checkpoints":
                yield from self._checkpoint(ns, chunk)
            case "updates":
                yield from self._update(ns, chunk)
            case "tasks":
                yield from self._task(ns, chunk)
            case "messages":
                yield from self._message(ns, chunk)
            case "tools":
                yield from self._tool(ns, chunk)
            case "lifecycle":
                yield from self._lifecycle(ns, chunk)
            case _:
                yield from _custom(ns, mode, chunk)

    def rest(self) -> Iterator[Frame]:
        """What is held back, once the graph has stopped."""
        for ns in list(self._held):
            yield from self._released(ns)
        for ns, broken in self._broken.items():
            for chunk in broken:
                yield _frame("tools", ns, dump({**chunk, "message": INTERNAL}))
        self._broken.clear()

    def _values(self, ns: Namespace, chunk: Any) -> Iterator[Frame]:
        for broken in self._broken.pop(ns, ()):
            # The step went well: to tell of the error was the graph's own choice.
            yield _frame("tools", ns, dump(broken))
        if not (isinstance(chunk, dict) and INTERRUPT in chunk):
            self._held[ns] = self._shown(ns, chunk)
            return
        for asked in chunk[INTERRUPT]:
            # A subgraph has told of what its own tasks ask.
            if asked.id not in self._asked:
                self._asked.add(asked.id)
                told = {"interrupt_id": asked.id, "payload": asked.value, "value": asked.value}
                yield _frame("input.requested", ns, dump(told))
        yield self._shown(ns, {key: chunk[key] for key in chunk if key != INTERRUPT})

    def _checkpoint(self, ns: Namespace, chunk: Data) -> Iterator[Frame]:
        """Clients pair the envelope with the values that come next, to branch off there."""
        if ns not in self._held:
            return
        metadata, parent = chunk["metadata"], chunk["parent_config"]
        envelope = {"id": checkpoint_id(chunk["config"]), "step": metadata["step"]}
        if parent is not None:
            envelope["parent_id"] = checkpoint_id(parent)
        envelope["source"] = metadata["source"]
        yield _frame("checkpoints", ns, dump(envelope))
        yield from self._released(ns)

    def _released(self, ns: Namespace) -> Iterator[Frame]:
        if ns in self._held:
            yield self._held.pop(ns)

    def _shown(self, ns: Namespace, chunk: Any) -> Frame:
        data, checkpoint_id = self.values("|".join(ns), chunk)
        # The plane knows the values of root checkpoints only by their ids.
        return _frame("values", ns, data, checkpoint_id=None if ns else checkpoint_id)

    def _update(self, ns: Namespace, chunk: Data) -> Iterator[Frame]:
        for node, update in chunk.items():
            if node not in (INTERRUPT, "__metadata__"):
                data = dump(update)
                whole = data if data.startswith(b"{") else b'{"value":%b}' % data
                yield _frame("updates", ns, whole, node=node)

    def _task(self, ns: Namespace, task: Data) -> Iterator[Frame]:
        """Begun without its input: that is the state, and would be recorded once a task."""
        if "result" not in task:
            yield _frame("tasks", ns, dump({key: task[key] for key in ("id", "name", "triggers")}))
            return
        if (error := task["error"]) is not None:
            self._errors[task["id"]] = error
            yield from self._given_up(ns, task["name"], error)
            yield from self._tools_failed(ns, error)
        yield _frame("tasks", ns, dump(task))

    def _message(self, ns: Namespace, chunk: tuple[Any, Data]) -> Iterator[Frame]:
        """Only messages that are streamed have events; the rest comes with the values."""
        event, metadata = chunk
        if not isinstance(event, dict):
            return
        run_id = metadata["run_id"]
        if event["event"] == "message-start":
            self._open[run_id] = _Open(event.get("id") or run_id, ns, metadata["langgraph_node"])
        if (to := self._open.get(run_id)) is None:
            return
        if event["event"] == "message-finish":
            del self._open[run_id]
        yield _of_message(to, event)

    def _given_up(self, ns: Namespace, node: str, error: BaseException) -> Iterator[Frame]:
        told = _told(error)
        for run_id, to in list(self._open.items()):
            if (to.namespace, to.node) == (ns, node):
                del self._open[run_id]
                broken = {"event": "error", "message": told["message"], "code": told["error"]}
                yield _of_message(to, broken)

    def _tools_failed(self, ns: Namespace, error: BaseException) -> Iterator[Frame]:
        told = _told(error)
        for chunk in list(self._broken.get(ns, ())):
            if chunk["message"] == str(error):
                self._broken[ns].remove(chunk)
                failed = {**chunk, "message": told["message"], "code": told["error"]}
                yield _frame("tools", ns, dump(failed))

    def _tool(self, ns: Namespace, chunk: Data) -> Iterator[Frame]:
        if chunk["event"] == "tool-error":
            self._broken.setdefault(ns, []).append(chunk)
            return
        yield _frame("tools", ns, dump(chunk))
        output = chunk.get("output")
        if chunk["event"] == "tool-finished" and isinstance(output, ToolMessage):
            # Pages look for the answer in the namespace of its call.
            call_id = chunk["tool_call_id"]
            to = _Open(output.id or f"tool-{call_id}", (*ns, f"tools:{call_id}"), "")
            for event in _answer(call_id, output.content):
                yield _of_message(to, event)

    def _lifecycle(self, ns: Namespace, chunk: Data) -> Iterator[Frame]:
        """A subgraph's; the plane tells of the root's."""
        event = chunk["event"]
        if event == "started":
            self._graphs[ns] = chunk.get("graph_name", "")
            yield _frame("lifecycle", ns, dump(chunk))
        elif event in _ENDS:
            ended = {"event": event, "graph_name": self._graphs.get(ns, "")}
            if "error" in chunk:
                ended["error"] = self._reason(ns) or chunk["error"]
            yield _frame("lifecycle", ns, dump(ended))

    def _reason(self, ns: Namespace) -> str | None:
        """Why the subgraph failed, as far as clients may know."""
        error = self._errors.get(ns[-1].partition(":")[2])
        return None if error is None else _told(error)["message"]


def _frame(
    method: str, ns: Namespace, data: bytes, *, node: str = "", checkpoint_id: str | None = None
) -> Frame:
    # A task's name may be anything, but a frame's name has fields.
    name = EventName(method, time.time_ns() // 1_000_000, node.replace("|", " "), ns)
    return Frame(str(name), data, checkpoint_id)


def _custom(ns: Namespace, mode: str, chunk: Any) -> Iterator[Frame]:
    """What a node writes, and what a transformer puts on a channel of its own."""
    if mode == "custom":
        yield _frame("custom", ns, dump({"payload": chunk}))
    elif mode.startswith(_NAMED):
        named = {"name": mode.removeprefix(_NAMED), "payload": chunk}
        yield _frame("custom", ns, dump(named))


def _of_message(to: _Open, event: Data) -> Frame:
    # Python's client tells parallel messages apart by `id`, JavaScript's by `run_id`.
    ids = {"id": to.message_id, "run_id": to.message_id}
    return _frame("messages", to.namespace, dump({**event, **ids}), node=to.node)


def _answer(call_id: str, content: Any) -> tuple[Data, ...]:
    text = content if isinstance(content, str) else dump(content).decode()
    return (
        {"event": "message-start", "role": "tool", "tool_call_id": call_id},
        {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": text}},
        {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": text}},
        {"event": "message-finish", "metadata": {}},
    )


def _told(error: BaseException) -> dict[str, str]:
    told: dict[str, str] = msgspec.json.decode(dump(error))
    return told
