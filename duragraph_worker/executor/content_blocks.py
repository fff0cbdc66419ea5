"""A streamed message as the event-streaming protocol has it: content blocks that start and grow.

Owns the fields of `messages` events. One object a message; knows nothing of runs and frames.
"""

from collections.abc import Iterator
from typing import Any

import attrs

from duragraph_worker.messages import AIMessageChunk, UsageMetadata, merged, tool_call

Event = dict[str, Any]
Key = tuple[str, Any]

_GROWS = {"text": "text", "reasoning": "reasoning", "tool_call_chunk": "args"}
"""The field of a block that its pieces add to; other blocks come whole as they finish."""
_SMALL = ("type", "id", "name", "mime_type", "url")
_ORIGIN = {"provider": "model_provider", "model": "model_name"}


@attrs.define(eq=False)
class _Block:
    index: int
    fields: dict[str, Any]
    grown: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class ContentBlocks:
    """Turns the chunks of the message `id` into events, in the order in which they come."""

    id: str
    _begun: bool = False
    _blocks: dict[Key, _Block] = attrs.field(factory=dict)
    _usage: UsageMetadata | None = None
    _metadata: dict[str, Any] = attrs.field(factory=dict)

    def feed(self, chunk: AIMessageChunk) -> Iterator[Event]:
        """The events of the next chunk; after the last one nothing more may come."""
        said = chunk.response_metadata
        if not self._begun:
            self._begun = True
            origin = {name: said[key] for name, key in _ORIGIN.items() if key in said}
            known = {"metadata": origin} if origin else {}
            yield {"event": "message-start", "role": "ai", "id": self.id, **known}
        self._usage = chunk.usage_metadata or self._usage
        self._metadata |= said
        for key, piece in _pieces(chunk):
            yield from self._grow(key, piece)
        if chunk.chunk_position == "last":
            yield from self.finish()

    def finish(self) -> Iterator[Event]:
        """What is left to say once the message is whole."""
        for block in self._blocks.values():
            content = _finished(block)
            yield {"event": "content-block-finish", "index": block.index, "content": content}
        end: Event = {"event": "message-finish"}
        if self._usage:
            end["usage"] = self._usage
        if self._metadata:
            end["metadata"] = self._metadata
        yield end

    def _grow(self, key: Key, piece: dict[str, Any]) -> Iterator[Event]:
        field = _GROWS.get(piece["type"])
        grown = piece.pop(field, None) if field is not None else None
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block(len(self._blocks), piece)
            content = (
                {name: piece[name] for name in _SMALL if name in piece}
                if field is None
                else {**piece, field: ""}
            )
            yield {"event": "content-block-start", "index": block.index, "content": content}
        else:
            block.fields = merged(block.fields, piece)
        if grown:
            block.grown.append(grown)
            delta = _delta(piece["type"], grown)
            yield {"event": "content-block-delta", "index": block.index, "delta": delta}


def _pieces(chunk: AIMessageChunk) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The chunk's pieces of blocks; those with one key add up."""
    for block in [chunk.content] if isinstance(chunk.content, str) else chunk.content:
        if block == "":
            continue
        piece = {"type": "text", "text": block} if isinstance(block, str) else dict(block)
        # A provider that numbers its blocks may send several of one type.
        yield (piece.setdefault("type", "text"), piece.pop("index", None)), piece
    for call in chunk.tool_call_chunks:
        yield ("tool_call_chunk", call["index"]), {"type": "tool_call_chunk", **call}


def _delta(type: str, grown: str) -> dict[str, str]:
    if type == "tool_call_chunk":
        return {"type": "tool-call-delta", "args": grown}
    return {"type": f"{type}-delta", type: grown}


def _finished(block: _Block) -> Any:
    fields, grown = block.fields, "".join(block.grown)
    if fields["type"] == "tool_call_chunk":
        calls: list[Any] = []
        tool_call(calls, calls, name=fields["name"], args=grown, id=fields["id"])
        return calls[0]
    field = _GROWS.get(fields["type"])
    return fields if field is None else {**fields, field: grown}
