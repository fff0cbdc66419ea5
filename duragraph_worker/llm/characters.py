"""Characters come whole, however a server cuts them.

Servers that count as JavaScript does cut their streams between the halves that UTF-16 has of some
characters, and send each. UTF-8 has no halves: nobody could record one, or show it.
"""

from collections.abc import Hashable
from typing import Any

import attrs

from duragraph_worker.messages import AIMessageChunk, Content, ToolCallChunk

_HIGH = frozenset(map(chr, range(0xD800, 0xDC00)))
"""First halves (Unicode 23.6)."""


class Characters:
    """Of one reply, whose pieces come in order."""

    def __init__(self) -> None:
        self._halves: dict[Hashable, str] = {}
        """First halves whose others are to come, by their places in the reply."""

    def whole(self, piece: AIMessageChunk) -> AIMessageChunk:
        """The piece with what was kept of those before it, less what is kept of its own."""
        more = piece.chunk_position != "last"
        content: Content = (
            self._joined("content", piece.content, more=more)
            if isinstance(piece.content, str)
            else [self._block(each) for each in piece.content]
        )
        calls = [self._call(each) for each in piece.tool_call_chunks]
        if content == piece.content and not calls:
            return piece
        return attrs.evolve(piece, content=content, tool_call_chunks=calls)

    def _call(self, call: ToolCallChunk) -> ToolCallChunk:
        if call["args"] is None:
            return call
        return {**call, "args": self._joined(("args", call["index"]), call["args"])}

    def _block(self, block: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(block, str):
            return self._joined("content", block)
        texts = {
            key: self._joined((key, block.get("index")), block[key])
            for key in ("text", "reasoning")
            if isinstance(block.get(key), str)
        }
        return {**block, **texts}

    def _joined(self, place: Hashable, text: str, *, more: bool = True) -> str:
        text = self._halves.pop(place, "") + text
        if more and text[-1:] in _HIGH:
            self._halves[place], text = text[-1], text[:-1]
        return whole(text)


def whole(text: str) -> str:
    """The text as UTF-8 can have it."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
