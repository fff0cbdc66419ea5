"""The bundled example: a newsletter desk that needs no key. `duragraph dev` serves it.

Two researchers work at once, a writer streams a draft token by token, and a person approves it
or sends it back. The writer's model is a fake one, so that the first minute costs nothing.
"""

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypedDict

from duragraph_worker import Graph, Message, add_messages, human_node, llm_node, node, router_node
from duragraph_worker.llm.providers import Request, register_provider
from duragraph_worker.messages import AIMessage, AIMessageChunk

SECONDS_A_WORD = 0.02


class Writer:
    """A model that makes a paragraph of what it is told, a word at a time."""

    errors: tuple[type[Exception], ...] = ()

    async def complete(self, request: Request) -> AIMessage:
        chunks = [chunk async for chunk in self.stream(request)]
        return sum(chunks[1:], start=chunks[0]).message()

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        words = f"Dear reader, {request.messages[-1].text} Yours, the desk.".split()
        for word in words:
            await asyncio.sleep(SECONDS_A_WORD)
            yield AIMessageChunk(f"{word} ")
        asked = sum(len(message.text.split()) for message in request.messages)
        yield AIMessageChunk(
            usage_metadata={
                "input_tokens": asked,
                "output_tokens": len(words),
                "total_tokens": asked + len(words),
            },
            chunk_position="last",
        )


register_provider("demo", Writer())


class Desk(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]
    notes: Annotated[list[str], operator.add]
    approved: bool
    wish: str


@Graph(id="demo", state=Desk)
class Demo:
    """Two researchers, a writer and an editor: ask it for a letter about anything."""

    @node
    async def start(self, state: Desk, ctx: Any) -> dict[str, Any]:
        await ctx.emit({"progress": f"researching {_topic(state)!r}"})
        return {"wish": "", "approved": False}

    @node
    async def facts(self, state: Desk) -> dict[str, Any]:
        return {"notes": [f"{_topic(state)} has been around for longer than most newsletters."]}

    @node
    async def rumours(self, state: Desk) -> dict[str, Any]:
        return {"notes": [f"They say {_topic(state)} is best enjoyed slowly."]}

    @llm_node(model="demo/writer")
    def write(self, state: Desk) -> str:
        return " ".join([*state["notes"], state["wish"]]).strip()

    @human_node(prompt="Send this letter? Answer {approve: true}, or {approve: false, wish: …}")
    def approve(self, state: Desk, decision: Any) -> dict[str, Any]:  # noqa: ARG002
        answer = decision if isinstance(decision, dict) else {"approve": bool(decision)}
        return {"approved": bool(answer.get("approve")), "wish": str(answer.get("wish", ""))}

    @router_node
    def decide(self, state: Desk) -> Literal["send", "write"]:
        return "send" if state["approved"] else "write"

    @node
    async def send(self, state: Desk, ctx: Any) -> dict[str, Any]:  # noqa: ARG002
        receipt = await ctx.effect("send", lambda key: f"sent once, as {key[:8]}")
        await ctx.emit({"progress": receipt})
        return {"messages": [("assistant", f"The letter is out ({receipt}).")]}

    start >> [facts, rumours] >> write >> approve >> decide


def _topic(state: Desk) -> str:
    said = [message.text for message in state.get("messages", []) if message.type == "human"]
    return said[-1] if said else "nothing in particular"
