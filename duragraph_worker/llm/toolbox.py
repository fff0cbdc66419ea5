"""Runs the tool calls of a model's reply, for tool nodes and LLM nodes.

Every call is an effect of its own, so that a retried node pays for none of them twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self, TypeVar

import msgspec

from duragraph.usage import Usage
from duragraph_worker import serialize
from duragraph_worker.command import Command, Send
from duragraph_worker.errors import GraphInterrupt, masked
from duragraph_worker.llm.cache import Store
from duragraph_worker.llm.tools import Tool, ToolInputError
from duragraph_worker.messages import AIMessage, AIMessageChunk, Message, ToolCall, ToolMessage

T = TypeVar("T")


class Memos(Protocol):
    """The run's own answers, by question: JSON."""

    def turn(self, question: str, /) -> AbstractAsyncContextManager[None]: ...

    def get(self, question: str, /) -> Any: ...

    def keep(self, question: str, answer: Any, /) -> None: ...


class Context(Protocol):
    """What models and tools need of the executor's `ctx`."""

    async def effect(self, name: str, fn: Callable[[str], Awaitable[Any]], /) -> Any: ...

    def message(self, chunk: AIMessageChunk, /) -> None: ...

    def message_id(self, n: int, /) -> str: ...

    def tool(self, event: str, call_id: str, /, **fields: Any) -> None: ...

    def usage(self, usage: Usage, /) -> None: ...

    def sync(self, work: Coroutine[Any, Any, T], /) -> T: ...

    def within(self, scope: str, /) -> Self: ...

    @property
    def memos(self) -> Memos: ...

    @property
    def plane(self) -> Store | None: ...


def bound(tools: tuple[Tool, ...], instance: Any) -> dict[str, Tool]:
    """Tools by name; those written as methods are bound."""
    return {tool.name: tool.bound(instance) for tool in tools}


async def answers(
    reply: AIMessage, tools: Mapping[str, Tool], ctx: Context, *, scope: str = "0"
) -> list[Message]:
    """The answers to all tool calls of `reply`, which run in parallel.

    What the model can mend (a wrong name, wrong arguments) is told to it; what a tool raises is
    raised, once all have ended. `scope` tells these calls from others of the same node.
    """
    running = [
        _answer(each, tools, ctx, f"tool:{scope}:{each['id'] or at}")
        for at, each in enumerate(reply.tool_calls)
    ]
    results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, GraphInterrupt):
            raise result
    stops = [result for result in results if isinstance(result, GraphInterrupt)]
    if stops:
        raise GraphInterrupt(tuple(asked for stop in stops for asked in stop.interrupts))
    refused = (
        _refusal(each["name"], each["id"], f"its arguments are no JSON object: {each['error']}")
        for each in reply.invalid_tool_calls
    )
    return [*(m for m in results if isinstance(m, ToolMessage)), *refused]


async def _answer(
    wanted: ToolCall, tools: Mapping[str, Tool], ctx: Context, effect: str
) -> ToolMessage:
    name, call_id = wanted["name"], wanted["id"]
    tool = tools.get(name)
    if tool is None:
        return _refusal(name, call_id, f"it doesn't exist; the tools are: {', '.join(tools)}")

    async def run(key: str) -> tuple[str, Any]:  # noqa: ARG001 - tools make their own keys
        ctx.tool("tool-started", call_id or "", tool_name=name, input=wanted["args"])
        try:
            part = ctx.within(effect) if tool.waits else None
            said = _said(await tool.run(wanted["args"], part))
        except Exception as error:
            told = msgspec.json.decode(masked(error))
            ctx.tool("tool-error", call_id or "", message=told["message"], code=told["error"])
            raise
        ctx.tool("tool-finished", call_id or "", output=answer(*said))
        return said

    def answer(content: str, artifact: Any) -> ToolMessage:
        return ToolMessage(content, name=name, tool_call_id=call_id or "", artifact=artifact)

    try:
        if tool.record and not tool.waits:
            return answer(*await ctx.effect(effect, run))
        return answer(*await run(effect))
    except ToolInputError as error:
        return _refusal(name, call_id, str(error))


def _refusal(name: str, call_id: str | None, why: str) -> ToolMessage:
    text = f"Error: {name} was not called: {why}"
    return ToolMessage(text, name=name, tool_call_id=call_id or "", status="error")


def jumps(messages: Iterable[Message]) -> list[Command[Any]]:
    """Where tools have answered that it goes on."""
    kept = (each.artifact for each in messages if isinstance(each, ToolMessage))
    return [
        Command(
            goto=[Send(*each) if isinstance(each, list) else each for each in artifact[_GOTO]],
            update=artifact["update"],
        )
        for artifact in kept
        if isinstance(artifact, dict) and _GOTO in artifact
    ]


_GOTO = "goto"


def _said(result: Any) -> tuple[str, Any]:
    """A tool's result as the model reads it, and what of it is for the graph."""
    if not isinstance(result, Command):
        return result if isinstance(result, str) else serialize.encode(result).decode(), None
    targets = [each.node if isinstance(each, Send) else each for each in result.targets]
    goto = [[e.node, e.arg] if isinstance(e, Send) else e for e in result.targets]
    return f"Handed over to {', '.join(targets)}.", {_GOTO: goto, "update": result.update}
