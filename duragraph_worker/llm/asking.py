"""Puts one question to a node's models, one after the other until one answers.

Owns which errors the next model may mend, the look into the node's cache before each of them, and
the account: every call counts, also one that failed, with what its provider had told of it.
"""

import logging
from collections.abc import Callable, Iterator

import attrs
import msgspec

from duragraph_worker.llm import characters, structured
from duragraph_worker.llm.cache import fingerprint
from duragraph_worker.llm.providers import Provider, Request, resolve
from duragraph_worker.llm.roles import LLM
from duragraph_worker.llm.toolbox import Context
from duragraph_worker.llm.usage import spared, spent
from duragraph_worker.messages import AIMessage, AIMessageChunk, Message, added_up, tool_call_chunk

FOR_ANOTHER_MODEL = frozenset({404, 408, 409, 413, 425, 429})
"""Of HTTP's statuses from 400 to 499, those that say nothing against asking another model."""

Listen = Callable[[str], None]

log = logging.getLogger(__name__)


def passing(error: Exception) -> bool:
    """Whether another model might answer: not where the question or the key is at fault."""
    status = getattr(error, "status_code", None)
    return status in FOR_ANOTHER_MODEL or status not in range(400, 500)


@attrs.define(eq=False)
class Asking:
    """One question. `key` is of the effect that its answer becomes; `ids` number the messages."""

    role: LLM
    ctx: Context
    question: list[Message]
    key: str
    ids: Iterator[int]
    listen: Listen | None = None
    _heard: bool = attrs.field(default=False, init=False)

    async def answer(self) -> AIMessage:
        """Raises what the last model raises, at once what no other model would mend, OutputError.

        Once `listen` has heard a token no other model is asked: two replies would be one to it.
        """
        for model in self.role.models[:-1]:
            provider, _ = resolve(model)
            try:
                return await self._answer(model)
            except provider.errors as error:
                if self._heard or not passing(error):
                    raise
                told = {"model": model, "why": str(error)}
                log.warning("a model can't answer, asking the next", extra=told)
        return await self._answer(self.role.models[-1])

    async def _answer(self, model: str) -> AIMessage:
        provider, name = resolve(model)
        request = Request(
            model=name,
            messages=self.question,
            tools=self.role.tools,
            output=None if self.role.output is None else structured.wanted(self.role.output),
            parameters=self.role.parameters,
        )
        if (cache := self.role.cache) is None:
            return await self._called(provider, model, request)
        known = fingerprint(
            [model],
            request.messages,
            tools=request.tools,
            output=request.output,
            parameters=request.parameters,
        )
        if (found := await cache.get(known, self.ctx.plane)) is not None:
            marked = found.response_metadata | {"cached": True}
            reply = attrs.evolve(found, id=self._message_id(), response_metadata=marked)
            return replayed(reply, self.ctx, model=model, key=self.key)
        reply = await self._called(provider, model, request)
        await cache.put(known, reply, self.ctx.plane)
        return reply

    async def _called(self, provider: Provider, model: str, request: Request) -> AIMessage:
        tokens, failed = None, True
        try:
            if self.role.stream or self.listen is not None:
                chunks = [AIMessageChunk(id=self._message_id())]
                made_whole = characters.Characters().whole
                async for piece in provider.stream(request):
                    tokens = piece.usage_metadata or tokens
                    chunks.append(made_whole(attrs.evolve(piece, id=chunks[0].id)))
                    self._tell(chunks[-1])
                reply = added_up(chunks)
            else:
                reply = attrs.evolve(await provider.complete(request), id=self._message_id())
                tokens = reply.usage_metadata
                if isinstance(reply.content, str):
                    reply = attrs.evolve(reply, content=characters.whole(reply.content))
                self.ctx.message(whole(reply))
            failed = False
        finally:
            self.ctx.usage(spent(model, tokens, key=self.key, failed=failed))
        # A reply of the wrong type must not be kept, or a retry would meet it again.
        if self.role.output is not None and not reply.tool_calls:
            structured.read(reply.text, self.role.output)
        return reply

    def _tell(self, chunk: AIMessageChunk) -> None:
        # What a call has taken so far is told by itself, and is no part of the conversation.
        if chunk.content or chunk.tool_call_chunks or chunk.chunk_position or _notes(chunk):
            self.ctx.message(chunk)
        if self.listen is not None and chunk.text:
            self._heard = True
            self.listen(chunk.text)

    def _message_id(self) -> str:
        return self.ctx.message_id(next(self.ids))


def _notes(chunk: AIMessageChunk) -> bool:
    return bool(chunk.response_metadata or chunk.additional_kwargs)


def replayed(reply: AIMessage, ctx: Context, *, model: str, key: str) -> AIMessage:
    """A reply that was on hand, told once more and paid by nobody."""
    reply = attrs.evolve(reply, usage_metadata=None)
    ctx.usage(spared(model, key=key))
    ctx.message(whole(reply))
    return reply


def whole(reply: AIMessage) -> AIMessageChunk:
    """A reply that did not stream, as the one chunk it is."""
    return AIMessageChunk(
        reply.content,
        additional_kwargs=reply.additional_kwargs,
        response_metadata=reply.response_metadata,
        id=reply.id,
        usage_metadata=reply.usage_metadata,
        tool_call_chunks=[
            tool_call_chunk(
                at,
                id=call["id"],
                name=call["name"],
                args=msgspec.json.encode(call["args"]).decode(),
            )
            for at, call in enumerate(reply.tool_calls)
        ],
        chunk_position="last",
    )
