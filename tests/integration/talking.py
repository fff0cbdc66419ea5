"""A graph that other agents talk to: it does as the last message says. And a worker to serve it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

from duragraph_worker import Graph, Message, add_messages, entrypoint, node
from duragraph_worker.process.worker import Worker

IN_TIME = 10


class Talk(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]
    note: str


@Graph(id="chat", state=Talk)
class Chat:
    @entrypoint
    @node
    async def reply(self, state: Talk, ctx: Any) -> Talk:
        order = state["messages"][-1].content if state.get("messages") else "nothing"
        match order.split():
            case ["fail"]:
                raise ValueError("boom")
            case ["ask"]:
                answer = ctx.interrupt("which?")
                return {"messages": [{"role": "assistant", "content": f"you said {answer}"}]}
            case ["sleep"]:
                await asyncio.sleep(60)
            case ["silence"]:
                return {}
        noted = f", noted {state['note']}" if "note" in state else ""
        return {"messages": [{"role": "assistant", "content": f"heard {order}{noted}"}]}


@contextlib.asynccontextmanager
async def serving(plane: Any, *graphs: Any) -> AsyncIterator[None]:
    """Once the plane knows the graphs."""
    worker = Worker(plane.url, graphs=list(graphs), slots=4)
    running = asyncio.create_task(worker.arun())
    async with asyncio.timeout(IN_TIME):
        while (await plane.post("/assistants/count", {})).json < len(graphs):
            pass
    yield
    assert not running.done(), "the worker died"
    worker.stop()
    await asyncio.wait_for(running, IN_TIME)
