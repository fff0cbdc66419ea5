"""The `llm` that a body may take: asks the node's models, loops over tools, records each reply.

Replies are effects of the node, keyed by call and round, so a retry pays for none twice. Tokens
go out through `ctx.message` as they come; every try has a message id of its own.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import attrs
import msgspec

from duragraph_worker import coerce
from duragraph_worker.llm import structured
from duragraph_worker.llm.providers import Provider, Request, resolve
from duragraph_worker.llm.roles import LLM
from duragraph_worker.llm.toolbox import Context, answers, bound
from duragraph_worker.llm.tools import Tool, as_tool
from duragraph_worker.messages import AIMessage, AIMessageChunk, Message, SystemMessage

log = logging.getLogger(__name__)

Listen = Callable[[str], None]


class ToolRoundsError(RuntimeError):
    """The model asks for tools again and again."""


@attrs.define(eq=False)
class Model:
    """The models of one node in one execution of it."""

    role: LLM
    ctx: Context
    instance: Any
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop)
    _calls: Iterator[int] = attrs.field(factory=itertools.count)
    _ids: Iterator[int] = attrs.field(factory=itertools.count)

    async def __call__(self, messages: Any, **options: Any) -> Any:
        """The final reply to `messages`, as an AIMessage; with `output=Type` a value of it.

        `tools=` and `max_tool_rounds=` replace the node's; with no rounds the reply is returned
        with its `tool_calls` uncalled. `system=` and all of `Parameters` replace the node's, too.
        """
        reply = (await self.converse(coerce.messages(messages), **options))[-1]
        output = options.get("output", self.role.output)
        return reply if output is None else structured.read(reply.text, output)

    async def stream(self, messages: Any, **options: Any) -> AsyncIterator[str]:
        """The reply's text as it comes; a recorded reply comes in one piece."""
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        prompt = coerce.messages(messages)
        asked = asyncio.create_task(self.converse(prompt, listen=heard.put_nowait, **options))
        asked.add_done_callback(lambda _: heard.put_nowait(None))
        silent = True
        try:
            while (token := await heard.get()) is not None:
                silent = False
                yield token
            reply = (await asked)[-1]
            if silent:
                yield reply.text
        finally:
            asked.cancel()

    def sync(self, messages: Any, **options: Any) -> Any:
        """The same as awaiting it, for a sync body."""
        return asyncio.run_coroutine_threadsafe(self(messages, **options), self._loop).result()

    async def converse(
        self,
        prompt: list[Message],
        *,
        tools: Sequence[Tool | Callable[..., Any]] | None = None,
        output: Any = None,
        system: str | None = None,
        max_tool_rounds: int | None = None,
        listen: Listen | None = None,
        **parameters: Any,
    ) -> list[Message]:
        """All that `prompt` led to, the final reply last. Raises ToolRoundsError."""
        role = self._role(tools, output, system, max_tool_rounds, parameters)
        toolbox = bound(role.tools, self.instance)
        head = [SystemMessage(role.system)] if role.system is not None else []
        call, new = next(self._calls), list[Message]()
        for turn in range(role.max_tool_rounds + 1):
            question = [*head, *prompt, *new]
            reply = await self._recorded(f"llm:{call}:{turn}", role, question, listen)
            new.append(reply)
            if not (reply.tool_calls or reply.invalid_tool_calls) or not role.max_tool_rounds:
                return new
            if turn < role.max_tool_rounds:
                new += await answers(reply, toolbox, self.ctx, scope=f"{call}:{turn}")
        raise ToolRoundsError(
            f"the model still asks for tools after {role.max_tool_rounds} rounds; allow more "
            "with max_tool_rounds, or tell it when to stop"
        )

    def _role(
        self,
        tools: Sequence[Tool | Callable[..., Any]] | None,
        output: Any,
        system: str | None,
        rounds: int | None,
        parameters: Mapping[str, Any],
    ) -> LLM:
        changed: dict[str, Any] = {"parameters": attrs.evolve(self.role.parameters, **parameters)}
        if tools is not None:
            changed["tools"] = tuple(as_tool(item) for item in tools)
        if output is not None:
            changed["output"] = output
        if system is not None:
            changed["system"] = system
        if rounds is not None:
            changed["max_tool_rounds"] = rounds
        return attrs.evolve(self.role, **changed)

    async def _recorded(
        self, effect: str, role: LLM, question: list[Message], listen: Listen | None
    ) -> AIMessage:
        async def ask(key: str) -> Any:  # noqa: ARG001 - asking twice harms nobody
            reply = await self._asked(role, question, listen)
            # A reply of the wrong type must not be recorded, or a retry would meet it again.
            if role.output is not None and not reply.tool_calls:
                structured.read(reply.text, role.output)
            return msgspec.to_builtins(reply)

        return cast("AIMessage", coerce.message(await self.ctx.effect(effect, ask)))

    async def _asked(self, role: LLM, question: list[Message], listen: Listen | None) -> AIMessage:
        for model in role.models[:-1]:
            provider, name = resolve(model)
            try:
                return await self._reply(provider, name, role, question, listen)
            except provider.errors as error:
                told = {"model": model, "why": str(error)}
                log.warning("a model can't answer, asking the next", extra=told)
        provider, name = resolve(role.models[-1])
        return await self._reply(provider, name, role, question, listen)

    async def _reply(
        self,
        provider: Provider,
        model: str,
        role: LLM,
        question: list[Message],
        listen: Listen | None,
    ) -> AIMessage:
        request = Request(
            model=model,
            messages=question,
            tools=role.tools,
            output=None if role.output is None else structured.wanted(role.output),
            parameters=role.parameters,
        )
        message_id = self.ctx.message_id(next(self._ids))
        if not role.stream and listen is None:
            reply = attrs.evolve(await provider.complete(request), id=message_id)
            self.ctx.message(_whole(reply))
            return reply
        chunks: list[AIMessageChunk] = []
        async for piece in provider.stream(request):
            chunk = attrs.evolve(piece, id=message_id)
            chunks.append(chunk)
            self.ctx.message(chunk)
            if listen is not None and chunk.text:
                listen(chunk.text)
        return sum(chunks[1:], start=chunks[0]).message()


def _whole(reply: AIMessage) -> AIMessageChunk:
    """A reply that did not stream, as the one chunk it is."""
    return AIMessageChunk(
        reply.content,
        additional_kwargs=reply.additional_kwargs,
        response_metadata=reply.response_metadata,
        id=reply.id,
        usage_metadata=reply.usage_metadata,
        tool_call_chunks=[
            {
                "name": call["name"],
                "args": msgspec.json.encode(call["args"]).decode(),
                "id": call["id"],
                "index": at,
                "type": "tool_call_chunk",
            }
            for at, call in enumerate(reply.tool_calls)
        ],
        chunk_position="last",
    )
