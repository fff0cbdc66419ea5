"""What can go wrong: an error in a node beside one that succeeds, and a loop without end."""

import operator
from typing import Annotated

from langgraph.graph import START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.types import Command
from typing_extensions import TypedDict


class Malfunction(Exception):
    """Not a type whose message clients may see."""


class State(TypedDict):
    kind: str
    log: Annotated[list[str], operator.add]


class Careful(State):
    remaining: RemainingSteps


def sort_out(state: State) -> Command:
    goto = {"loop": "loop", "careful": "careful"}.get(state["kind"], ["fine", "fail"])
    return Command(goto=goto, update={"log": ["sorted out"]})


async def fine(state: State) -> dict[str, list[str]]:
    return {"log": ["fine"]}


async def fail(state: State) -> dict[str, list[str]]:
    match state["kind"]:
        case "value":
            raise ValueError("boom")
        case "own":
            raise Malfunction("secret")
        case "update":
            return {"log": "no list"}  # `operator.add` can't
        case "shape":
            return ["no mapping"]
    return {"log": ["did not fail"]}


async def loop(state: State) -> Command:
    return Command(goto="loop", update={"log": ["round"]})


async def careful(state: Careful) -> Command | dict[str, list[str]]:
    if state["remaining"] <= 2:
        return {"log": [f"stopped with {state['remaining']} steps left"]}
    return Command(goto="careful", update={"log": ["careful"]})


graph = (
    StateGraph(State)
    .add_node(sort_out, destinations=("loop", "careful", "fine", "fail"))
    .add_node(fine)
    .add_node(fail)
    .add_node(loop)
    .add_node(careful)
    .add_edge(START, "sort_out")
    .compile()
)
