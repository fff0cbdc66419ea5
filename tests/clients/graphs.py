"""The graph behind the browser: a chat whose model is scripted.

The model is an HTTP server at `SCRIPTED_MODEL` (see `model.mjs`): a test lets out each token
when it wants to, so that what a page shows meanwhile can be asserted.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypedDict

import aiohttp

from duragraph_worker import (
    AIMessage,
    AIMessageChunk,
    Graph,
    Message,
    add_messages,
    entrypoint,
    llm_node,
    node,
    register_provider,
    router_node,
)
from duragraph_worker.llm.providers import Request


class Chat(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]


class Scripted:
    """A model that says what the test's server says, one JSON string a line."""

    errors: tuple[type[Exception], ...] = (aiohttp.ClientError,)

    async def complete(self, request: Request) -> AIMessage:
        return AIMessage("".join([chunk.text async for chunk in self.stream(request)]))

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        said = [message.text for message in request.messages]
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
            http.post(os.environ["SCRIPTED_MODEL"], json=said) as reply,
        ):
            async for line in reply.content:
                yield AIMessageChunk(json.loads(line))
        yield AIMessageChunk("", chunk_position="last")


register_provider("scripted", Scripted())


@Graph(id="chat", state=Chat)
class ChatGraph:
    """Answers; asks a person first where money is asked for."""

    @entrypoint
    @router_node
    def triage(self, state: Chat) -> Literal["answer", "confirm"]:
        return "confirm" if "refund" in state["messages"][-1].text else "answer"

    @llm_node(model="scripted/any")
    async def answer(self, state: Chat) -> None: ...

    @node
    def confirm(self, state: Chat, ctx: Any) -> Chat:
        reply = ctx.interrupt(
            {
                "action_requests": [
                    {"name": "refund", "args": {"euros": 30}, "description": "Pay it back?"}
                ],
                "review_configs": [
                    {"action_name": "refund", "allowed_decisions": ["approve", "reject"]}
                ],
            }
        )
        decision = reply["decisions"][0]["type"]
        return {"messages": [AIMessage(f"Refund: {decision}.")]}
