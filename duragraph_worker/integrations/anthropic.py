"""Claude through Anthropic's own SDK, whose retries would wait for as long as Retry-After says.

Thinking becomes `reasoning` blocks, whose signatures go back as they came; blocks of its own
(server tools, redacted thinking) are kept as they are.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any

import attrs
import msgspec

from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.llm import content, structured
from duragraph_worker.llm.providers import Output, Request
from duragraph_worker.llm.tools import Declaration
from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    Message,
    SystemMessage,
    ToolMessage,
    UsageMetadata,
    tool_call_chunk,
)
from duragraph_worker.replies import ReplyError, cut_off, reading

with needs("anthropic"):
    import anthropic
    import httpx2

    from duragraph_worker.retrying import Refusal, VendorRetries

NAME = "anthropic"
SILENCE = 600.0
"""Seconds that Anthropic may be silent, unless the client or the request says otherwise."""
MAX_TOKENS = 16_384
"""Of a reply, unless `max_tokens` says otherwise: Anthropic wants a number."""

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_TEXT = ("type", "text", "citations", "cache_control")
_ELSEWHERE = {"text", "tool_use", "input_json_delta", "tool_call", "invalid_tool_call"}
"""Blocks of LangChain's messages that say what stands in their fields, too."""


class Anthropic:
    """A provider. `client_options` go to `anthropic.AsyncAnthropic`: api_key, base_url, timeout."""

    errors: tuple[type[Exception], ...] = (
        anthropic.APIError,
        # What befalls a stream that has begun comes as the HTTP library raises it.
        httpx2.TransportError,
        ReplyError,
    )

    def __init__(self, *, max_retries: int = 2, **client_options: Any) -> None:
        options = {"timeout": SILENCE, **client_options, "max_retries": 0}
        self._clients = Clients(lambda: anthropic.AsyncAnthropic(**options))
        self._retries = VendorRetries(max_retries, (anthropic.APIConnectionError,), _refusal)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply. Raises `errors`, once the retries are used up."""
        client = await self._clients.here()
        parameters = _parameters(request)
        with reading(NAME, (ValueError,)):
            message = await self._retries.call(lambda: client.messages.create(**parameters))
        with reading(NAME):
            reply = _Reply(request.model)
            chunks = [
                chunk
                for index, block in enumerate(message.content)
                for chunk in reply.block(index, block.to_dict())
            ]
            reply.model, reply.finish = message.model, message.stop_reason
            reply.count(message.usage)
            whole = sum(chunks, start=AIMessageChunk()) + reply.last()
        return structured.answer(whole.message(), request.output)

    def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply in pieces. Raises `errors`, ReplyError if it ends before it is whole."""
        return structured.answers(self._chunks(request), request.output)

    async def _chunks(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        client = await self._clients.here()
        parameters = _parameters(request) | {"stream": True}
        reply = _Reply(request.model)
        async with await self._retries.call(lambda: client.messages.create(**parameters)) as events:
            with reading(NAME):
                async for event in events:
                    for chunk in reply.read(event):
                        yield chunk
        if not reply.whole:
            raise cut_off(NAME)
        yield reply.last()


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, anthropic.APIStatusError):
        return None
    return Refusal(error.status_code, error.response.headers)


@attrs.define
class _Reply:
    """What is known of a reply as its events come."""

    model: str
    finish: str | None = None
    whole: bool = False
    _usage: dict[str, int] = attrs.field(factory=dict)
    _plain: bool = True
    """Whether all content so far is text without more to say of it: then it is a string."""
    _text: dict[str, Any] = attrs.field(factory=dict)
    """What the pieces of the text block that grows have in common."""
    _server_calls: dict[int, tuple[dict[str, Any], list[str]]] = attrs.field(factory=dict)
    """Calls of the provider's own tools, and the pieces of their input, by index."""

    def read(self, event: Any) -> Iterator[AIMessageChunk]:
        match event.type:
            case "message_start":
                self.model = event.message.model
                self.count(event.message.usage)
                # Whatever becomes of the reply, the prompt is paid.
                yield AIMessageChunk(usage_metadata=_counted(self._usage))
            case "content_block_start":
                yield from self.block(event.index, event.content_block.to_dict(), begun=True)
            case "content_block_delta":
                yield from self._delta(event.index, event.delta)
            case "content_block_stop" if event.index in self._server_calls:
                block, pieces = self._server_calls.pop(event.index)
                if given := "".join(pieces):
                    block["input"] = msgspec.json.decode(given)
                yield AIMessageChunk([block])
            case "message_delta":
                self.finish = event.delta.stop_reason or self.finish
                self.count(event.usage)
            case "message_stop":
                self.whole = True

    def block(
        self, index: int, block: dict[str, Any], *, begun: bool = False
    ) -> Iterator[AIMessageChunk]:
        """A block: whole, or what stands in it before its deltas if it has only `begun`."""
        kind, citations = block["type"], block.get("citations")
        self._plain = self._plain and kind in ("text", "tool_use") and not citations
        if kind == "text":
            self._text = {"type": "text"} if self._plain else {"type": "text", "index": index}
            yield from self._said(block["text"], citations)
        elif kind == "tool_use":
            args = msgspec.json.encode(block["input"]).decode() if block["input"] else ""
            yield _call(index, args, name=block["name"], id=block["id"])
        elif kind == "thinking":
            yield AIMessageChunk(content.thought(block["thinking"], index, block.get("signature")))
        elif kind == "server_tool_use" and begun:
            self._server_calls[index] = ({**block, "index": index}, [])
        else:
            yield AIMessageChunk([{**block, "index": index}])

    def _delta(self, index: int, delta: Any) -> Iterator[AIMessageChunk]:
        match delta.type:
            case "text_delta":
                yield from self._said(delta.text)
            case "citations_delta":
                yield from self._said("", [delta.citation.to_dict()])
            case "input_json_delta" if index in self._server_calls:
                self._server_calls[index][1].append(delta.partial_json)
            case "input_json_delta":
                yield _call(index, delta.partial_json)
            case "thinking_delta":
                yield AIMessageChunk(content.thought(delta.thinking, index))
            case "signature_delta":
                yield AIMessageChunk(content.thought("", index, delta.signature))

    def _said(self, text: str, citations: list[Any] | None = None) -> Iterator[AIMessageChunk]:
        if citations:
            yield AIMessageChunk([{**self._text, "citations": citations}])
        if text:
            yield AIMessageChunk([{**self._text, "text": text}] if "index" in self._text else text)

    def count(self, usage: Any) -> None:
        """Later counts are of the whole reply, and replace earlier ones."""
        self._usage |= {k: v for k, v in usage.to_dict().items() if isinstance(v, int)}

    def last(self) -> AIMessageChunk:
        """What is left to say once the reply is whole."""
        return AIMessageChunk(
            response_metadata={
                "model_provider": NAME,
                "model_name": self.model,
                "finish_reason": _FINISH.get(self.finish or "", self.finish),
            },
            usage_metadata=_counted(self._usage),
            chunk_position="last",
        )


