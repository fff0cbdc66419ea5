"""A graph that is compiled to stop before its tools and after its last node."""

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from scripted import Scripted, calls


@tool
def launch(rocket: str) -> str:
    """Launch a rocket."""
    return f"{rocket} is in orbit"


def think(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].type == "tool":
        return f"Mission control: {messages[-1].text}"
    return calls(("launch", {"rocket": "Ariane"}), after=messages)


model = Scripted(think)


async def agent(state: MessagesState) -> MessagesState:
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = (
    StateGraph(MessagesState)
    .add_node(agent)
    .add_node("tools", ToolNode([launch]))
    .add_edge(START, "agent")
    .add_conditional_edges("agent", tools_condition)
    .add_edge("tools", "agent")
    .compile(interrupt_before=["tools"], interrupt_after=["tools"])
)
