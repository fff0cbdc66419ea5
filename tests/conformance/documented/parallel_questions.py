"""Two teams, graphs in graphs in the graph, that each ask a person at the same time."""

import operator
from typing import Annotated

from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Notes(TypedDict):
    notes: Annotated[list[str], operator.add]


class Team(Notes):
    plan: str


class Project(Team):
    summary: str


def team(name: str) -> CompiledStateGraph:
    async def draft(state: Team) -> dict[str, list[str]]:
        return {"notes": [f"{name} drafts {state['plan']}"]}

    async def ask(state: Team) -> dict[str, list[str]]:
        budget = interrupt({"team": name, "question": "budget?"})
        start = interrupt({"team": name, "question": "start?", "budget": budget})
        return {"notes": [f"{name} starts {start} with {budget}"]}

    return (
        StateGraph(Team, output_schema=Notes)
        .add_sequence([draft, ask])
        .add_edge(START, "draft")
        .compile()
    )


site = (
    StateGraph(Team, output_schema=Notes)
    .add_node("crew", team("build"))
    .add_edge(START, "crew")
    .compile()
)


async def announce(state: Project) -> dict[str, list[str]]:
    return {"notes": ["kick-off"]}


async def sum_up(state: Project) -> dict[str, str]:
    return {"summary": "; ".join(state["notes"])}


graph = (
    StateGraph(Project)
    .add_node(announce)
    .add_node("design", team("design"))
    .add_node("site", site)
    .add_node(sum_up)
    .add_edge(START, "announce")
    .add_edge("announce", "design")
    .add_edge("announce", "site")
    .add_edge(["design", "site"], "sum_up")
    .compile()
)