def _call(
    index: int, args: str, *, name: str | None = None, id: str | None = None
) -> AIMessageChunk:
    return AIMessageChunk(tool_call_chunks=[tool_call_chunk(index, id=id, name=name, args=args)])


def _counted(usage: dict[str, int]) -> UsageMetadata:
    """Anthropic counts what its cache read and wrote beside the input; here it is in it."""
    read = usage.get("cache_read_input_tokens", 0)
    written = usage.get("cache_creation_input_tokens", 0)
    given, made = usage.get("input_tokens", 0) + read + written, usage.get("output_tokens", 0)
    counted: UsageMetadata = {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
    }
    if read or written:
        counted["input_token_details"] = {"cache_read": read, "cache_creation": written}
    return counted


def _parameters(request: Request) -> dict[str, Any]:
    given, options = request.parameters, dict(request.parameters.options)
    tools = [tool.declaration for tool in request.tools]
    # The SDK has no names for these any more, as the newest models don't take them.
    sampling = {"temperature": given.temperature, "top_p": given.top_p}
    body = {name: value for name, value in sampling.items() if value is not None}
    wished: dict[str, Any] = {
        "stop_sequences": list(given.stop) or None,
        "timeout": given.request_timeout,
        "system": _system(request.messages),
    }
    if request.output is not None:
        schema = _schema(request.output)
        if schema is None:
            asked = {"type": "any"} if tools else {"type": "tool", "name": request.output.name}
            # Whoever thinks can't be made to call a tool.
            wished["tool_choice"] = {"type": "auto"} if "thinking" in options else asked
            tools.append(structured.as_tool(request.output))
        else:
            shape = {"type": "json_schema", "schema": schema}
            wished["output_config"] = {"format": shape, **options.pop("output_config", {})}
    wished["tools"] = [_tool(tool) for tool in tools] or None
    wished["extra_body"] = body | options or None
    return {
        "model": request.model,
        "max_tokens": given.max_tokens or MAX_TOKENS,
        "messages": _turns(request.messages),
        **{name: value for name, value in wished.items() if value is not None},
    }


def _schema(output: Output) -> dict[str, Any] | None:
    """The schema as structured outputs have it; None if they can't."""
    try:
        return anthropic.transform_schema(structured.closed(output.schema))
    except ValueError:
        return None


def _tool(tool: Declaration) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.parameters,
    }


def _system(messages: Iterable[Message]) -> list[dict[str, Any]] | None:
    systems = (message for message in messages if isinstance(message, SystemMessage))
    return [_text(block) for message in systems for block in content.blocks(message)] or None


def _turns(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The conversation; all answers to a reply's tool calls must stand in one turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        role = "assistant" if isinstance(message, AIMessage) else "user"
        blocks = list(_blocks(message))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    if isinstance(message, ToolMessage):
        result = [_given(block) for block in content.blocks(message)]
        answer = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": result}
        yield answer | ({"is_error": True} if message.status == "error" else {})
        return
    if not isinstance(message, AIMessage):
        yield from map(_given, content.blocks(message))
        return
    ours = message.response_metadata.get("model_provider") == NAME
    for block in content.blocks(message):
        thought = content.reasoning(block)
        if block["type"] == "text" and block["text"].strip():
            yield _text(block)
        elif thought is not None and thought.signature:
            yield {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
        elif thought is None and block["type"] not in _ELSEWHERE and ours:
            yield {key: value for key, value in block.items() if key != "index"}
    for call in message.tool_calls:
        yield _use(call["id"], call["name"], call["args"])
    for broken in message.invalid_tool_calls:
        yield _use(broken["id"], broken["name"], {"invalid_json": broken["args"]})


def _given(block: content.Block) -> dict[str, Any]:
    if block["type"] == "text":
        return _text(block)
    image = content.image(block)
    if image is None:
        return dict(block)
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": image.mime_type, "data": image.data}
    return {"type": "image", "source": source}


def _text(block: content.Block) -> dict[str, Any]:
    return {key: block[key] for key in _TEXT if key in block}


def _use(call_id: str | None, name: str | None, args: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}
