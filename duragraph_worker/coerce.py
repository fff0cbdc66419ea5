"""Messages from what people write: strings, pairs, dicts in three dialects, LangChain's objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    tool_call,
)

_CLASSES: dict[str, type[Message]] = {
    "human": HumanMessage,
    "user": HumanMessage,
    "ai": AIMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
    "tool": ToolMessage,
    "remove": RemoveMessage,
}
_CHUNKS = {"AIMessageChunk", "HumanMessageChunk", "SystemMessageChunk", "ToolMessageChunk"}
_PLAIN = frozenset({HumanMessage, SystemMessage, AIMessage, ToolMessage, RemoveMessage})
_FIELDS = {cls: {a.name for a in attrs.fields(cls) if a.init} for cls in _PLAIN}
_NOT_KWARGS = {"role", "type", "content", "tool_call_chunks", "chunk_position", "example"}


def message(value: Any) -> Message:
    """A message from a string, a `(role, text)` pair, a dict or a LangChain message.

    Dicts have `role` or `type`, and `content`; tool calls may have OpenAI's shape. Raises
    ValueError for anything else.
    """
    if isinstance(value, AIMessageChunk):
        return value.message()
    if isinstance(value, Message):
        return value
    if isinstance(value, str):
        return HumanMessage(value)
    if isinstance(value, list | tuple) and len(value) == 2:  # noqa: PLR2004 - a pair
        value = {"role": value[0], "content": value[1]}
    elif hasattr(value, "model_dump") and hasattr(value, "content"):
        value = value.model_dump()
    if isinstance(value, Mapping):
        try:
            return _from_dict(value)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"{value!r:.200} is no message: {error!r}") from error
    raise ValueError(
        f"{value!r:.200} is no message: give a string, a (role, text) pair, a dict with `role` "
        "and `content`, or a message object"
    )


def messages(value: Any) -> list[Message]:
    """`value`'s messages, whether it is one message or a list of them."""
    if isinstance(value, list):
        # A long history is all messages: one C-speed pass instead of a look at each.
        plain = _PLAIN.issuperset(map(type, value))
        return value.copy() if plain else [message(item) for item in value]
    return [message(value)]


def _from_dict(given: Mapping[str, Any]) -> Message:
    if given.get("type") == "constructor" and "kwargs" in given:
        return _from_dict({"type": _constructed(given), **given["kwargs"]})
    kind = given.get("role") or given.get("type")
    if not isinstance(kind, str) or ("content" not in given and kind != "remove"):
        raise ValueError(
            f"a message dict needs `role` (or `type`) and `content`, not {given!r:.200}"
        )
    if kind in _CHUNKS:
        kind = kind.removesuffix("MessageChunk").lower()
    if kind not in _CLASSES:
        raise ValueError(f"{kind!r} is no role of a message; known: {', '.join(_CLASSES)}")
    cls = _CLASSES[kind]
    if cls is RemoveMessage:
        return RemoveMessage(str(given["id"]))
    known = _FIELDS[cls]
    fields = {key: item for key, item in given.items() if key in known}
    fields["content"] = given["content"] if given["content"] is not None else ""
    unknown = {k: v for k, v in given.items() if k not in known and k not in _NOT_KWARGS}
    if kind == "developer":
        unknown["__openai_role__"] = "developer"
    if cls is AIMessage:
        fields |= _tool_calls(unknown.pop("tool_calls", None) or fields.get("tool_calls") or [])
        fields.setdefault("invalid_tool_calls", given.get("invalid_tool_calls") or [])
    if unknown:
        fields["additional_kwargs"] = dict(given.get("additional_kwargs") or {}) | unknown
    return cls(**fields)


def _constructed(given: Mapping[str, Any]) -> str:
    name: str = given["id"][-1]
    return name.removesuffix("Chunk").removesuffix("Message").lower()


def _tool_calls(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    calls: list[ToolCall] = []
    invalid: list[dict[str, Any]] = []
    for call in given:
        if "function" in call:
            function = call["function"]
            name, args = function.get("name"), function.get("arguments")
            tool_call(calls, invalid, name=name, args=args, id=call.get("id"))
        else:
            calls.append(
                {
                    "name": call["name"],
                    "args": call.get("args") or {},
                    "id": call.get("id"),
                    "type": "tool_call",
                }
            )
    return {"tool_calls": calls, **({"invalid_tool_calls": invalid} if invalid else {})}
