"""Chat completions through OpenAI's own SDK, which retries 429, 5xx and lost connections.

Any server that speaks its protocol is reached by `base_url` or `OPENAI_BASE_URL`: vLLM, a LiteLLM
proxy and many others.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from duragraph_worker.batches import batches
from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.llm import content
from duragraph_worker.llm.chat_completions import called, declared
from duragraph_worker.llm.providers import Output, Request
from duragraph_worker.llm.structured import closed
from duragraph_worker.messages import (
    AIMessage,
    AIMessageChunk,
    Content,
    Message,
    ToolCallChunk,
    ToolMessage,
    UsageMetadata,
    tool_call_chunk,
)
from duragraph_worker.replies import ReplyError, cut_off, reading
from duragraph_worker.vectors.store import Vector

with needs("openai"):
    import openai
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessage
    from openai.types.chat.chat_completion_chunk import ChoiceDelta

NAME = "openai"
_KEPT = ("refusal", "annotations")
"""Fields of a reply that `additional_kwargs` keeps."""
_MOST_TEXTS = 256
"""That are embedded by one request: OpenAI takes 2,048, and 300,000 tokens."""


class OpenAI:
    """A provider. `client_options` go to `openai.AsyncOpenAI`: api_key, base_url, max_retries."""

    errors: tuple[type[Exception], ...] = (openai.APIError, ReplyError)

    def __init__(self, **client_options: Any) -> None:
        self._clients = Clients(lambda: openai.AsyncOpenAI(**client_options))

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply. Raises `errors`: what the SDK does once its retries are used up."""
        client = await self._clients.here()
        parameters = _parameters(request)
        with reading(NAME, (ValueError,)):
            completion = await client.chat.completions.create(**parameters)
        with reading(NAME):
            choice = completion.choices[0]
            whole = AIMessageChunk(
                _content(choice.message),
                additional_kwargs=_kept(choice.message),
                response_metadata=_metadata(completion.model, choice.finish_reason),
                tool_call_chunks=[
                    _piece(index, each.id, each.function)
                    for index, each in enumerate(choice.message.tool_calls or ())
                    if each.type == "function"
                ],
                usage_metadata=_usage(completion.usage),
            )
            return whole.message()

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        """The reply in pieces. Raises `errors`, ReplyError if it ends before it is whole."""
        client = await self._clients.here()
        model, finish, usage = request.model, None, None
        async with await client.chat.completions.create(
            **_parameters(request), stream=True, stream_options={"include_usage": True}
        ) as events:
            with reading(NAME):
                async for event in events:
                    model, usage = event.model or model, event.usage or usage
                    for choice in event.choices:
                        finish = choice.finish_reason or finish
                    chunk = _chunk(event)
                    if chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs:
                        yield chunk
        if finish is None:
            raise cut_off(NAME)
        with reading(NAME):
            tokens = _usage(usage)
        yield AIMessageChunk(
            response_metadata=_metadata(model, finish),
            usage_metadata=tokens,
            chunk_position="last",
        )


class OpenAIEmbeddings:
    """`Embeddings` of OpenAI's models. `client_options` go to `openai.AsyncOpenAI`.

    `dimensions` shortens the vectors of models that can. Raises `openai.APIError`, ReplyError.
    """

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        dimensions: int | None = None,
        **client_options: Any,
    ) -> None:
        self._clients = Clients(lambda: openai.AsyncOpenAI(**client_options))
        self._asked: dict[str, Any] = {"model": model}
        if dimensions is not None:
            self._asked["dimensions"] = dimensions

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text."""
        client = await self._clients.here()
        made: list[Vector] = []
        for batch in batches(texts, _MOST_TEXTS):
            reply = await client.embeddings.create(input=list(batch), **self._asked)
            with reading(NAME):
                made += [each.embedding for each in sorted(reply.data, key=lambda e: e.index)]
        return made

    async def query(self, text: str) -> Vector:
        """The vector of a text."""
        return (await self.documents([text]))[0]


def _parameters(request: Request) -> dict[str, Any]:
    given = request.parameters
    wished = {
        "temperature": given.temperature,
        "top_p": given.top_p,
        "max_completion_tokens": given.max_tokens,
        "stop": list(given.stop) or None,
        "seed": given.seed,
        "timeout": given.request_timeout,
        "extra_body": dict(given.options) or None,
        "tools": [declared(tool.declaration) for tool in request.tools] or None,
        "response_format": request.output and _format(request.output),
    }
    return {
        "model": request.model,
        "messages": [_dumped(message) for message in request.messages],
        **{name: value for name, value in wished.items() if value is not None},
    }


def _format(output: Output) -> dict[str, Any]:
    try:
        shape = {"schema": closed(output.schema), "strict": True}
    except ValueError:
        shape = {"schema": output.schema, "strict": False}
    return {"type": "json_schema", "json_schema": {"name": output.name, **shape}}


def _dumped(message: Message) -> dict[str, Any]:
    role = message.additional_kwargs.get("__openai_role__", message.role)
    dumped: dict[str, Any] = {"role": role, "content": _parts(message)}
    if isinstance(message, ToolMessage):
        return dumped | {"tool_call_id": message.tool_call_id}
    if message.name is not None:
        dumped["name"] = message.name
    if isinstance(message, AIMessage):
        # A refusal is its text, too, for whoever reads the message.
        refusal = message.additional_kwargs.get("refusal")
        dumped |= {"content": None, "refusal": refusal} if refusal else {"content": message.text}
        if calls := called(message):
            dumped["tool_calls"] = calls
    return dumped


def _parts(message: Message) -> Any:
    if isinstance(message.content, str):
        return message.content
    parts: list[content.Block] = []
    for block in content.blocks(message):
        image = content.image(block)
        if block["type"] == "text":
            parts.append({"type": "text", "text": block["text"]})
        elif image is None:
            parts.append(block)
        else:
            asked = block.get("image_url")
            shown = dict(asked) if isinstance(asked, Mapping) else {}
            parts.append({"type": "image_url", "image_url": shown | {"url": image.href}})
    return parts


def _chunk(event: ChatCompletionChunk) -> AIMessageChunk:
    if not event.choices:
        return AIMessageChunk()
    delta = event.choices[0].delta
    return AIMessageChunk(
        _content(delta),
        additional_kwargs=_kept(delta),
        tool_call_chunks=[
            _piece(each.index, each.id, each.function) for each in delta.tool_calls or ()
        ],
    )


def _piece(index: int, call_id: str | None, function: Any) -> ToolCallChunk:
    if function is None:
        return tool_call_chunk(index, id=call_id)
    return tool_call_chunk(index, id=call_id, name=function.name, args=function.arguments)


def _content(said: ChatCompletionMessage | ChoiceDelta) -> Content:
    text = said.content or said.refusal or ""
    # OpenAI's own models don't tell what they think; others do, under either name.
    thought = getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None)
    if not isinstance(thought, str) or not thought:
        return text
    blocks = content.thought(thought)
    return [*blocks, {"type": "text", "text": text}] if text else blocks


def _kept(said: ChatCompletionMessage | ChoiceDelta) -> dict[str, Any]:
    given = said.to_dict()
    return {name: given[name] for name in _KEPT if given.get(name)}


def _metadata(model: str, finish: str | None) -> dict[str, Any]:
    return {"model_provider": NAME, "model_name": model, "finish_reason": finish}


def _usage(usage: CompletionUsage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    counted: UsageMetadata = {
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
