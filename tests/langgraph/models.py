"""Chat models that say what a test wants, chunk by chunk."""

from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult


class Scripted(BaseChatModel):
    """Says its first reply where no AI message is among the messages yet, then the second, …"""

    replies: list[list[AIMessageChunk]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> "Scripted":
        return self

    def _reply(self, messages: list[BaseMessage]) -> list[AIMessageChunk]:
        said = sum(message.type == "ai" for message in messages)
        return [chunk.model_copy() for chunk in self.replies[said % len(self.replies)]]

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        for message in self._reply(messages):
            chunk = ChatGenerationChunk(message=message)
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        first, *rest = self._reply(messages)
        whole = sum(rest, first)
        message = AIMessage(whole.content, tool_calls=whole.tool_calls, id=whole.id)
        return ChatResult(generations=[ChatGeneration(message=message)])


def says(*texts: str, **last: Any) -> list[AIMessageChunk]:
    """A reply of pieces of text."""
    return [*(AIMessageChunk(text) for text in texts), ends(**last)]


def calls(name: str, *args: str, id: str) -> list[AIMessageChunk]:
    """A reply that calls a tool, its arguments in pieces."""
    return [_call(name, "", id), *(_call(None, piece, None) for piece in args), ends()]


def ends(**fields: Any) -> AIMessageChunk:
    return AIMessageChunk("", chunk_position="last", **fields)


def _call(name: str | None, args: str, id: str | None) -> AIMessageChunk:
    piece = {"name": name, "args": args, "id": id, "index": 0, "type": "tool_call_chunk"}
    return AIMessageChunk("", tool_call_chunks=[piece])
