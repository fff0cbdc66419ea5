"""Graphs as they stand in a module: compiled, a builder, the functional API."""

import os
from dataclasses import dataclass

from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from words import Words, shout

MODEL = os.environ["FORMS_MODEL"]
"""Read as the module is loaded: the environment must be there by then."""


@dataclass
class Context:
    tone: str = "plain"


def answer(state: MessagesState, runtime: Runtime[Context]) -> MessagesState:
    return {"messages": [("ai", f"{MODEL}, {runtime.context.tone}")]}


compiled = (
    StateGraph(MessagesState, context_schema=Context)
    .add_node(answer)
    .add_edge(START, "answer")
    .compile(name="Answers")
)

builder = StateGraph(Words).add_node("shout", shout).add_edge(START, "shout")


@task
def double(number: int) -> int:
    return 2 * number


@entrypoint()
def functional(number: int) -> int:
    return double(number).result() + 1
