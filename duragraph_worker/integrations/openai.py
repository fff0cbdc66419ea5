"""Chat completions through OpenAI's own SDK, which retries 429, 5xx and lost connections.

Any server that speaks its protocol is reached by `base_url` or `OPENAI_BASE_URL`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from duragraph_worker.llm.providers import Request
from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    Message,
    ToolCall,
    ToolMessage,
    Usage,
    tool_call,
)

_Lifetime = AsyncGenerator[openai.AsyncOpenAI, None]


class OpenAI:
    """A provider. `client_options` go to `openai.AsyncOpenAI`: api_key, base_url, max_retries."""

    errors: tuple[type[Exception], ...] = (openai.APIError,)

    def __init__(self, **client_options: Any) -> None:
        self._options = client_options
        self._clients: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[_Lifetime, openai.AsyncOpenAI]
        ] = WeakKeyDictionary()

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply. Raises what the SDK raises once its retries are used up."""
        client = await self._client()
        completion = await client.chat.completions.create(**_parameters(request))
        choice = completion.choices[0]
        calls: list[ToolCall] = []
        invalid: list[dict[str, Any]] = []
        for each in choice.message.tool_calls or ():
            if each.type == "function":
                function = each.function
                tool_call(calls, invalid, name=function.name, args=function.arguments, id=each.id)
        return AIMessage(
            choice.message.content or choice.message.refusal or "",
            response_metadata=_metadata(completion.model, choice.finish_reason),
            tool_calls=calls,
            invalid_tool_calls=invalid,
            usage_metadata=_usage(completion.usage),
        )

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply in pieces. Raises APIConnectionError if it ends before it is whole."""
        client = await self._client()
        model, finish, usage = request.model, None, None
        async with await client.chat.completions.create(
            **_parameters(request), stream=True, stream_options={"include_usage": True}
        ) as events:
            async for event in events:
                model, usage = event.model or model, event.usage or usage
                for choice in event.choices:
                    finish = choice.finish_reason or finish
                chunk = _chunk(event)
                if chunk.content or chunk.tool_call_chunks:
                    yield chunk
            if finish is None:
                raise openai.APIConnectionError(
                    message="The reply was cut off: its stream ended without a finish_reason.",
                    request=events.response.request,
                )
        yield AIMessageChunk(
            response_metadata=_metadata(model, finish),
            usage_metadata=_usage(usage),
            chunk_position="last",
        )

    async def _client(self) -> openai.AsyncOpenAI:
        """The running loop's client: connections can't be shared between loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            lifetime = self._lifetime()
            self._clients[loop] = (lifetime, await anext(lifetime))
        return self._clients[loop][1]

    async def _lifetime(self) -> _Lifetime:
        # A loop that ends closes its async generators, and this one its client.
        async with openai.AsyncOpenAI(**self._options) as client:
            yield client


def _parameters(request: Request) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": request.model,
        "messages": [_dumped(message) for message in request.messages],
    }
    if request.tools:
        parameters["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ]
    if request.output is not None:
        shape = {"name": request.output.name, "schema": _strict(request.output.schema)}
        shape["strict"] = True
        parameters["response_format"] = {"type": "json_schema", "json_schema": shape}
    given = request.parameters
    if given.temperature is not None:
        parameters["temperature"] = given.temperature
    if given.max_tokens is not None:
        parameters["max_completion_tokens"] = given.max_tokens
    return parameters


def _dumped(message: Message) -> dict[str, Any]:
    role = message.additional_kwargs.get("__openai_role__", message.role)
    dumped: dict[str, Any] = {"role": role, "content": message.content}
    if isinstance(message, ToolMessage):
        return dumped | {"tool_call_id": message.tool_call_id}
    if message.name is not None:
        dumped["name"] = message.name
    if isinstance(message, AIMessage):
        dumped["content"] = message.text
        calls = [
            _call(call["id"], call["name"], msgspec.json.encode(call["args"]).decode())
            for call in message.tool_calls
        ] + [_call(c["id"], c["name"], c["args"]) for c in message.invalid_tool_calls]
        if calls:
            dumped["tool_calls"] = calls
    return dumped


def _call(call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments or "{}"},
    }


def _chunk(event: ChatCompletionChunk) -> AIMessageChunk:
    if not event.choices:
        return AIMessageChunk()
    delta = event.choices[0].delta
    return AIMessageChunk(
        delta.content or delta.refusal or "",
        tool_call_chunks=[
            {
                "name": piece.function.name if piece.function else None,
                "args": piece.function.arguments if piece.function else None,
                "id": piece.id,
                "index": piece.index,
                "type": "tool_call_chunk",
            }
            for piece in delta.tool_calls or ()
        ],
    )


def _metadata(model: str, finish: str | None) -> dict[str, Any]:
    return {"model_provider": "openai", "model_name": model, "finish_reason": finish}


def _usage(usage: CompletionUsage | None) -> Usage | None:
    if usage is None:
        return None
    counted: Usage = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    if prompt is not None and prompt.cached_tokens is not None:
        counted["input_token_details"] = {"cache_read": prompt.cached_tokens}
    if completion is not None and completion.reasoning_tokens is not None:
        counted["output_token_details"] = {"reasoning": completion.reasoning_tokens}
    return counted


def _strict(schema: Any) -> Any:
    """The schema with every object closed and whole, as strict mode asks; defaults go."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items() if key != "default"}
    if isinstance(named := schema.get("properties"), dict):
        # Its keys are fields' names, not keywords.
        closed["properties"] = {name: _strict(value) for name, value in named.items()}
        closed |= {"additionalProperties": False, "required": list(named)}
    return closed
