"""Workflows: a structured decision routes to a chain of prompts or to parallel ones."""

from typing import Literal, NotRequired

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field
from scripted import Scripted, asked, calls
from typing_extensions import TypedDict


class Route(BaseModel):
    step: Literal["joke", "everything"] = Field(description="what to write")


class State(TypedDict):
    input: str
    decision: NotRequired[str]
    joke: NotRequired[str]
    improved: NotRequired[str]
    story: NotRequired[str]
    poem: NotRequired[str]
    output: NotRequired[str]


def decide(messages: list[BaseMessage]) -> AIMessage:
    step = "everything" if "everything" in asked(messages) else "joke"
    return calls(("Route", {"step": step}), after=messages)


router = Scripted(decide).with_structured_output(Route)
model = Scripted(lambda messages: f"{messages[-1].text}, said the model")


async def route(state: State) -> dict[str, str]:
    decision = await router.ainvoke(state["input"])
    return {"decision": decision.step}


async def write_joke(state: State) -> dict[str, str]:
    return {"joke": (await model.ainvoke("A joke")).text}


def check_punchline(state: State) -> Literal["improve", "__end__"]:
    return "improve" if "!" not in state["joke"] else END


async def improve(state: State) -> dict[str, str]:
    improved = await model.ainvoke(f"Better: {state['joke']}")
    return {"improved": improved.text, "output": improved.text}


async def write_story(state: State) -> dict[str, str]:
    return {"story": "A story"}


async def write_poem(state: State) -> dict[str, str]:
    return {"poem": "A poem"}


async def combine(state: State) -> dict[str, str]:
    return {"output": f"{state['story']} and {state['poem']}"}


def chosen(state: State) -> list[str]:
    return ["write_story", "write_poem"] if state["decision"] == "everything" else ["write_joke"]


graph = (
    StateGraph(State)
    .add_node(route)
    .add_node(write_joke)
    .add_node(improve)
    .add_node(write_story)
    .add_node(write_poem)
    .add_node(combine)
    .add_edge(START, "route")
    .add_conditional_edges("route", chosen, ["write_story", "write_poem", "write_joke"])
    .add_conditional_edges("write_joke", check_punchline)
    .add_edge("improve", END)
    .add_edge(["write_story", "write_poem"], "combine")
    .add_edge("combine", END)
    .compile()
)
