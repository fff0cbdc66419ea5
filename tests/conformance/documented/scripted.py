"""A chat model that answers by a function of the conversation, in place of a paid one.

The same conversation always gets the same answer, so that two servers can be compared. It
streams words and pieces of tool calls, and counts its tokens, as providers' models do.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

Reply = Callable[[list[BaseMessage]], AIMessage | str]


class Scripted(BaseChatModel):
    reply: Reply

    def __init__(self, reply: Reply, **fields: Any) -> None:
        super().__init__(reply=reply, **fields)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The script knows which tools there are."""
        return self

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        said = self.reply(messages)
        answer = AIMessage(said) if isinstance(said, str) else said
        heard = sum(len(message.text.split()) for message in messages)
        spoken = len(answer.text.split()) + len(answer.tool_calls)
        usage = UsageMetadata(input_tokens=heard, output_tokens=spoken, total_tokens=heard + spoken)
        return answer.model_copy(update={"usage_metadata": usage})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in pieces(self._answer(messages)):
            generation = ChatGenerationChunk(message=chunk)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=generation)
            yield generation

    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        return self._generate(messages)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in pieces(self._answer(messages)):
            generation = ChatGenerationChunk(message=chunk)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=generation)
            yield generation


def pieces(answer: AIMessage) -> Iterator[AIMessageChunk]:
    """Word by word, each tool call in two halves, the count of tokens at the end."""
    for word in re.findall(r"\S+\s*", answer.text):
        yield AIMessageChunk(word, id=answer.id)
    for index, call in enumerate(answer.tool_calls):
        text = json.dumps(call["args"])
        half = len(text) // 2
        yield _part(
            answer, tool_call_chunk(name=call["name"], id=call["id"], args=text[:half], index=index)
        )
        yield _part(answer, tool_call_chunk(args=text[half:], index=index))
    yield AIMessageChunk(
        "", id=answer.id, usage_metadata=answer.usage_metadata, chunk_position="last"
    )


def _part(answer: AIMessage, chunk: ToolCallChunk) -> AIMessageChunk:
    return AIMessageChunk("", id=answer.id, tool_call_chunks=[chunk])


def calls(
    *wanted: tuple[str, dict[str, Any]], after: list[BaseMessage], says: str = ""
) -> AIMessage:
    """An answer that asks for tools; `after` gives the calls ids of their own in a thread."""
    numbered = enumerate(wanted, len(after))
    tool_calls = [{"name": name, "args": args, "id": f"call-{n}"} for n, (name, args) in numbered]
    return AIMessage(says, tool_calls=tool_calls)


def asked(messages: list[BaseMessage]) -> str:
    """What the person said last."""
    return next((m.text for m in reversed(messages) if m.type == "human"), "")
