"""A subgraph with a memory of its own: it keeps its state from run to run of the thread."""

import operator
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    text: str
    told: Any


class Own(State, total=False):
    kept: Annotated[list[str], operator.add]


async def keep(state: Own) -> dict[str, list[str]]:
    return {"kept": [state["text"]]}


async def tell(state: Own) -> dict[str, Any]:
    if state["text"] == "ask":
        return {"told": {"answer": interrupt({"kept": state["kept"]}), "kept": state["kept"]}}
    return {"told": {"kept": state["kept"]}}


async def note(state: State) -> dict[str, str]:
    return {"text": f"noted {state['text']}"}


child = (
    StateGraph(Own).add_node(keep).add_node(tell).add_edge(START, "keep").add_edge("keep", "tell")
)
graph = (
    StateGraph(State)
    .add_node("child", child.compile(checkpointer=True))
    .add_node(note)
    .add_edge(START, "child")
    .add_edge("child", "note")
    .compile()
)
