"""Functions that make a graph for a run, in each form that LangGraph's server knows."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph_sdk.runtime import ServerRuntime
from words import Words

OPEN: list[str] = []
"""What is open now."""


def saying(word: Callable[[], str]) -> Any:
    def say(state: Words) -> Words:
        return {"text": f"{word()} {state['text']}"}

    return StateGraph(Words).add_node("say", say).add_edge(START, "say")


def plain() -> Any:
    return saying(lambda: "plain").compile()


def configured(config: RunnableConfig) -> Any:
    return saying(lambda: config["configurable"].get("greeting", "Hi"))


async def awaited(config: RunnableConfig, runtime: ServerRuntime) -> Any:
    run = runtime.execution_runtime
    who = config["configurable"].get("x-user-name", "nobody")
    return saying(lambda: f"{runtime.access_context} for {who}, {'store' if run.store else ''}")


@asynccontextmanager
async def entered(runtime: ServerRuntime) -> AsyncIterator[Any]:
    OPEN.append("entered")
    yield saying(lambda: f"open {OPEN}")
    OPEN.remove("entered")


async def generated(config: RunnableConfig) -> AsyncIterator[Any]:
    OPEN.append("generated")
    yield saying(lambda: f"open {OPEN}").compile()
    OPEN.remove("generated")
