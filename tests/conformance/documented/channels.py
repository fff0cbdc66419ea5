"""Channels of every kind: deltas, values that are on no record, bypassed reducers, managed ones."""

import operator
from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.channels import DeltaChannel, EphemeralValue, UntrackedValue
from langgraph.graph import START, StateGraph
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.types import Overwrite
from typing_extensions import TypedDict


def joined(values: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*values, *(each for write in writes for each in write)]


class State(TypedDict, total=False):
    seen: Annotated[list[str], DeltaChannel(joined)]
    total: Annotated[int, operator.add]
    words: Annotated[set[str], operator.or_]
    handle: Annotated[str, UntrackedValue(str)]
    once: Annotated[str, EphemeralValue(str)]
    left: RemainingSteps
    last: IsLastStep
    never: Annotated[list[str], operator.add]
    kind: str


async def first(state: State) -> dict[str, Any]:
    return {"seen": [f"first of {state['left']}"], "total": 1, "handle": "open", "once": "here"}


async def second(state: State) -> dict[str, Any]:
    found = f"{state.get('once')} {state.get('handle')}"
    return {"seen": [f"{found} {state['last']}"], "total": 2, "words": {"two"}}


async def third(state: State) -> dict[str, Any]:
    found = f"{state.get('once')} {state.get('handle')}"
    if state.get("kind") == "reset":
        return {"seen": Overwrite([found]), "total": Overwrite(0)}
    return {"seen": [found]}


graph = (
    StateGraph(State)
    .add_node(first)
    .add_node(second)
    .add_node(third)
    .add_edge(START, "first")
    .add_edge("first", "second")
    .add_edge("second", "third")
    .compile()
)
