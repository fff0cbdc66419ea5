"""The fixture graphs as the reference server runs them; `graphs.py` holds their twins.

Only `langgraph dev` loads this file, from the `langgraph.json` beside it. Node names, state
keys and results must stay equal to the twins': everything else is what is being compared.
"""

import asyncio
import operator
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict  # pydantic refuses the standard one before Python 3.12


class Echo(TypedDict, total=False):
    msg: str
    seconds: float
    out: str


class Tone(TypedDict, total=False):
    suffix: str


async def reply(state: Echo, runtime: Runtime[Tone]) -> Echo:
    await asyncio.sleep(state.get("seconds", 0))
    return {"out": state["msg"] + (runtime.context or {}).get("suffix", "")}


echo = (
    StateGraph(Echo, context_schema=Tone).add_sequence([reply]).set_entry_point("reply").compile()
)


class FanOut(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    polished: Annotated[list[str], operator.add]


async def split(state: FanOut) -> FanOut:
    return {"notes": [f"split {state['topic']}"]}


async def left(state: FanOut) -> FanOut:
    return {"notes": ["left"]}


async def right(state: FanOut) -> FanOut:
    return {"notes": ["right"]}


async def gather(state: FanOut) -> Command[Literal["polish"]]:
    return Command(goto=[Send("polish", {"note": note}) for note in state["notes"][-2:]])


async def polish(state: dict[str, str]) -> FanOut:
    return {"polished": [state["note"].upper()]}


fanout = (
    StateGraph(FanOut)
    .add_node(split)
    .add_node(left)
    .add_node(right)
    .add_node(gather)
    .add_node(polish)
    .add_edge(START, "split")
    .add_edge("split", "left")
    .add_edge("split", "right")
    .add_edge(["left", "right"], "gather")
    .compile()
)


class Number(TypedDict, total=False):
    number: int
    parity: str
    seen: str


def measure(state: Number) -> Number:
    return {"seen": f"saw {state['number']}"}


def route(state: Number) -> Command[Literal["even", "odd"]]:
    return Command(goto="even" if state["number"] % 2 == 0 else "odd")


def even(state: Number) -> Number:
    return {"parity": "even"}


def odd(state: Number) -> Command[Literal["finish"]]:
    return Command(goto="finish", update={"parity": "odd"})


def finish(state: Number) -> Number:
    return {"seen": f"{state['seen']}, {state['parity']}"}


router = (
    StateGraph(Number)
    .add_node(measure)
    .add_node(route)
    .add_node(even)
    .add_node(odd)
    .add_node(finish)
    .add_edge(START, "measure")
    .add_edge("measure", "route")
    .add_edge("even", "finish")
    .compile()
)


class Loop(TypedDict, total=False):
    n: int
    limit: int
    hang_at: int


async def tick(state: Loop) -> Loop:
    n = state.get("n", 0) + 1
    await asyncio.sleep(60 if n == state.get("hang_at") else 0)
    return {"n": n}


def again(state: Loop) -> Command[Literal["tick", "__end__"]]:
    return Command(goto="tick" if state["n"] < state["limit"] else END)


cycle = (
    StateGraph(Loop)
    .add_node(tick)
    .add_node(again)
    .add_edge(START, "tick")
    .add_edge("tick", "again")
    .compile()
)


class Article(TypedDict, total=False):
    draft: str
    title: str
    tags: list[str]
    approved: bool
    published: str


def write(state: Article) -> Article:
    return {"draft": "words"}


def review(state: Article) -> Article:
    title = interrupt("title?")
    tags = interrupt({"question": "tags?", "title": title})
    return {"title": title, "tags": tags}


def approve(state: Article) -> Article:
    decision = interrupt({"node": "approve", "prompt": "Publish?"})
    return {"approved": decision["approve"]}


def publish(state: Article) -> Article:
    return {"published": state["title"] if state["approved"] else "nothing"}


interrupts = (
    StateGraph(Article)
    .add_sequence([write, review, approve, publish])
    .set_entry_point("write")
    .compile()
)


class Broken(TypedDict, total=False):
    kind: str
    out: str


class QuotaError(Exception):
    """Not a type whose message clients may see."""


def before(state: Broken) -> Broken:
    return {"out": "before"}


def fail(state: Broken) -> Broken:
    match state.get("kind"):
        case "value":
            raise ValueError("boom")
        case "key":
            return {"out": {}["missing"]}
        case "zero":
            return {"out": str(1 // 0)}
        case "custom":
            raise QuotaError("secret")
    return {"out": "no error"}


error = StateGraph(Broken).add_sequence([before, fail]).set_entry_point("before").compile()


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


model = FakeListChatModel(responses=["Hi you"])


async def answer(state: Chat) -> Chat:
    return {"messages": [await model.ainvoke(state["messages"])]}


async def progress(state: Chat) -> Chat:
    write = get_stream_writer()
    write({"percent": 50})
    write("done")
    return {"messages": [{"role": "assistant", "content": "Bye", "id": "bye"}]}


tokens = StateGraph(Chat).add_sequence([answer, progress]).set_entry_point("answer").compile()


class Inner(TypedDict, total=False):
    topic: str
    ask: bool
    notes: list[str]


class Research(Inner, total=False):
    answer: str


def prepare(state: Research) -> Research:
    return {"topic": state["topic"].strip()}


def look(state: Inner) -> Inner:
    return {"notes": [f"looked at {state['topic']}"]}


def confirm(state: Inner) -> Inner:
    word = interrupt("enough?") if state.get("ask") else "enough"
    return {"notes": [*state["notes"], word]}


def conclude(state: Research) -> Research:
    return {"answer": ", ".join(state["notes"])}


research = StateGraph(Inner).add_sequence([look, confirm]).set_entry_point("look").compile()
subgraph = (
    StateGraph(Research)
    .add_sequence([prepare, ("research", research), conclude])
    .set_entry_point("prepare")
    .compile()
)


class Trail(TypedDict, total=False):
    topic: str
    word: str
    log: Annotated[list[str], operator.add]


def logs(word: str) -> Callable[[Trail], Awaitable[Trail]]:
    async def log(state: Trail) -> Trail:
        return {"log": [word]}

    return log


async def ask(state: Trail) -> Trail:
    return {"word": interrupt(f"deeper into {state['topic']}?"), "log": ["ask"]}


async def conclude_trail(state: Trail) -> Trail:
    return {"log": [f"concluded with {state['word']}"]}


deep = StateGraph(Trail).add_sequence([("dig", logs("dig")), ask]).set_entry_point("dig").compile()
middle = (
    StateGraph(Trail)
    .add_sequence([("enter", logs("enter")), ("deep", deep), ("leave", logs("leave"))])
    .set_entry_point("enter")
    .compile()
)
nested = (
    StateGraph(Trail)
    .add_node("prepare", logs("prepare"))
    .add_node("middle", middle)
    .add_node("beside", logs("beside"))
    .add_node("conclude", conclude_trail)
    .add_edge(START, "prepare")
    .add_edge("prepare", "middle")
    .add_edge("prepare", "beside")
    .add_edge(["middle", "beside"], "conclude")
    .compile()
)
