"""Graphs for the crash tier. Every body first writes a line to the side log, as evidence.

The log is the file that CRASH_LOG names: `run node epoch pid monotonic-seconds` a line, appended
whole by one write, so that many processes may share it.
"""

import asyncio
import ctypes
import operator
import os
import random
import time
from typing import Annotated, Any, TypedDict

from duragraph_worker import Graph, node
from duragraph_worker.executor.context import Context

_log = os.open(os.environ.get("CRASH_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def witness(ctx: Context, name: str | None = None) -> str:
    """Log that the node's body, or what is named, began; returns `name:epoch`."""
    name = name or ctx.node
    line = f"{ctx.run_id} {name} {ctx.epoch} {os.getpid()} {time.monotonic()}\n"
    os.write(_log, line.encode())
    return f"{name}:{ctx.epoch}"


class Trail(TypedDict, total=False):
    ms: list[float]
    """The least and the most that a node takes."""
    trail: Annotated[list[str], operator.add]
    """Which node's result was recorded, and under which epoch it was computed."""


async def step(_self: Any, state: Trail, ctx: Context) -> Trail:
    seen = witness(ctx)
    await asyncio.sleep(random.uniform(*state.get("ms", [1, 20])) / 1000)
    return {"trail": [seen]}


@Graph(id="ten", version="1", state=Trail)
class Ten:
    """Ten nodes in a row, 1 to 20 ms each unless told otherwise."""

    n0, n1, n2, n3, n4 = node(step), node(step), node(step), node(step), node(step)
    n5, n6, n7, n8, n9 = node(step), node(step), node(step), node(step), node(step)

    n0 >> n1 >> n2 >> n3 >> n4 >> n5 >> n6 >> n7 >> n8 >> n9


@Graph(id="ask", version="1", state=Trail)
class Ask:
    """Asks a person, then does something that the world notices."""

    @node
    async def ask(self, state: Trail, ctx: Context) -> Trail:
        answer = ctx.interrupt("how much?")
        return {"trail": [witness(ctx), f"answer:{answer}"]}

    @node
    async def charge(self, state: Trail, ctx: Context) -> Trail:
        seen = witness(ctx)
        receipt = await ctx.effect("receipt", lambda: witness(ctx, "receipt"))
        await asyncio.sleep(random.uniform(*state["ms"]) / 1000)
        return {"trail": [seen, receipt]}

    @node
    async def thank(self, state: Trail, ctx: Context) -> Trail:
        return {"trail": [witness(ctx)]}

    ask >> charge >> thank


@Graph(id="stall", version="1", state=Trail)
class Stall:
    """Its second node holds the GIL in C code for the seconds told, so that no thread runs."""

    @node
    async def before(self, state: Trail, ctx: Context) -> Trail:
        return {"trail": [witness(ctx)]}

    @node
    async def hold(self, state: Trail, ctx: Context) -> Trail:
        seen = witness(ctx)
        ctypes.PyDLL(None).usleep(int(state["ms"][0] * 1000))
        return {"trail": [seen]}

    @node
    async def after(self, state: Trail, ctx: Context) -> Trail:
        return {"trail": [witness(ctx)]}

    before >> hold >> after


@Graph(id="tokens", version="1", state=Trail)
class Tokens:
    """A thousand events of its own, a few milliseconds apart."""

    @node
    async def speak(self, state: Trail, ctx: Context) -> Trail:
        seen = witness(ctx)
        for n in range(1000):
            await ctx.emit({"n": n, "epoch": ctx.epoch})
            await asyncio.sleep(state.get("ms", [2])[0] / 1000)
        return {"trail": [seen]}


@Graph(id="deadly", version="1", state=Trail)
class Deadly:
    """Its second node ends the process, each time."""

    @node
    async def before(self, state: Trail, ctx: Context) -> Trail:
        return {"trail": [witness(ctx)]}

    @node
    async def die(self, state: Trail, ctx: Context) -> Trail:
        witness(ctx)
        os._exit(3)

    before >> die


@Graph(id="sudden", version="1", state=Trail)
class Sudden:
    """Ends the process before anything of the run was reported."""

    @node
    def die(self, state: Trail, ctx: Context) -> Trail:
        witness(ctx)
        os._exit(3)
