"""A chat bot that knows its users over threads: what they ask it to remember is in the store."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import BaseMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from scripted import Scripted, asked


@dataclass
class Context:
    user_id: str


def think(messages: list[BaseMessage]) -> str:
    return f"{messages[0].text} You said: {asked(messages)}"


model = Scripted(think)


async def chat(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    namespace = ("memories", runtime.context.user_id)
    said = state["messages"][-1].text
    memories = await runtime.store.asearch(namespace, query=said)
    if "remember" in said.lower():
        await runtime.store.aput(namespace, str(uuid5(NAMESPACE_URL, said)), {"data": said})
    known = "; ".join(sorted(item.value["data"] for item in memories))
    system = {"role": "system", "content": f"You know: {known or 'nothing'}."}
    return {"messages": [await model.ainvoke([system, *state["messages"]])]}


graph = StateGraph(MessagesState, Context).add_node(chat).add_edge(START, "chat").compile()
