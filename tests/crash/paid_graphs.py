"""Graphs of which everything costs: models, effects, child runs. Each call is on the side log.

A line of the log is JSON, see `Paid`; the log is the file that CRASH_LOG names. What a call gives
is `what|token`, a token no other call has given, so that records and states tell which call's
result they hold.
"""

import asyncio
import operator
import os
import random
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import attrs
import msgspec

from duragraph_worker import (
    Graph,
    Message,
    add_messages,
    entrypoint,
    llm_node,
    node,
    register_provider,
    tool,
)
from duragraph_worker.llm.providers import Request
from duragraph_worker.messages import AIMessage, AIMessageChunk, UsageMetadata

_log = os.open(os.environ.get("CRASH_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
NAP_SECONDS = 0.5


@attrs.frozen
class Paid:
    """A call began."""

    what: str
    token: str
    at: float
    """Seconds since the epoch, as PostgreSQL's clock on this machine has them."""
    pid: int

    @property
    def result(self) -> str:
        return f"{self.what}|{self.token}"


def begin(what: str) -> str:
    """Pay; returns the result."""
    paid = Paid(what, uuid.uuid4().hex, time.time(), os.getpid())
    os.write(_log, msgspec.json.encode(paid) + b"\n")
    return paid.result


async def pay(what: str) -> str:
    result = begin(what)
    await asyncio.sleep(random.uniform(0.02, 0.2))
    return result


class Ledger:
    """A provider that is paid for every question. It asks for a tool once."""

    errors: tuple[type[Exception], ...] = ()

    async def complete(self, request: Request) -> AIMessage:
        chunks = [chunk async for chunk in self.stream(request)]
        return sum(chunks[1:], start=chunks[0]).message()

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        name, answered = request.messages[0].text, request.messages[-1].type == "tool"
        result = begin(f"{name}/{'reply' if answered else 'question'}")
        for piece in result:
            await asyncio.sleep(0.003)
            yield AIMessageChunk(piece)
        calls = [] if answered else [_call(f"{name}/tool")]
        yield AIMessageChunk(
            tool_call_chunks=calls, usage_metadata=_took(result), chunk_position="last"
        )


def _took(result: str) -> UsageMetadata:
    """One token, which tells in a run's sums which call it was."""
    details = {"input_token_details": {result: 1}}
    return {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1, **details}


def _call(what: str) -> Any:
    args = msgspec.json.encode({"what": what}).decode()
    return {"name": "look_up", "args": args, "id": "c0", "index": 0, "type": "tool_call_chunk"}


register_provider("ledger", Ledger())


@tool
async def look_up(what: str) -> str:
    """Costs, too."""
    return await pay(what)


class Trail(TypedDict, total=False):
    name: str
    """No other run has it."""
    messages: Annotated[list[Message], add_messages]
    paid: Annotated[list[str], operator.add]
    slept: float
    """Seconds between the first execution's sleep and the last one's going on."""
    word: Any


@Graph(id="errand", version="1", state=Trail)
class Errand:
    """A child run: it pays, sleeps and pays again."""

    @node
    async def go(self, state: Trail, ctx: Any) -> Trail:
        there = await ctx.effect("there", lambda: pay(f"{state['name']}/there"))
        await ctx.sleep(random.uniform(0, 0.3))
        return {"paid": [there, await ctx.effect("back", lambda: pay(f"{state['name']}/back"))]}


@Graph(id="paying", version="1", state=Trail)
class Paying:
    @entrypoint
    @node
    async def enter(self, state: Trail, ctx: Any) -> Trail:
        return {"paid": [await ctx.effect("open", lambda: pay(f"{state['name']}/open"))]}

    @llm_node(model="ledger/dear", tools=[look_up])
    def think(self, state: Trail):
        return state["name"]

    @node
    async def buy(self, state: Trail, ctx: Any) -> Trail:
        name = state["name"]
        first, second, _ = await asyncio.gather(
            ctx.effect("first", lambda: pay(f"{name}/first")),
            ctx.effect("second", lambda: pay(f"{name}/second")),
            ctx.sleep(0.1),
        )
        return {"paid": [first, second]}

    @node
    async def send(self, state: Trail, ctx: Any) -> Trail:
        names = [f"{state['name']}/child{n}" for n in range(2)]
        ended = await asyncio.gather(*[ctx.run("errand", {"name": name}) for name in names])
        return {"paid": [result for each in ended for result in each["paid"]]}

    @node
    async def nap(self, state: Trail, ctx: Any) -> Trail:
        began = await ctx.effect("clock", time.time)
        await ctx.sleep(NAP_SECONDS)
        return {"slept": time.time() - began, "word": await ctx.wait_for("word")}

    enter >> [think, buy, send] >> nap
