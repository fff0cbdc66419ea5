"""Messages of a conversation. Their fields are LangChain's JSON, so that its clients read them.

Owns the shapes and the merging of streamed chunks. Messages are values: they are never changed
in place, so a copy of a state may share them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NotRequired, Self, TypedDict

import attrs
import msgspec

from duragraph_worker.partial_json import parse_partial

Content = str | list[str | dict[str, Any]]
"""Text, or a list of content blocks such as `{"type": "text", "text": …}`."""

REMOVE_ALL = "__remove_all__"
"""The id of a `RemoveMessage` that removes all before it."""

_NAMES = ("type", "id", "index", "name")
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


class ToolCall(TypedDict):
    """A model's wish to have a tool called; `args` are parsed."""

    name: str
    args: dict[str, Any]
    id: str | None
    type: NotRequired[Literal["tool_call"]]


class ToolCallChunk(TypedDict):
    """A piece of a tool call; pieces of one call share `index`, `args` is a piece of JSON."""

    name: str | None
    args: str | None
    id: str | None
    index: int | None
    type: NotRequired[Literal["tool_call_chunk"]]


class UsageMetadata(TypedDict):
    """Tokens that a model's reply cost."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: NotRequired[dict[str, int]]
    output_token_details: NotRequired[dict[str, int]]


@attrs.frozen
class Message:
    """What all messages share. `message["content"]` and `["role"]` read as in a plain dict."""

    content: Content = ""
    additional_kwargs: dict[str, Any] = attrs.field(factory=dict, kw_only=True)
    response_metadata: dict[str, Any] = attrs.field(factory=dict, kw_only=True)
    type: str = attrs.field(default="", init=False)
    name: str | None = attrs.field(default=None, kw_only=True)
    id: str | None = attrs.field(default=None, kw_only=True)

    @property
    def text(self) -> str:
        """The text of all content blocks."""
        if isinstance(self.content, str):
            return self.content
        return "".join(b if isinstance(b, str) else b.get("text", "") for b in self.content)

    @property
    def role(self) -> str:
        """The type under the name that model providers use."""
        return _ROLES.get(self.type, self.type)

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """Lets a pydantic model have fields of messages; its loader makes them beforehand."""
        dump = {"type": "function-plain", "function": msgspec.to_builtins}
        return {"type": "is-instance", "cls": cls, "serialization": dump}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object"}


@attrs.frozen
class HumanMessage(Message):
    type: Literal["human"] = attrs.field(default="human", init=False)


@attrs.frozen
class SystemMessage(Message):
    type: Literal["system"] = attrs.field(default="system", init=False)


@attrs.frozen
class AIMessage(Message):
    """A model's whole reply."""

    type: Literal["ai"] = attrs.field(default="ai", init=False)
    tool_calls: list[ToolCall] = attrs.field(factory=list, kw_only=True)
    invalid_tool_calls: list[dict[str, Any]] = attrs.field(factory=list, kw_only=True)
    usage_metadata: UsageMetadata | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class ToolMessage(Message):
    """What the tool call `tool_call_id` came to."""

    type: Literal["tool"] = attrs.field(default="tool", init=False)
    tool_call_id: str = attrs.field(kw_only=True)
    artifact: Any = attrs.field(default=None, kw_only=True)
    status: Literal["success", "error"] = attrs.field(default="success", kw_only=True)


@attrs.frozen
class RemoveMessage(Message):
    """Removes the message `id` as it enters the state; `REMOVE_ALL` removes all before it."""

    content: Content = attrs.field(default="", init=False)
    type: Literal["remove"] = attrs.field(default="remove", init=False)
    id: str = attrs.field(kw_only=False)


