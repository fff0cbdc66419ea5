"""An agent that keeps a profile with tools and writes notes in parallel (memory agent)."""

import asyncio
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from scripted import Scripted, asked, calls
from typing_extensions import TypedDict


class Context(TypedDict):
    user_id: str


@tool
async def upsert_memory(
    content: str,
    about: str,
    user_id: Annotated[str, InjectedToolArg],
    store: Annotated[BaseStore, InjectedToolArg],
) -> str:
    """Write down what is known about the user, in place of what was known before."""
    await store.aput(("memories", user_id), key=about, value={"content": content})
    return f"Stored memory {about}"


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool":
        return f"I will remember that. {messages[0].text}"
    match asked(messages).split():
        case ["call", "me", name]:
            return calls(
                ("upsert_memory", {"content": name, "about": "name"}),
                ("upsert_memory", {"content": "is polite", "about": "manner"}),
                after=messages,
            )
    return messages[0].text


model = Scripted(think)


async def call_model(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    found = await runtime.store.asearch(("memories", runtime.context["user_id"]), limit=10)
    known = ", ".join(sorted(f"{item.key}: {item.value['content']}" for item in found))
    system = {"role": "system", "content": f"You are helpful. [{known}]"}
    return {"messages": [await model.ainvoke([system, *state["messages"]])]}


async def store_memory(
    state: MessagesState, config: RunnableConfig, runtime: Runtime[Context], *, store: BaseStore
) -> dict[str, Any]:
    wanted = state["messages"][-1].tool_calls
    context = {"user_id": runtime.context["user_id"], "store": store}
    saved = await asyncio.gather(
        *(upsert_memory.ainvoke({**call["args"], **context}, config) for call in wanted)
    )
    pairs = zip(wanted, saved, strict=True)
    return {"messages": [ToolMessage(text, tool_call_id=call["id"]) for call, text in pairs]}


def route(state: MessagesState) -> Literal["store_memory", "__end__"]:
    return "store_memory" if state["messages"][-1].tool_calls else END


graph = (
    StateGraph(MessagesState, context_schema=Context)
    .add_node(call_model)
    .add_node(store_memory)
    .add_edge(START, "call_model")
    .add_conditional_edges("call_model", route)
    .add_edge("store_memory", "call_model")
    .compile(name="MemoryAgent")
)
