"""LangGraph graphs for `hosting.py`, the same for our worker and for LangGraph alone."""

from typing import TypedDict

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph


class Echo(TypedDict, total=False):
    msg: str
    out: str


async def echo(state: Echo) -> Echo:
    return {"out": state.get("msg", "")}


five = (
    StateGraph(Echo)
    .add_sequence([(f"n{n}", echo) for n in range(5)])
    .add_edge(START, "n0")
    .compile(name="five")
)


async def reply(state: MessagesState) -> MessagesState:
    return {"messages": [AIMessage("reply " + "y" * 200)]}


chat = StateGraph(MessagesState).add_node(reply).add_edge(START, "reply").compile(name="chat")
"""A thread grows by two messages a run."""
