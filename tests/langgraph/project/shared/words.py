"""A module that graphs share, and a graph of its own."""

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict


class Words(TypedDict):
    text: str


def loud(state: Words) -> Words:
    return {"text": state["text"].upper()}


shout = StateGraph(Words).add_node(loud).add_edge(START, "loud").compile()
