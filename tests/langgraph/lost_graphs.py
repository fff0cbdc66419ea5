"""Graphs that lose an attempt, and what is asked of them: each body says that it began."""

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any

from langgraph.config import get_config
from langgraph.errors import NodeError
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

MANY_TURNS = 200
"""Of the loop: what others have begun meanwhile is done."""
ran: list[str] = []
"""The tasks whose bodies began, by their namespaces."""


class Sum(TypedDict, total=False):
    n: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


def ran_here() -> str:
    here = str(get_config()["configurable"]["checkpoint_ns"])
    ran.append(here.rsplit(":", maxsplit=1)[-1])
    return here.rsplit("|", maxsplit=1)[-1].split(":", maxsplit=1)[0]


async def work(_state: Sum) -> dict[str, Any]:
    limit = get_config().get("recursion_limit", "no limit")
    return {"n": 1, "log": [f"{ran_here()} {limit}"]}


def ask(_state: Sum) -> dict[str, Any]:
    name = ran_here()
    return {"log": [f"{name} {interrupt('first')} {interrupt('second')}"]}


def in_a_row() -> Any:
    builder = StateGraph(Sum).add_sequence([("a", work), ("b", work), ("c", work)])
    return builder.add_edge(START, "a").compile(interrupt_before=["c"])


async def fails(_state: Sum) -> dict[str, Any]:
    raise LookupError("nothing", 3)


async def rescues(_state: Sum, error: NodeError) -> dict[str, Any]:
    of = type(error.error).__name__
    return {"log": [f"{ran_here()} {error.node} {of} {error.error!r}"]}


def rescued() -> Any:
    builder = StateGraph(Sum).add_node("fails", fails, error_handler=rescues)
    return builder.add_edge(START, "fails").compile()


def fan() -> Any:
    builder = StateGraph(Sum).add_node("each", work).add_node("end", work, defer=True)
    builder.add_conditional_edges(START, lambda _: [Send("each", {"n": i}) for i in range(3)])
    return builder.add_edge("each", "end").compile(interrupt_after=["each"])


def nested() -> Any:
    below = StateGraph(Sum).add_sequence([("x", work), ("y", ask), ("z", work)])
    above = StateGraph(Sum).add_node("below", below.add_edge(START, "x").compile())
    above.add_node("beside", work).add_node("end", work)
    above.add_edge(START, "below").add_edge(START, "beside").add_edge(["below", "beside"], "end")
    return above.compile()


def asking_beside() -> Any:
    """A question below a subgraph, one of a `@task`, and a node beside them that ends later."""

    @task
    async def asked() -> Any:
        ran_here()
        return interrupt("task")

    async def question(_state: Sum) -> dict[str, Any]:
        ran_here()
        return {"log": [interrupt("node")]}

    below = StateGraph(Sum).add_sequence([("x", work), ("y", question)]).add_edge(START, "x")
    compiled = below.compile()

    async def left(_state: Sum) -> dict[str, Any]:
        return {"log": (await compiled.ainvoke({"n": 1}))["log"]}

    async def right(_state: Sum) -> dict[str, Any]:
        return {"log": [await asked()]}

    async def beside(state: Sum) -> dict[str, Any]:
        for _ in range(MANY_TURNS):
            await asyncio.sleep(0)
        return await work(state)

    builder = StateGraph(Sum).add_node(left).add_node(right).add_node(beside)
    for name in ("left", "right", "beside"):
        builder.add_edge(START, name)
    return builder.compile()


class Counted(Sum, total=False):
    left: RemainingSteps


def counting() -> Any:
    """Goes round as long as the recursion limit lets it; then a subgraph has steps of its own."""

    async def count(state: Counted) -> Command[Any]:
        ran_here()
        goto = "count" if state["left"] > 3 else "below"
        return Command(update={"log": [f"{state['left']} left"]}, goto=goto)

    async def last(state: Counted) -> dict[str, Any]:
        ran_here()
        return {"log": ["has its own" if state["left"] > 4 else "has what was left"]}

    below = StateGraph(Counted).add_node(last).add_edge(START, "last").compile()
    builder = StateGraph(Counted).add_node(count, destinations=("count", "below"))
    return builder.add_node("below", below).add_edge(START, "count").compile()


def endless() -> Any:
    builder = StateGraph(Sum).add_node("round", work).add_edge(START, "round")
    return builder.add_edge("round", "round").compile()


