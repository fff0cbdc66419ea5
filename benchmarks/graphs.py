"""The benchmark's graphs, written with @Graph. No LLM, no I/O: only the plane is measured."""

import asyncio
import operator
import time
from collections.abc import AsyncIterator
from typing import Annotated, TypedDict

from duragraph_worker import (
    END,
    Command,
    Graph,
    add_messages,
    llm_node,
    node,
    register_provider,
)
from duragraph_worker.llm.providers import Request
from duragraph_worker.messages import AIMessageChunk


class Echo(TypedDict, total=False):
    msg: str
    out: str


async def _echo(state: Echo) -> Echo:
    return {"out": state.get("msg", "")}


@Graph(id="echo", state=Echo)
class echo:  # noqa: N801 - named as the graph it is
    @node
    async def n0(self, state):
        return await _echo(state)


@Graph(id="chain5", state=Echo)
class chain5:  # noqa: N801
    @node
    async def n0(self, state):
        return await _echo(state)

    @node
    async def n1(self, state):
        return await _echo(state)

    @node
    async def n2(self, state):
        return await _echo(state)

    @node
    async def n3(self, state):
        return await _echo(state)

    @node
    async def n4(self, state):
        return await _echo(state)

    n0 >> n1 >> n2 >> n3 >> n4


class Loop(TypedDict, total=False):
    steps: int
    n: int


@Graph(id="loop", state=Loop)
class loop:  # noqa: N801
    """`steps` supersteps in one run: makes a thread with that many checkpoints."""

    @node(goto=["tick"])
    async def tick(self, state):
        left = state.get("steps", 1) - 1
        update = {"n": state.get("n", 0) + 1, "steps": left}
        return Command(update=update, goto="tick" if left > 0 else END)


class Grow(TypedDict, total=False):
    items: Annotated[list[str], operator.add]


@Graph(id="grow", state=Grow)
class grow:  # noqa: N801
    """State grows by two 200-byte items a run, as a chat history does."""

    @node
    async def reply(self, state):
        return {"items": ["reply " + "y" * 200]}


class Tokens(TypedDict, total=False):
    count: int
    delay_ms: float
    out: str


@Graph(id="tokens", state=Tokens)
class tokens:  # noqa: N801
    @node
    async def gen(self, state, ctx):
        count, delay = state.get("count", 200), state.get("delay_ms", 0) / 1000
        for i in range(count):
            await ctx.emit({"i": i, "token": f"tok{i} "})
            if delay:
                await asyncio.sleep(delay)
        return {"out": str(count)}


class Chat(TypedDict, total=False):
    messages: Annotated[list, add_messages]


@Graph(id="chat", state=Chat)
class chat:  # noqa: N801
    """200 chunks of a message, for stream_mode=messages-tuple."""

    @node
    async def model(self, state, ctx):
        reply = ctx.message_id(0)
        for _ in range(200):
            ctx.message(AIMessageChunk(content="x", id=reply))
            await asyncio.sleep(0)
        return {"messages": [{"role": "assistant", "content": "x" * 200, "id": reply}]}


class Paced:
    """A provider whose tokens are the times at which they were sent, in ns, every 10 ms."""

    errors = ()
    seconds = 0.01

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        begun = time.monotonic()
        for at in range(1, int(request.messages[-1].text) + 1):
            await asyncio.sleep(begun + at * self.seconds - time.monotonic())
            yield AIMessageChunk(f"{time.monotonic_ns()} ")
        yield AIMessageChunk(chunk_position="last")


register_provider("paced", Paced())


@Graph(id="paced", state=Chat)
class paced:  # noqa: N801
    """As many tokens as its message says."""

    @llm_node(model="paced/x")
    def say(self, state): ...


class Sleep(TypedDict, total=False):
    secs: float
    out: str


@Graph(id="sleep", state=Sleep)
class sleep:  # noqa: N801
    @node
    async def sleep(self, state):
        await asyncio.sleep(state.get("secs", 1.0))
        return {"out": "done"}
