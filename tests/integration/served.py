"""A graph for worker processes: each node tells the test that it began, and does as it is told."""

import asyncio
import ctypes
import os
import time

from duragraph_worker import Graph, entrypoint, node


async def ask(state, name):
    reader, writer = await asyncio.open_connection("127.0.0.1", state["port"])
    try:
        writer.write(f"{os.getpid()} {name}\n".encode())
        order = (await reader.readline()).decode().split()
    finally:
        writer.close()
    match order:
        case ["block", seconds]:
            time.sleep(float(seconds))  # noqa: ASYNC251 - a bad node is the point
        case ["hold-gil", seconds]:
            ctypes.PyDLL(None).usleep(int(seconds) * 1_000_000)
        case ["exit"]:
            os._exit(3)


@Graph(id="steps", version="1")
class Steps:
    @entrypoint
    @node
    async def first(self, state):
        await ask(state, "first")
        return {"first": "done"}

    @node
    async def second(self, state):
        await ask(state, "second")
        return {"second": "done"}

    @node
    async def third(self, state):
        await ask(state, "third")
        return {"third": "done"}

    first >> second >> third
