"""LangGraph graphs for the crash tier, as users write them: no word of the plane in them.

Their bodies take a random while, so that a random kill finds them anywhere; what they put into
the state does not depend on it.
"""

import asyncio
import operator
import random
import time
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.channels import DeltaChannel, EphemeralValue
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.prebuilt import create_react_agent
from langgraph.runtime import Runtime
from langgraph.types import Command, RetryPolicy, Send, interrupt

from tests.crash import witness

assert witness

LEAST, MOST = 0.001, 0.08
"""Seconds that a body takes."""


class Trail(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]
    count: int


async def a_while() -> None:
    await asyncio.sleep(random.uniform(LEAST, MOST))


def sync_step(state: Trail) -> Trail:
    time.sleep(random.uniform(LEAST, MOST))
    return {"trail": ["sync"], "count": state.get("count", 0) + 1}


async def async_step(state: Trail) -> Trail:
    await a_while()
    return {"trail": ["async"], "count": state.get("count", 0) + 1}


def build_linear() -> StateGraph:
    """Ten nodes in a row, sync and async in turns."""
    builder = StateGraph(Trail)
    builder.add_sequence([(f"n{n}", sync_step if n % 2 else async_step) for n in range(10)])
    return builder.add_edge(START, "n0")


linear = build_linear().compile(name="linear")


class Work(TypedDict):
    n: int


async def plan(state: Trail) -> Trail:
    await a_while()
    return {"trail": ["plan"]}


def spread(state: Trail) -> list[Send]:
    return [Send("work", {"n": n}) for n in range(8)]


async def work(state: Work) -> Trail:
    for _ in range(state["n"] % 3 + 1):
        await a_while()
    return {"trail": [f"work {state['n']}"]}


async def gather(state: Trail) -> Trail:
    await a_while()
    return {"trail": ["gather"], "count": len(state["trail"])}


map_reduce = (
    StateGraph(Trail)
    .add_node(plan)
    .add_node(work)
    .add_node(gather)
    .add_edge(START, "plan")
    .add_conditional_edges("plan", spread, ["work"])
    .add_edge("work", "gather")
    .compile(name="map_reduce")
)


async def prepare(state: Trail) -> Trail:
    await a_while()
    return {"trail": ["prepare"]}


async def ask(state: Trail) -> Trail:
    answer = interrupt("how much?")
    await a_while()
    return {"trail": [f"answer {answer}"]}


async def apply(state: Trail) -> Trail:
    await a_while()
    return {"trail": ["apply"]}


def asking() -> Any:
    return (
        StateGraph(Trail).add_sequence([prepare, ask, apply]).add_edge(START, "prepare").compile()
    )


class Both(TypedDict, total=False):
    left: list[str]
    right: list[str]
    trail: Annotated[list[str], operator.add]


_left, _right = asking(), asking()


async def left(state: Both) -> Both:
    return {"left": (await _left.ainvoke({"trail": []}))["trail"]}


async def right(state: Both) -> Both:
    return {"right": (await _right.ainvoke({"trail": []}))["trail"]}


async def beside(state: Both) -> Both:
    await a_while()
    return {"trail": ["beside"]}


async def both(state: Both) -> Both:
    await a_while()
    return {"trail": [*state["left"], *state["right"]]}


nested = (
    StateGraph(Both)
    .add_node(left)
    .add_node(right)
    .add_node(beside)
    .add_node(both)
    .add_edge(START, "left")
    .add_edge(START, "right")
    .add_edge(START, "beside")
    .add_edge(["left", "right", "beside"], "both")
    .compile(name="nested")
)
"""Two subgraphs at once, each with a question, and a node beside them that has none."""

shared = (
    StateGraph(Trail)
    .add_node("before", async_step)
    .add_node("child", asking())
    .add_node("after", sync_step)
    .add_edge(START, "before")
    .add_edge("before", "child")
    .add_edge("child", "after")
    .compile(name="shared")
)
"""A subgraph that is a node and shares the state."""


@task
async def square(n: int) -> int:
    await a_while()
    return n * n


