"""The parts of a LangGraph stream as the SSE frames that LangGraph's server makes of them.

Owns names, fields and order of the frames of each stream mode. Builds nothing that nobody asked
for; knows no network and no record.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs
from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    convert_to_messages,
    message_chunk_to_message,
)

from duragraph.protocol import Frame
from duragraph_worker.langgraph.serialize import dump
from duragraph_worker.langgraph.terms import Namespace
from duragraph_worker.serialize import join_array, join_object

ValuesFrame = Callable[[str, Any], tuple[bytes, str | None]]
"""`(ns, chunk)` of a `values` part -> its JSON, and the checkpoint that folds to it, if any."""

_POINTER = "checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map"
_TOGETHER = "messages-tuple"


@attrs.define
class Frames:
    """Makes the frames of one run, whose client asked for `modes`."""

    modes: frozenset[str]
    subgraphs: bool
    values: ValuesFrame
    _messages: dict[str, BaseMessage] = attrs.field(factory=dict, init=False)
    """What has been streamed of each message, by id."""
    _early: dict[int, tuple[Any, bytes]] = attrs.field(factory=dict, init=False)
    """Updates and what they said as they were made, by identity."""
    _metadata: tuple[Any, bytes] = attrs.field(default=(None, b""), init=False)
    """The last message's metadata, and its JSON: a model's tokens share it."""

    @property
    def asked(self) -> set[str]:
        """The modes that the graph is to be streamed in for them."""
        asked = set(self.modes) & {"values", "updates", "custom", "debug", "tasks", "checkpoints"}
        return asked | ({"messages"} if self.modes & {"messages", _TOGETHER} else set())

    @property
    def told_early(self) -> set[str]:
        """The modes whose parts are wanted by `early` as they are made."""
        return set(self.modes) & {"updates"}

    def early(self, ns: Namespace, update: Any) -> None:
        """Keep what an update says now: a message in it may get its id before `of` is asked."""
        if not ns or self.subgraphs:
            self._early[id(update)] = update, dump(update)

    def of(self, ns: Namespace, mode: str, chunk: Any) -> Iterator[Frame]:
        """The frames that show one part."""
        if mode == "messages" and _TOGETHER not in self.modes:
            if "messages" in self.modes:
                yield from self._message(*chunk)
            return
        if mode not in self.modes and mode != "messages":
            return
        if ns and not self.subgraphs:
            return
        event = f"{mode}|{'|'.join(ns)}" if ns else mode
        match mode:
            case "values":
                data, checkpoint_id = self.values("|".join(ns), chunk)
                yield Frame(event, data, None if ns else checkpoint_id)
            case "messages":
                message, metadata = chunk
                yield Frame(event, join_array([dump(message), self._dumped(metadata)]))
            case "debug" if chunk["type"] == "checkpoint":
                yield Frame(event, dump({**chunk, "payload": _debugged(chunk["payload"])}))
            case "updates":
                early = self._early.pop(id(chunk), None)
                yield Frame(event, dump(chunk) if early is None else early[1])
            case _:
                yield Frame(event, dump(chunk))

    def _message(self, given: Any, metadata: Any) -> Iterator[Frame]:
        """These never carry a namespace, unlike all others."""
        message = _revived(given)
        known = self._messages.get(message.id or "")
        whole = message if known is None else cast("BaseMessage", known + message)
        self._messages[message.id or ""] = whole
        if known is None:
            told = join_object([("metadata", self._dumped(metadata))])
            yield Frame("messages/metadata", join_object([(message.id or "", told)]))
        partial = isinstance(message, BaseMessageChunk)
        shown = message_chunk_to_message(whole) if isinstance(whole, BaseMessageChunk) else whole
        yield Frame("messages/partial" if partial else "messages/complete", dump([shown]))

    def _dumped(self, metadata: Any) -> bytes:
        if self._metadata[0] is not metadata:
            self._metadata = metadata, dump(metadata)
        return self._metadata[1]


def _revived(given: Any) -> BaseMessage:
    """A message; a graph on another server streams its own as JSON."""
    if isinstance(given, BaseMessage):
        return given
    if given.get("type") == "AIMessageChunk":
        return AIMessageChunk(**given)
    return convert_to_messages([given])[0]


def _debugged(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint as `debug` frames show it: with pointers beside the configs."""
    tasks = [
        {**{k: v for k, v in task.items() if k != "state"}, "checkpoint": state["configurable"]}
        if (state := task.get("state"))
        else task
        for task in payload["tasks"]
    ]
    pointers = {
        "checkpoint": _pointer(payload["config"]),
        "parent_checkpoint": _pointer(payload["parent_config"]),
    }
    return {**payload, **pointers, "tasks": tasks}


def _pointer(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    configurable = (config or {}).get("configurable") or {}
    if not configurable.get("checkpoint_id"):
        return None
    return {name: configurable[name] for name in _POINTER if name in configurable}
