"""A node whose errors another one handles, and a subgraph that goes on in the graph above."""

import operator
from typing import Annotated

from langgraph.errors import NodeError
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    kind: str
    log: Annotated[list[str], operator.add]


async def risky(state: State) -> dict[str, list[str]]:
    if state.get("kind") == "fail":
        raise ValueError("boom")
    return {"log": ["fine"]}


async def rescue(state: State, error: NodeError) -> Command:
    return Command(update={"log": [f"{error.node}: {type(error.error).__name__}"]}, goto="after")


async def beside(state: State) -> dict[str, list[str]]:
    return {"log": ["beside"]}


async def inner(state: State) -> Command:
    return Command(graph=Command.PARENT, goto="last", update={"log": ["from below"]})


async def after(state: State) -> dict[str, list[str]]:
    return {"log": ["after"]}


async def last(state: State) -> dict[str, list[str]]:
    return {"log": ["last"]}


graph = (
    StateGraph(State)
    .add_node(risky, error_handler=rescue)
    .add_node(beside)
    .add_node("below", StateGraph(State).add_node(inner).add_edge(START, "inner").compile())
    .add_node(after)
    .add_node(last)
    .add_edge(START, "risky")
    .add_edge(START, "beside")
    .add_edge("beside", "below")
    .compile()
)
