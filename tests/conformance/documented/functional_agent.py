"""An agent in the functional API: model and tools are tasks, the conversation is `previous`."""

import asyncio

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph.message import add_messages
from scripted import Scripted, asked, calls


@tool
async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool":
        return f"That makes {messages[-1].text}."
    if "again" in asked(messages):
        return f"As before: {messages[-2].text}"
    return calls(("multiply", {"a": 6, "b": 7}), ("multiply", {"a": 2, "b": 2}), after=messages)


model = Scripted(think)


@task
async def call_model(messages: list[AnyMessage]) -> AIMessage:
    return await model.ainvoke(messages)


@task
async def call_tool(call: ToolCall) -> ToolMessage:
    return await multiply.ainvoke(call)


@entrypoint()
async def graph(
    messages: list[AnyMessage], *, previous: list[AnyMessage] | None = None
) -> list[AnyMessage]:
    messages = add_messages(previous or [], messages)
    answer = await call_model(messages)
    while answer.tool_calls:
        results = await asyncio.gather(*map(call_tool, answer.tool_calls))
        messages = add_messages(messages, [answer, *results])
        answer = await call_model(messages)
    return add_messages(messages, answer)
