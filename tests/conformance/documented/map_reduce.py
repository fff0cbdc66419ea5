"""A joke for each subject of a topic, in parallel, and the best of them (`Send`)."""

import operator
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from scripted import Scripted
from typing_extensions import TypedDict

SUBJECTS = {"animals": ["lions", "elephants", "penguins"], "nothing": []}

joker = Scripted(lambda messages: f"Why do {messages[-1].text} never hurry?")


class Overall(TypedDict):
    topic: str
    subjects: list[str]
    jokes: Annotated[list[str], operator.add]
    best: str


class Joke(TypedDict):
    subject: str


def name_subjects(state: Overall) -> dict[str, list[str]]:
    return {"subjects": SUBJECTS[state["topic"]]}


def hand_out(state: Overall) -> list[Send] | str:
    return [Send("tell_joke", {"subject": each}) for each in state["subjects"]] or END


async def tell_joke(state: Joke) -> dict[str, list[str]]:
    joke = await joker.ainvoke(state["subject"])
    return {"jokes": [joke.text]}


def choose_best(state: Overall) -> dict[str, str]:
    return {"best": max(state["jokes"], key=len)}


graph = (
    StateGraph(Overall)
    .add_node(name_subjects)
    .add_node(tell_joke)
    .add_node(choose_best)
    .add_edge(START, "name_subjects")
    .add_conditional_edges("name_subjects", hand_out, ["tell_joke", END])
    .add_edge("tell_joke", "choose_best")
    .add_edge("choose_best", END)
    .compile()
)
