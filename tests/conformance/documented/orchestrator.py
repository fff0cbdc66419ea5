"""An orchestrator plans a report's sections, workers write them, a synthesizer joins them."""

import operator
from typing import Annotated

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel, Field
from scripted import Scripted, calls
from typing_extensions import TypedDict


class Section(BaseModel):
    name: str = Field(description="the section's title")
    description: str


class Sections(BaseModel):
    sections: list[Section]


class Report(TypedDict):
    topic: str
    sections: list[Section]
    completed: Annotated[list[str], operator.add]
    final_report: str


class Work(TypedDict):
    section: Section
    completed: Annotated[list[str], operator.add]


def plan(messages: list[BaseMessage]) -> AIMessage:
    sections = [{"name": n, "description": f"{n} of it"} for n in ("Beginning", "Middle", "End")]
    return calls(("Sections", {"sections": sections}), after=messages)


planner = Scripted(plan).with_structured_output(Sections)


async def orchestrate(state: Report) -> dict[str, list[Section]]:
    planned = await planner.ainvoke(f"Plan a report on {state['topic']}")
    return {"sections": planned.sections}


async def write(state: Work) -> dict[str, list[str]]:
    return {"completed": [f"# {state['section'].name}\n{state['section'].description}"]}


async def synthesize(state: Report) -> dict[str, str]:
    return {"final_report": "\n\n---\n\n".join(state["completed"])}


def assign(state: Report) -> list[Send]:
    return [Send("write", {"section": section}) for section in state["sections"]]


graph = (
    StateGraph(Report)
    .add_node(orchestrate)
    .add_node(write)
    .add_node(synthesize)
    .add_edge(START, "orchestrate")
    .add_conditional_edges("orchestrate", assign, ["write"])
    .add_edge("write", "synthesize")
    .add_edge("synthesize", END)
    .compile()
)