@attrs.frozen
class AIMessageChunk(Message):
    """A piece of a model's reply. Chunks with one id add up with `+`."""

    type: Literal["AIMessageChunk"] = attrs.field(default="AIMessageChunk", init=False)
    usage_metadata: UsageMetadata | None = attrs.field(default=None, kw_only=True)
    tool_call_chunks: list[ToolCallChunk] = attrs.field(factory=list, kw_only=True)
    chunk_position: Literal["last"] | None = attrs.field(default=None, kw_only=True)
    tool_calls: list[ToolCall] = attrs.field(
        init=False, default=attrs.Factory(lambda self: self._whole_calls(), takes_self=True)
    )
    """As far as the pieces so far can be read."""
    invalid_tool_calls: list[dict[str, Any]] = attrs.field(init=False, factory=list)

    def __add__(self, other: "AIMessageChunk") -> "AIMessageChunk":
        return AIMessageChunk(
            _joined(self.content, other.content),
            additional_kwargs=merged(self.additional_kwargs, other.additional_kwargs),
            response_metadata=self.response_metadata | other.response_metadata,
            name=self.name or other.name,
            id=self.id or other.id,
            usage_metadata=other.usage_metadata or self.usage_metadata,
            tool_call_chunks=_merged_calls([*self.tool_call_chunks, *other.tool_call_chunks]),
            chunk_position=other.chunk_position or self.chunk_position,
        )

    def so_far(self) -> AIMessage:
        """The message that the chunks add up to until now."""
        return AIMessage(
            self.content,
            additional_kwargs=self.additional_kwargs,
            response_metadata=self.response_metadata,
            name=self.name,
            id=self.id,
            tool_calls=self.tool_calls,
            invalid_tool_calls=self.invalid_tool_calls,
            usage_metadata=self.usage_metadata,
        )

    def message(self) -> AIMessage:
        """The whole message, once all chunks are added up.

        A tool call whose arguments are no JSON object lands in `invalid_tool_calls`.
        """
        # Content blocks are LangChain's own: without the mark it would read them as a vendor's.
        mark = {"output_version": "v1"} if isinstance(self.content, list) else {}
        calls: list[ToolCall] = []
        invalid: list[dict[str, Any]] = []
        for piece in self.tool_call_chunks:
            tool_call(calls, invalid, name=piece["name"], args=piece["args"], id=piece["id"])
        return attrs.evolve(
            self.so_far(),
            response_metadata=self.response_metadata | mark,
            tool_calls=calls,
            invalid_tool_calls=invalid,
        )

    def _whole_calls(self) -> list[ToolCall]:
        calls: list[ToolCall] = []
        for piece in self.tool_call_chunks:
            args = parse_partial(piece["args"] or "{}")
            if isinstance(args, dict):
                name, call_id = piece["name"] or "", piece["id"]
                calls.append({"name": name, "args": args, "id": call_id, "type": "tool_call"})
        return calls


def added_up(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    """The message of all its chunks. `+` would read a call's arguments anew with every piece."""
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    bare = (attrs.evolve(c, tool_call_chunks=[]) if c.tool_call_chunks else c for c in chunks)
    whole = sum(bare, start=AIMessageChunk())
    return attrs.evolve(whole, tool_call_chunks=_merged_calls(pieces)).message()


def tool_call_chunk(
    index: int | None,
    *,
    id: str | None = None,
    name: str | None = None,
    args: str | None = None,
) -> ToolCallChunk:
    """A piece of the tool call `index`."""
    return {"name": name, "args": args, "id": id, "index": index, "type": "tool_call_chunk"}


def tool_call(
    calls: list[ToolCall],
    invalid: list[dict[str, Any]],
    *,
    name: str | None,
    args: str | None,
    id: str | None,
) -> None:
    """Append the call to `calls`, or to `invalid` if its `args` are no JSON object."""
    try:
        parsed = msgspec.json.decode(args or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        invalid.append(
            {"name": name, "args": args, "id": id, "error": str(error), "type": "invalid_tool_call"}
        )
    else:
        calls.append({"name": name or "", "args": parsed, "id": id, "type": "tool_call"})


def _joined(left: Content, right: Content) -> Content:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    joined = _blocks(left)
    for block in _blocks(right):
        at = next((i for i, other in enumerate(joined) if _continues(other, block)), -1)
        if at < 0:
            joined.append(block)
        else:
            joined[at] = merged(joined[at], block)
    return list(joined)


def _blocks(content: Content) -> list[dict[str, Any]]:
    blocks = [content] if isinstance(content, str) else content
    whole = ({"type": "text", "text": b} if isinstance(b, str) else b for b in blocks)
    return [block for block in whole if block.get("text") != ""]


def _continues(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Providers number their blocks; where one doesn't, all text is one block."""
    index = piece.get("index")
    same = block.get("type") == piece.get("type") and block.get("index") == index
    return same and (index is not None or piece.get("type") == "text")


def merged(left: dict[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """What pieces add up to: texts, lists and mappings grow; names and the like stay."""
    grown = dict(left)
    for key, piece in right.items():
        known = grown.get(key)
        if isinstance(known, dict) and isinstance(piece, Mapping):
            grown[key] = merged(known, piece)
        elif isinstance(known, list) and isinstance(piece, list):
            grown[key] = [*known, *piece]
        elif isinstance(known, str) and isinstance(piece, str) and key not in _NAMES:
            grown[key] = known + piece
        elif known is None or piece not in (None, ""):
            grown[key] = piece
    return grown


def _merged_calls(pieces: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
    """One piece a call; those without an index are calls of their own."""
    calls: dict[object, list[ToolCallChunk]] = {}
    for piece in pieces:
        index = piece["index"]
        calls.setdefault(object() if index is None else index, []).append(piece)
    return [_merged_call(pieces) for pieces in calls.values()]


def _merged_call(pieces: list[ToolCallChunk]) -> ToolCallChunk:
    if len(pieces) == 1:
        return pieces[0]
    return tool_call_chunk(
        pieces[0]["index"],
        id=next((piece["id"] for piece in pieces if piece["id"]), None),
        name=next((piece["name"] for piece in pieces if piece["name"]), None),
        args="".join(piece["args"] or "" for piece in pieces),
    )
