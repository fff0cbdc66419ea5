"""Branches of different lengths, and a node that waits for all of them (`defer=True`)."""

import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict


class State(TypedDict):
    aggregate: Annotated[list[str], operator.add]


async def a(state: State) -> State:
    return {"aggregate": ["A"]}


async def b(state: State) -> State:
    return {"aggregate": ["B"]}


async def b_2(state: State) -> State:
    return {"aggregate": ["B2"]}


async def c(state: State) -> State:
    return {"aggregate": ["C"]}


async def d(state: State) -> State:
    return {"aggregate": [f"D after {len(state['aggregate'])}"]}


def again(state: State) -> str:
    return "b" if state["aggregate"].count("B") < 2 else END


graph = (
    StateGraph(State)
    .add_node(a)
    .add_node(b)
    .add_node(b_2)
    .add_node(c)
    .add_node(d, defer=True)
    .add_edge(START, "a")
    .add_edge("a", "b")
    .add_edge("a", "c")
    .add_edge("b", "b_2")
    .add_conditional_edges("b_2", again, ["b", END])
    .add_edge("b_2", "d")
    .add_edge("c", "d")
    .add_edge("d", END)
    .compile()
)
