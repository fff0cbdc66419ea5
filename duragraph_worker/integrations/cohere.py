"""Cohere's chat (v2) through its own SDK, and the retries that its streams lack.

Plans and thoughts become `reasoning` blocks, citations stand in `additional_kwargs`; both go back
as they came.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec

from duragraph_worker.batches import batches
from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.llm import content, structured
from duragraph_worker.llm.chat_completions import called, declared
from duragraph_worker.llm.providers import Request
from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    Message,
    ToolMessage,
    UsageMetadata,
    tool_call_chunk,
)
from duragraph_worker.replies import ReplyError, cut_off, reading
from duragraph_worker.vectors.store import Vector

with needs("cohere"):
    import cohere
    import httpx
    from cohere.core.api_error import ApiError
    from cohere.core.parse_error import ParsingError

    from duragraph_worker.retrying import Refusal, VendorRetries

NAME = "cohere"
SILENCE = 300.0
"""Seconds that Cohere may be silent, unless the client or the request says otherwise."""

_FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
_PLAN = "tool_plan"
_MOST_TEXTS = 96
"""That are embedded by one request."""


class Cohere:
    """A provider. `client_options` go to `cohere.AsyncClientV2`: api_key, base_url, timeout.

    `httpx_client` is none of them: there is one for each event loop, whose streams are checked.
    """

    errors: tuple[type[Exception], ...] = (ApiError, ParsingError, httpx.HTTPError, ReplyError)

    def __init__(self, *, max_retries: int = 2, **client_options: Any) -> None:
        self._clients = Clients(lambda: _client(**client_options))
        self._retries = VendorRetries(max_retries, (httpx.TransportError,), _refusal)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply. Raises `errors`, once the retries are used up."""
        client = await self._clients.here()
        parameters = _parameters(request)
        reply = await self._retries.call(lambda: client.chat(**parameters))
        with reading(NAME):
            chunks = [AIMessageChunk(), *_message(reply.message)]
            whole = sum(chunks, start=_last(request.model, reply.finish_reason, reply.usage))
        return structured.answer(whole.message(), request.output)

    def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply in pieces. Raises `errors`, ReplyError if it ends before it is whole."""
        return structured.answers(self._chunks(request), request.output)

    async def _chunks(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        client = await self._clients.here()
        parameters = _parameters(request)

        def ask() -> AsyncGenerator[Any, None]:
            events: AsyncGenerator[Any, None] = client.chat_stream(**parameters)
            return events

        whole = False
        with reading(NAME):
            async with aclosing(self._retries.stream(ask)) as events:
                async for event in events:
                    whole = whole or event.type == "message-end"
                    for chunk in _chunks(event, request.model):
                        yield chunk
        if not whole:
            raise cut_off(NAME)


class CohereEmbeddings:
    """`Embeddings` of Cohere's models. `client_options` go to `cohere.AsyncClientV2`.

    `dimensions` shortens the vectors of models that can. Raises the errors of `Cohere`.
    """

    def __init__(
        self,
        model: str = "embed-v4.0",
        *,
        dimensions: int | None = None,
        max_retries: int = 2,
        **client_options: Any,
    ) -> None:
        self._clients = Clients(lambda: _client(**client_options))
        self._retries = VendorRetries(max_retries, (httpx.TransportError,), _refusal)
        self._asked: dict[str, Any] = {
            "model": model,
            "embedding_types": ["float"],
            "request_options": {"max_retries": 0},
        }
        if dimensions is not None:
            self._asked["output_dimension"] = dimensions

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text that is to be found."""
        return await self._embedded(texts, "search_document")

    async def query(self, text: str) -> Vector:
        """The vector of a text that is to find others."""
        return (await self._embedded([text], "search_query"))[0]

    async def _embedded(self, texts: Sequence[str], purpose: str) -> list[Vector]:
        client = await self._clients.here()
        made: list[Vector] = []
        for batch in batches(texts, _MOST_TEXTS):
            ask = partial(client.embed, texts=batch, input_type=purpose, **self._asked)
            reply = await self._retries.call(ask)
            with reading(NAME):
                made += reply.embeddings.float_
        return made