@task
def summed(numbers: list[int]) -> int:
    time.sleep(random.uniform(LEAST, MOST))
    return sum(numbers)


@entrypoint()
async def functional(given: dict[str, Any], *, previous: Any = None) -> dict[str, Any]:
    """Tasks side by side, a question, tasks again; it remembers its last result."""
    squares = await asyncio.gather(*(square(n) for n in given["numbers"]))
    total = await summed(list(squares))
    answer = interrupt({"total": total})
    last = await square(answer)
    return {"squares": squares, "total": total, "last": last, "before": previous}


class Scripted(BaseChatModel):
    """Calls tools twice, then answers; what it says depends on the conversation only."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> "Scripted":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        time.sleep(random.uniform(LEAST, MOST))
        results = [each for each in messages if isinstance(each, ToolMessage)]
        if len(results) >= 4:
            reply = AIMessage(f"I looked up {len(results)} things.")
        else:
            keys = [f"{len(results)}{n}" for n in range(2)]
            calls = [{"name": "look_up", "args": {"key": key}, "id": key} for key in keys]
            reply = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=reply)])


@tool
async def look_up(key: str) -> str:
    """Look a key up."""
    await a_while()
    return f"value of {key}"


agent = create_react_agent(Scripted(), [look_up], name="agent")


async def speak(state: Trail) -> Trail:
    write, attempt = get_stream_writer(), random.randrange(10**14, 10**15)
    for n in range(30):
        write({"attempt": attempt, "n": n})
        await asyncio.sleep(0.002)
    return {"trail": [str(attempt)]}


speaking = (
    StateGraph(Trail)
    .add_node("one", speak)
    .add_node("two", speak)
    .add_edge(START, "one")
    .add_edge("one", "two")
    .compile(name="speaking")
)
"""Its frames tell which execution sent them."""


async def decide(state: Trail) -> Command[Any]:
    await a_while()
    count = state.get("count", 0) + 1
    return Command(update={"count": count, "trail": ["round"]}, goto=END if count > 6 else "decide")


looping = StateGraph(Trail).add_node(decide).add_edge(START, "decide").compile(name="looping")


def joined(values: list[str], writes: Sequence[list[str]]) -> list[str]:
    return [*values, *(each for write in writes for each in write)]


class Counted(TypedDict, total=False):
    trail: Annotated[list[str], DeltaChannel(joined)]
    once: Annotated[str, EphemeralValue(str)]
    left: RemainingSteps


async def count_down(state: Counted) -> Command[Any]:
    await a_while()
    told = f"{state['left']} left, {state.get('once')}"
    goto = "count_down" if state["left"] > 2 else END
    return Command(update={"trail": [told], "once": told[0]}, goto=goto)


counting = (
    StateGraph(Counted)
    .add_node(count_down, destinations=("count_down", END))
    .add_edge(START, "count_down")
    .compile(name="counting")
)
"""Goes on as long as its recursion limit lets it."""


class Unreachable(ConnectionError):
    """For a moment."""


class Fragile(Trail, total=False):
    mended: bool


async def flaky(state: Fragile, runtime: Runtime) -> Fragile:
    await a_while()
    if runtime.execution_info.node_attempt < 3:
        raise Unreachable("on purpose")
    return {"trail": ["third time lucky"]}


async def fragile(state: Fragile) -> Fragile:
    if not state.get("mended"):
        raise ValueError("on purpose")
    return {"trail": ["mended"]}


async def at_work(state: Fragile) -> Fragile:
    """Never done before its neighbour fails."""
    if not state.get("mended"):
        await asyncio.Event().wait()
    await a_while()
    return {"trail": ["done"]}


failing = (
    StateGraph(Fragile)
    .add_node(
        flaky, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False, retry_on=Unreachable)
    )
    .add_node(fragile)
    .add_node(at_work)
    .add_node("after", async_step)
    .add_edge(START, "flaky")
    .add_edge("flaky", "fragile")
    .add_edge("flaky", "at_work")
    .add_edge(["fragile", "at_work"], "after")
    .compile(name="failing")
)
"""A node succeeds when it is tried again; another fails, its neighbour at work, until mended."""
