"""The `llm` that a body may take: asks the node's models, loops over tools, records each reply.

Replies are effects of the node, keyed by call and round, so a retry pays for none twice. Tokens
go out through `ctx.message` as they come; every try has a message id of its own. A conversation
with `memo` is held once a run, whichever node asks for it.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

import attrs
import msgspec

from duragraph_worker import coerce
from duragraph_worker.command import Command
from duragraph_worker.llm import structured
from duragraph_worker.llm.asking import Asking, Listen, replayed
from duragraph_worker.llm.cache import fingerprint
from duragraph_worker.llm.roles import LLM
from duragraph_worker.llm.toolbox import Context, answers, bound, jumps
from duragraph_worker.llm.tools import Tool
from duragraph_worker.messages import AIMessage, Message, SystemMessage, ToolMessage


class ToolRoundsError(RuntimeError):
    """The model asks for tools again and again."""


@attrs.define(eq=False)
class Model:
    """The models of one node in one execution of it."""

    role: LLM
    ctx: Context
    instance: Any
    over: list[Command[Any]] = attrs.field(factory=list, init=False)
    """Where tools have handed over to."""
    _calls: Iterator[int] = attrs.field(factory=itertools.count)
    _ids: Iterator[int] = attrs.field(factory=itertools.count)
    _streams: list[asyncio.Task[list[Message]]] = attrs.field(factory=list, init=False)

    async def __call__(self, messages: Any, **options: Any) -> Any:
        """The final reply to `messages`, as an AIMessage; with `output=Type` a value of it.

        `tools=` and `max_tool_rounds=` replace the node's; with no rounds the reply is returned
        with its `tool_calls` uncalled. `system=`, `memo=` and all of `Parameters` replace the
        node's, too; `output=None` asks for no type, whatever the node does.
        """
        *before, reply = await self.converse(coerce.messages(messages), **options)
        if isinstance(reply, ToolMessage):  # a tool has handed over: there is no final reply
            return next(each for each in reversed(before) if isinstance(each, AIMessage))
        output = options.get("output", self.role.output)
        return reply if output is None else structured.read(reply.text, output)

    async def stream(self, messages: Any, **options: Any) -> AsyncIterator[str]:
        """The reply's text as it comes; a recorded reply comes in one piece."""
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        prompt = coerce.messages(messages)
        asked = asyncio.create_task(self.converse(prompt, listen=heard.put_nowait, **options))
        asked.add_done_callback(lambda _: heard.put_nowait(None))
        self._streams.append(asked)
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

    async def close(self) -> None:
        """The body is over: end the streams that it left, and count what they took."""
        for asked in self._streams:
            asked.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    def sync(self, messages: Any, **options: Any) -> Any:
        """The same as awaiting it, for a sync body."""
        return self.ctx.sync(self(messages, **options))

    async def converse(
        self,
        prompt: list[Message],
        *,
        memo: bool | None = None,
        listen: Listen | None = None,
        **options: Any,
    ) -> list[Message]:
        """All that `prompt` led to, the final reply last. Raises ToolRoundsError."""
        role = self._role(**options)
        head = [SystemMessage(role.system)] if role.system is not None else []
        call = next(self._calls)
        ask = self._once if (role.memo if memo is None else memo) else self._rounds
        new = await ask(call, role, [*head, *prompt], listen)
        self.over += jumps(new)
        return new

    async def _rounds(
        self, call: int, role: LLM, prompt: list[Message], listen: Listen | None
    ) -> list[Message]:
        toolbox, new = bound(role.tools, self.instance), list[Message]()
        for turn in range(role.max_tool_rounds + 1):
            reply = await self._recorded(f"llm:{call}:{turn}", role, [*prompt, *new], listen)
            new.append(reply)
            if not (reply.tool_calls or reply.invalid_tool_calls) or not role.max_tool_rounds:
                return new
            if turn < role.max_tool_rounds:
                new += await answers(reply, toolbox, self.ctx, scope=f"{call}:{turn}")
                if jumps(new):
                    return new
        raise ToolRoundsError(
            f"the model still asks for tools after {role.max_tool_rounds} rounds; allow more "
            "with max_tool_rounds, or tell it when to stop"
        )

    async def _once(
        self, call: int, role: LLM, prompt: list[Message], listen: Listen | None
    ) -> list[Message]:
        question = fingerprint(
            role.models,
            prompt,
            tools=role.tools,
            output=None if role.output is None else structured.wanted(role.output),
            parameters=role.parameters,
            rounds=role.max_tool_rounds,
        )

        async def recall(key: str) -> Any:
            known = self.ctx.memos.get(question)
            return known and msgspec.to_builtins(self._repeated(known, role, key))

        async with self.ctx.memos.turn(question):
            # What was recalled is recorded, so that the run that answers an interrupt finds it.
            known = await self.ctx.effect(f"llm:{call}:memo", recall)
            if known is not None:
                return coerce.messages(known)
            new = await self._rounds(call, role, prompt, listen)
            self.ctx.memos.keep(question, new)
            return new

    def _repeated(self, known: list[Any], role: LLM, key: str) -> list[Message]:
        """The conversation once more: other messages than before, in the same words."""
        told = coerce.messages(known)
        for at, message in enumerate(told):
            if isinstance(message, AIMessage):
                reply = attrs.evolve(message, id=self.ctx.message_id(next(self._ids)))
                told[at] = replayed(reply, self.ctx, model=role.models[0], key=key)
        return told

    def _role(
        self,
        *,
        tools: Sequence[Tool | Callable[..., Any]] | None = None,
        system: str | None = None,
        max_tool_rounds: int | None = None,
        **others: Any,
    ) -> LLM:
        """The node's, but for what is given; `output=None` is a reply of no type."""
        changed: dict[str, Any] = {"output": others.pop("output", self.role.output)}
        if tools is not None:
            changed["tools"] = tools
        if system is not None:
            changed["system"] = system
        if max_tool_rounds is not None:
            changed["max_tool_rounds"] = max_tool_rounds
        changed["parameters"] = attrs.evolve(self.role.parameters, **others)
        return attrs.evolve(self.role, **changed)

    async def _recorded(
        self, effect: str, role: LLM, question: list[Message], listen: Listen | None
    ) -> AIMessage:
        async def ask(key: str) -> Any:
            asking = Asking(role, self.ctx, question, key, self._ids, listen)
            return msgspec.to_builtins(await asking.answer())

        return cast("AIMessage", coerce.message(await self.ctx.effect(effect, ask)))
