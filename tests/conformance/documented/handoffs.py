"""Agents, each a graph, who hand over from within: `Command(graph=Command.PARENT)`."""

from typing import Annotated

from langchain.agents import AgentState, create_agent
from langchain.tools import InjectedToolCallId, tool
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from scripted import Scripted, calls


class Desk(MessagesState):
    ticket: str


class Clerk(AgentState):
    ticket: str


@tool
def transfer_to_repairs(
    state: Annotated[Clerk, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]
) -> Command:
    """Hand the customer over to repairs."""
    receipt = ToolMessage("Transferred.", name="transfer_to_repairs", tool_call_id=tool_call_id)
    return Command(
        goto="repairs",
        graph=Command.PARENT,
        update={"messages": [*state["messages"], receipt], "ticket": "R-1"},
    )


@tool
def repair(what: str) -> str:
    """Repair something."""
    return f"the {what} works again"


def sell(messages: list[BaseMessage]) -> AIMessage | str:
    if "broken" in messages[-1].text:
        return calls(("transfer_to_repairs", {}), after=messages, says="One moment.")
    return "Can I sell you a radio?"


def mend(messages: list[BaseMessage]) -> AIMessage | str:
    if messages[-1].name == "repair":
        return f"Good news: {messages[-1].text}."
    return calls(("repair", {"what": "radio"}), after=messages)


graph = (
    StateGraph(Desk)
    .add_node(
        "sales",
        create_agent(Scripted(sell), [transfer_to_repairs], state_schema=Clerk),
        destinations=("repairs",),
    )
    .add_node("repairs", create_agent(Scripted(mend), [repair], state_schema=Clerk))
    .add_edge(START, "sales")
    .compile()
)
