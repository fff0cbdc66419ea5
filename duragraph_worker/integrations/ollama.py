"""Models of an Ollama server through its own SDK, and the retries and timeouts that this lacks.

Ollama numbers no tool calls, so they get ids here; it takes images as they are, not by URL.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import attrs
import msgspec

from duragraph_worker.batches import batches
from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.llm import content
from duragraph_worker.llm.chat_completions import declared
from duragraph_worker.llm.providers import Request
from duragraph_worker.llm.tools import Declaration
from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    Content,
    Message,
    SystemMessage,
    ToolCallChunk,
    ToolMessage,
    UsageMetadata,
    tool_call_chunk,
)
from duragraph_worker.replies import cut_off, reading
from duragraph_worker.vectors.store import Vector

with needs("ollama"):
    import httpx
    import ollama

    from duragraph_worker.retrying import Refusal, VendorRetries

NAME = "ollama"
_LOST = (httpx.TransportError, ConnectionError, TimeoutError)
SILENCE = 600.0
"""Seconds that Ollama may be silent, unless the request says otherwise: it may load a model."""

_TOP_LEVEL = {"think", "keep_alive", "logprobs", "top_logprobs"}
"""Options of a request; all others are those of the model."""
_PASSES = ("type", "items", "description", "enum")
"""Of a parameter's schema, what the SDK doesn't drop."""
_MOST_TEXTS = 64
"""That are embedded by one request."""


class Ollama:
    """A provider. `client_options` go to `ollama.AsyncClient`: host, headers, verify."""

    errors: tuple[type[Exception], ...] = (
        ollama.ResponseError,
        httpx.HTTPError,
        ConnectionError,
        TimeoutError,
    )

    def __init__(self, *, max_retries: int = 2, **client_options: Any) -> None:
        self._clients = Clients(lambda: ollama.AsyncClient(**client_options))
        self._retries = VendorRetries(max_retries, _LOST, _refusal)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply. Raises `errors`, once the retries are used up."""
        client = await self._clients.here()
        parameters = _parameters(request)

        async def ask() -> ollama.ChatResponse:
            with reading(NAME):
                async with asyncio.timeout(_silence(request)):
                    reply: ollama.ChatResponse = await client.chat(**parameters)
            return reply

        reply = await self._retries.call(ask)
        with reading(NAME):
            chunk = _chunk(reply)
            return (chunk + _last(reply, called=bool(chunk.tool_call_chunks))).message()

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply in pieces. Raises `errors`, ReplyError if it ends before it is whole."""
        client = await self._clients.here()
        parameters = _parameters(request)

        async def ask() -> AsyncGenerator[ollama.ChatResponse, None]:
            parts = await client.chat(**parameters, stream=True)
            async with aclosing(parts):
                while True:
                    with reading(NAME), _connecting():
                        async with asyncio.timeout(_silence(request)):
                            part = await anext(parts, None)
                    if part is None:
                        return
                    yield part

        calls, whole = 0, False
        with reading(NAME):
            async with aclosing(self._retries.stream(ask)) as parts:
                async for part in parts:
                    chunk = _chunk(part, first_call=calls)
                    calls += len(chunk.tool_call_chunks)
                    if chunk.content or chunk.tool_call_chunks:
                        yield chunk
                    if part.done:
                        whole = True
                        yield _last(part, called=calls > 0)
        if not whole:
            raise cut_off(NAME)


@contextmanager
def _connecting() -> Iterator[None]:
    """Says what the SDK says only where it doesn't stream."""
    try:
        yield
    except httpx.ConnectError as error:
        raise ConnectionError(
            f"no Ollama answers: {error}; start it, or say where it is with host= or OLLAMA_HOST"
        ) from error


def _silence(request: Request) -> float:
    wished = request.parameters.request_timeout
    return SILENCE if wished is None else wished


