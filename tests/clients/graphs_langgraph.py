"""The graphs behind the browser once more, as LangGraph has them; and an agent with a tool.

Their model is the same HTTP server at `SCRIPTED_MODEL` (see `model.mjs`); what it says is text,
or a piece of a tool call, `{name, args, id}`.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import aiohttp
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Scripted(BaseChatModel):
    """A model that says what the test's server says, one piece a line."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> "Scripted":
        return self

    def _generate(self, *args: Any, **options: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
            http.post(os.environ["SCRIPTED_MODEL"], json=[m.text for m in messages]) as reply,
        ):
            async for line in reply.content:
                chunk = ChatGenerationChunk(message=_piece(json.loads(line)))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk("", chunk_position="last"))


def _piece(said: Any) -> AIMessageChunk:
    if isinstance(said, str):
        return AIMessageChunk(said)
    call = {"index": 0, "type": "tool_call_chunk", **said}
    return AIMessageChunk("", tool_call_chunks=[call])


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


async def answer(state: Chat) -> Chat:
    return {"messages": [await Scripted().ainvoke(state["messages"])]}


def confirm(state: Chat) -> Chat:
    reply = interrupt(
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


def triage(state: Chat) -> Literal["answer", "confirm"]:
    return "confirm" if "refund" in state["messages"][-1].text else "answer"


hosted_chat = (
    StateGraph(Chat)
    .add_node(answer)
    .add_node(confirm)
    .set_conditional_entry_point(triage)
    .compile()
)


def pay(euros: int) -> str:
    """Pay money back."""
    return f"Paid {euros}"


hosted_agent = create_agent(Scripted(), [pay])