class _Checked(httpx.AsyncByteStream):
    """A stream of events. The SDK skips those that it can't read: here they raise ValueError."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for part in self._stream:
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                data = line.removeprefix(b"data:").strip()
                if data != line.strip() and data not in (b"", b"[DONE]"):
                    msgspec.json.decode(data)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _check(response: httpx.Response) -> None:
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    if events and isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Checked(response.stream)


def _client(*, timeout: float = SILENCE, **options: Any) -> cohere.AsyncClientV2:
    # What is compressed could not be checked.
    plain = {"accept-encoding": "identity"}
    hooks = {"response": [_check]}
    http = httpx.AsyncClient(timeout=timeout, headers=plain, event_hooks=hooks)
    try:
        return cohere.AsyncClientV2(httpx_client=http, timeout=timeout, **options)
    except ApiError as error:
        raise ValueError("Cohere wants a key: give api_key=, or set CO_API_KEY") from error


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, ApiError) or error.status_code is None:
        return None
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return Refusal(error.status_code, headers)


def _parameters(request: Request) -> dict[str, Any]:
    given = request.parameters
    tools = [tool.declaration for tool in request.tools]
    asked: dict[str, Any] = {}
    if request.output is not None and tools:
        # Schemas and tools exclude each other.
        asked["tool_choice"] = "REQUIRED"
        tools.append(structured.as_tool(request.output))
    elif request.output is not None:
        shape = {"type": "json_object", "json_schema": request.output.schema}
        asked["response_format"] = shape
    wished = asked | {
        "temperature": given.temperature,
        "p": given.top_p,
        "max_tokens": given.max_tokens,
        "stop_sequences": list(given.stop) or None,
        "seed": given.seed,
        "tools": [declared(tool) for tool in tools] or None,
    }
    options: dict[str, Any] = {"max_retries": 0}
    if given.request_timeout is not None:
        options["timeout"] = given.request_timeout
    if given.options:
        options["additional_body_parameters"] = dict(given.options)
    return {
        "model": request.model,
        "messages": [_dumped(message) for message in request.messages],
        **{name: value for name, value in wished.items() if value is not None},
        "request_options": options,
    }


def _dumped(message: Message) -> dict[str, Any]:
    if isinstance(message, AIMessage):
        return _said(message)
    parts: Any = message.content
    if not isinstance(parts, str):
        parts = [_part(block) for block in content.blocks(message)]
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": parts}
    return {"role": message.role, "content": parts}


def _part(block: content.Block) -> dict[str, Any]:
    image = content.image(block)
    if image is not None:
        return {"type": "image_url", "image_url": {"url": image.href}}
    return {"type": "text", "text": block["text"]} if block["type"] == "text" else dict(block)


def _said(message: AIMessage) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant"}
    parts: list[dict[str, Any]] = []
    if message.response_metadata.get("model_provider") == NAME:
        for block in content.blocks(message):
            thought = content.reasoning(block)
            if thought is not None and block.get("id") == _PLAN:
                said[_PLAN] = thought.text
            elif thought is not None:
                parts.append({"type": "thinking", "thinking": thought.text})
        if citations := message.additional_kwargs.get("citations"):
            said["citations"] = citations
    if message.text:
        parts.append({"type": "text", "text": message.text})
    calls = called(message)
    return said | ({"content": parts} if parts else {}) | ({"tool_calls": calls} if calls else {})


def _message(message: cohere.AssistantMessageResponse) -> Iterator[AIMessageChunk]:
    """A whole reply as the chunks that it would have been."""
    if message.tool_plan:
        yield _plan(message.tool_plan)
    for index, item in enumerate(message.content or ()):
        text = item.text if item.type == "text" else content.thought(item.thinking, index)
        yield AIMessageChunk(text)
    for index, call in enumerate(message.tool_calls or ()):
        yield _piece(index, call)
    for citation in message.citations or ():
        yield AIMessageChunk(additional_kwargs={"citations": [citation.dict()]})


def _chunks(event: Any, model: str) -> Iterator[AIMessageChunk]:
    match event.type:
        case "content-start" | "content-delta":
            said = event.delta.message.content
            if said.thinking:
                yield AIMessageChunk(content.thought(said.thinking, event.index))
            if said.text:
                yield AIMessageChunk(said.text)
        case "tool-plan-delta":
            yield _plan(event.delta.message.tool_plan)
        case "tool-call-start" | "tool-call-delta":
            yield _piece(event.index, event.delta.message.tool_calls)
        case "citation-start":
            citation = event.delta.message.citations.dict()
            yield AIMessageChunk(additional_kwargs={"citations": [citation]})
        case "message-end":
            end = event.delta
            yield _last(model, end.finish_reason, end.usage, end.error)


def _plan(text: str) -> AIMessageChunk:
    block = {"type": "reasoning", "reasoning": text, "id": _PLAN, "index": _PLAN}
    return AIMessageChunk([block])


def _piece(index: int, call: Any) -> AIMessageChunk:
    piece = tool_call_chunk(
        index,
        id=getattr(call, "id", None),
        name=getattr(call.function, "name", None),
        args=call.function.arguments,
    )
    return AIMessageChunk(tool_call_chunks=[piece])


def _last(model: str, finish: str, usage: Any, error: str | None = None) -> AIMessageChunk:
    """The end of a reply. Raises ReplyError if that is an error."""
    if finish in ("ERROR", "TIMEOUT"):
        raise ReplyError(f"cohere ended its reply with {finish}: {error or 'it says no more'}")
    return AIMessageChunk(
        response_metadata={
            "model_provider": NAME,
            "model_name": model,
            "finish_reason": _FINISH.get(finish, finish),
        },
        usage_metadata=_usage(usage),
        chunk_position="last",
    )


def _usage(usage: cohere.Usage | None) -> UsageMetadata | None:
    """What Cohere bills, which is less than what its models read."""
    counted = (usage.billed_units or usage.tokens) if usage is not None else None
    if usage is None or counted is None:
        return None
    given, made = int(counted.input_tokens or 0), int(counted.output_tokens or 0)
    told: UsageMetadata = {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
    }
    if usage.cached_tokens:
        told["input_token_details"] = {"cache_read": int(usage.cached_tokens)}
    return told