class OllamaEmbeddings:
    """`Embeddings` of an Ollama server's models. `client_options` go to `ollama.AsyncClient`.

    Raises the errors of `Ollama`.
    """

    def __init__(
        self, model: str = "nomic-embed-text", *, max_retries: int = 2, **client_options: Any
    ) -> None:
        self._clients = Clients(lambda: ollama.AsyncClient(**client_options))
        self._retries = VendorRetries(max_retries, _LOST, _refusal)
        self._model = model

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text."""
        client = await self._clients.here()
        made: list[Vector] = []
        for batch in batches(texts, _MOST_TEXTS):
            made += await self._retries.call(partial(self._embedded, client, batch))
        return made

    async def _embedded(self, client: ollama.AsyncClient, batch: Sequence[str]) -> list[Vector]:
        with reading(NAME):
            async with asyncio.timeout(SILENCE):
                return list((await client.embed(self._model, batch)).embeddings)

    async def query(self, text: str) -> Vector:
        """The vector of a text."""
        return (await self.documents([text]))[0]


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, ollama.ResponseError):
        return None
    # The SDK's error has no headers, but was raised while httpx's was handled.
    cause = error.__context__
    headers = cause.response.headers if isinstance(cause, httpx.HTTPStatusError) else {}
    return Refusal(error.status_code, headers)


def _parameters(request: Request) -> dict[str, Any]:
    given = request.parameters
    model = {
        "temperature": given.temperature,
        "top_p": given.top_p,
        "num_predict": given.max_tokens,
        "stop": list(given.stop) or None,
        "seed": given.seed,
    }
    model = {name: value for name, value in model.items() if value is not None}
    model |= {name: value for name, value in given.options.items() if name not in _TOP_LEVEL}
    messages = list(request.messages)
    parameters: dict[str, Any] = {
        name: value for name, value in given.options.items() if name in _TOP_LEVEL
    }
    if request.output is not None and request.tools:
        # A format would keep the model from calling tools.
        schema = msgspec.json.encode(request.output.schema).decode()
        messages.append(
            SystemMessage(f"Your final answer must be JSON alone, of this JSON Schema: {schema}")
        )
    elif request.output is not None:
        parameters["format"] = request.output.schema
    tools = [_tool(tool.declaration) for tool in request.tools]
    return parameters | {
        "model": request.model,
        "messages": [_dumped(message) for message in messages],
        "options": model or None,
        "tools": tools or None,
    }


def _tool(tool: Declaration) -> dict[str, Any]:
    defined = tool.parameters.get("$defs", {})
    properties = tool.parameters.get("properties", {})
    shape = {
        "type": "object",
        "properties": {name: _property(each, defined) for name, each in properties.items()},
        "required": tool.parameters.get("required", []),
    }
    return declared(attrs.evolve(tool, parameters=shape))


def _property(schema: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    """What the SDK lets pass of a parameter's schema; the rest is told in its description."""
    branches = schema.get("anyOf", [])
    types = [branch.get("type") for branch in branches if branch.keys() == {"type"}]
    if types and len(types) == len(branches):
        return {"type": types, "description": schema.get("description")}
    if not schema.keys() & {"$ref", "properties", "anyOf", "additionalProperties"}:
        return {key: schema[key] for key in _PASSES if key in schema}
    named = {"$defs": defined} if "$ref" in str(schema) else {}
    whole = msgspec.json.encode(schema | named).decode()
    description = f"{schema.get('description', '')} (JSON Schema: {whole})".strip()
    return {"type": schema.get("type"), "description": description}


def _dumped(message: Message) -> dict[str, Any]:
    dumped: dict[str, Any] = {"role": message.role, "content": message.text}
    images = [image for block in content.blocks(message) if (image := content.image(block))]
    if images:
        dumped["images"] = [_bytes(image) for image in images]
    if isinstance(message, ToolMessage):
        dumped["tool_name"] = message.name
    if isinstance(message, AIMessage):
        if message.response_metadata.get("model_provider") == NAME:
            thoughts = (content.reasoning(block) for block in content.blocks(message))
            dumped["thinking"] = "".join(thought.text for thought in thoughts if thought)
        dumped["tool_calls"] = [
            *(_call(call["name"], call["args"]) for call in message.tool_calls),
            *(_call(c["name"], {"invalid_json": c["args"]}) for c in message.invalid_tool_calls),
        ]
    return dumped


def _call(name: str | None, args: dict[str, Any]) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": args}}


def _bytes(image: content.Image) -> bytes:
    if image.data is None:
        raise ValueError(
            f"Ollama takes no images by URL, such as {image.url!r:.100}: give it as base64, "
            '{"type": "image", "base64": …, "mime_type": …}'
        )
    return base64.b64decode(image.data)


def _chunk(part: ollama.ChatResponse, *, first_call: int = 0) -> AIMessageChunk:
    said = part.message
    text: Content = said.content or ""
    if said.thinking:
        thought = content.thought(said.thinking)
        text = [*thought, {"type": "text", "text": text}] if text else thought
    return AIMessageChunk(
        text,
        tool_call_chunks=[
            _piece(index, call) for index, call in enumerate(said.tool_calls or (), first_call)
        ],
    )


def _piece(index: int, call: ollama.Message.ToolCall) -> ToolCallChunk:
    return tool_call_chunk(
        index,
        id=f"call_{uuid4().hex}",
        name=call.function.name,
        args=msgspec.json.encode(call.function.arguments).decode(),
    )


def _last(part: ollama.ChatResponse, *, called: bool) -> AIMessageChunk:
    given, made = part.prompt_eval_count or 0, part.eval_count or 0
    usage: UsageMetadata = {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
    }
    return AIMessageChunk(
        response_metadata={
            "model_provider": NAME,
            "model_name": part.model,
            "finish_reason": "tool_calls" if called else part.done_reason,
        },
        usage_metadata=usage,
        chunk_position="last",
    )