def functional() -> Any:
    @task
    async def square(n: int) -> int:
        ran_here()
        return n * n

    @entrypoint()
    async def graph(state: dict[str, Any]) -> dict[str, Any]:
        squares = [await square(n) for n in range(3)]
        return {"n": sum(squares), "log": [interrupt("first"), interrupt("second")]}

    return graph


class Told(TypedDict, total=False):
    text: str
    told: list[str]


class Said(Told, total=False):
    heard: Annotated[list[str], operator.add]


class Memory(Told, total=False):
    kept: Annotated[list[str], operator.add]


class Around(Told, total=False):
    seen: Annotated[list[str], operator.add]


def keep(state: Memory) -> dict[str, Any]:
    ran_here()
    text = state["text"]
    return {"kept": [f"{text} {interrupt('well?')}" if text == "ask" else text]}


def tell(state: Memory) -> dict[str, Any]:
    ran_here()
    return {"told": state["kept"]}


async def hear(state: Said) -> dict[str, Any]:
    ran_here()
    return {"heard": state["told"], "text": f"{state['text']} again"}


def own_memory() -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(Memory).add_sequence([("keep", keep), ("tell", tell)])
    return builder.add_edge(START, "keep")


async def see(state: Around) -> dict[str, Any]:
    ran_here()
    return {"seen": [state["text"]], "told": [*state["told"], "|", *state["seen"]]}


def _once_more(state: Said) -> str:
    return END if state["text"].endswith("again again") else "middle"


def remembering() -> Any:
    """A memory in a memory, which a run calls twice."""
    child = own_memory().compile(checkpointer=True)
    middle = StateGraph(Around).add_sequence([("child", child), ("last", see)])
    compiled = middle.add_edge(START, "child").compile(checkpointer=True)
    builder = StateGraph(Said).add_sequence([("middle", compiled), ("hear", hear)])
    builder.add_conditional_edges("hear", _once_more)
    return builder.add_edge(START, "middle").compile()


def remembering_in_a_body() -> Any:
    """One that remembers below one that does not, called twice by one body, which blocks."""
    child = own_memory().compile(checkpointer=True)

    def calls(state: Said) -> dict[str, Any]:
        ran_here()
        first = child.invoke({"text": state["text"]})
        second = child.invoke({"text": "more"})
        return {"told": [*first["told"], "|", *second["told"]]}

    below = StateGraph(Told).add_node(calls).add_edge(START, "calls").compile()
    builder = StateGraph(Said).add_sequence(
        [("first", hear_first), ("below", below), ("hear", hear)]
    )
    return builder.add_edge(START, "first").compile()


async def hear_first(_state: Said) -> dict[str, Any]:
    ran_here()
    return {"heard": ["now"]}


ASKED: list[dict[str, Any]] = [
    {"input": {"text": "one"}},
    {"input": {"text": "ask"}},
    {"command": {"resume": "so"}},
]
"""Of what remembers: what it was told before, and answered."""
SYNC = [{**fields, "durability": "sync"} for fields in ASKED]

STORIES: dict[str, tuple[Callable[[], Any], list[dict[str, Any]]]] = {
    "chain": (in_a_row, [{"input": {"n": 1}}, {"input": None}]),
    "fan": (fan, [{"input": {"n": 1}}, {"input": None}]),
    "nested": (nested, [{"input": {"n": 1}}, *({"command": {"resume": v}} for v in "pq")]),
    "by id": (nested, [{"input": {"n": 1}}, {"answer": "p"}, {"answer": "q"}]),
    "beside": (asking_beside, [{"input": {"n": 1}}, {"answer": "p"}]),
    "counting": (counting, [{"input": {"n": 1}, "config": {"recursion_limit": 6}}] * 2),
    "endless": (endless, [{"input": {"n": 1}, "config": {"recursion_limit": 3}}] * 2),
    "rescued": (rescued, [{"input": {"n": 1}}]),
    "functional": (functional, [{"input": {"n": 1}}, *({"command": {"resume": v}} for v in "pq")]),
    "memory": (remembering, ASKED),
    "memory, sync": (remembering, SYNC),
    "memory in a body": (remembering_in_a_body, ASKED),
    "memory in a body, sync": (remembering_in_a_body, SYNC),
}
