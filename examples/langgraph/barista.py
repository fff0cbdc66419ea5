"""A LangGraph graph with no model and no key. In this folder: `duragraph dev`.

Nothing in here knows DuraGraph: `langgraph dev` serves the same file.
"""

from typing import Literal

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

DRINKS = "espresso", "cappuccino", "flat white"


class Order(MessagesState):
    drink: str


def listen(state: Order) -> Command[Literal["confirm", "__end__"]]:
    said = state["messages"][-1].text.lower()
    for drink in DRINKS:
        if drink in said:
            return Command(goto="confirm", update={"drink": drink})
    return Command(goto=END, update={"messages": [("ai", f"We have {', '.join(DRINKS)}.")]})


def confirm(state: Order) -> Command[Literal["brew", "__end__"]]:
    # The thread waits here, for a second or a year, and holds no worker meanwhile.
    if interrupt(f"One {state['drink']}, right?"):
        return Command(goto="brew")
    return Command(goto=END, update={"messages": [("ai", "As you wish. Anything else?")]})


def brew(state: Order) -> dict:
    write = get_stream_writer()
    for step in ("grinding", "brewing", "pouring"):
        write({"step": step})
    return {"messages": [("ai", f"Your {state['drink']}, enjoy!")]}


graph = (
    StateGraph(Order)
    .add_node(listen)
    .add_node(confirm)
    .add_node(brew)
    .add_edge(START, "listen")
    .compile()
)
