"""The fixture graphs as a DuraGraph worker runs them; `graphs_langgraph.py` holds their twins."""

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypedDict

from duragraph_worker import (
    AIMessage,
    AIMessageChunk,
    Command,
    Graph,
    Message,
    Send,
    add_messages,
    entrypoint,
    human_node,
    llm_node,
    node,
    register_provider,
    router_node,
)
from duragraph_worker.llm.providers import Request


class Echo(TypedDict, total=False):
    msg: str
    seconds: float
    out: str


class Tone(TypedDict, total=False):
    suffix: str


@Graph(id="echo", state=Echo, context=Tone)
class EchoGraph:
    @node
    async def reply(self, state: Echo, context: Tone) -> Echo:
        await asyncio.sleep(state.get("seconds", 0))
        return {"out": state["msg"] + (context or {}).get("suffix", "")}


class FanOut(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    polished: Annotated[list[str], operator.add]


@Graph(id="fanout", state=FanOut)
class FanOutGraph:
    @node
    async def split(self, state: FanOut) -> FanOut:
        return {"notes": [f"split {state['topic']}"]}

    @node
    async def left(self, state: FanOut) -> FanOut:
        return {"notes": ["left"]}

    @node
    async def right(self, state: FanOut) -> FanOut:
        return {"notes": ["right"]}

    @node
    async def gather(self, state: FanOut) -> Command[Literal["polish"]]:
        return Command(goto=[Send("polish", {"note": note}) for note in state["notes"][-2:]])

    @node
    async def polish(self, state: dict[str, str]) -> FanOut:
        return {"polished": [state["note"].upper()]}

    split >> [left, right] >> gather


class Number(TypedDict, total=False):
    number: int
    parity: str
    seen: str


@Graph(id="router", state=Number)
class RouterGraph:
    @node
    def measure(self, state: Number) -> Number:
        return {"seen": f"saw {state['number']}"}

    @router_node
    def route(self, state: Number) -> Literal["even", "odd"]:
        return "even" if state["number"] % 2 == 0 else "odd"

    @node
    def even(self, state: Number) -> Number:
        return {"parity": "even"}

    @node
    def odd(self, state: Number) -> Command[Literal["finish"]]:
        return Command(goto="finish", update={"parity": "odd"})

    @node
    def finish(self, state: Number) -> Number:
        return {"seen": f"{state['seen']}, {state['parity']}"}

    measure >> route
    even >> finish


class Loop(TypedDict, total=False):
    n: int
    limit: int
    hang_at: int


@Graph(id="cycle", state=Loop)
class CycleGraph:
    @entrypoint
    @node
    async def tick(self, state: Loop) -> Loop:
        n = state.get("n", 0) + 1
        await asyncio.sleep(60 if n == state.get("hang_at") else 0)
        return {"n": n}

    @router_node
    def again(self, state: Loop) -> Literal["tick", "__end__"]:
        return "tick" if state["n"] < state["limit"] else "__end__"

    tick >> again


class Article(TypedDict, total=False):
    draft: str
    title: str
    tags: list[str]
    approved: bool
    published: str


@Graph(id="interrupt", state=Article)
class InterruptGraph:
    @node
    def write(self, state: Article) -> Article:
        return {"draft": "words"}

    @node
    def review(self, state: Article, ctx: Any) -> Article:
        title = ctx.interrupt("title?")
        tags = ctx.interrupt({"question": "tags?", "title": title})
        return {"title": title, "tags": tags}

    @human_node(prompt="Publish?")
    def approve(self, state: Article, decision: dict[str, bool]) -> Article:
        return {"approved": decision["approve"]}

    @node
    def publish(self, state: Article) -> Article:
        return {"published": state["title"] if state["approved"] else "nothing"}

    write >> review >> approve >> publish


class Broken(TypedDict, total=False):
    kind: str
    out: str


class QuotaError(Exception):
    """Not a type whose message clients may see."""


@Graph(id="error", state=Broken)
class ErrorGraph:
    @node
    def before(self, state: Broken) -> Broken:
        return {"out": "before"}

    @node
    def fail(self, state: Broken) -> Broken:
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

    before >> fail


class Chat(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]


class Letters:
    """A model that answers letter by letter."""

    errors: tuple[type[Exception], ...] = ()
    reply = "Hi you"

    async def complete(self, request: Request) -> AIMessage:
        return AIMessage(self.reply)

    async def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        for letter in self.reply[:-1]:
            yield AIMessageChunk(letter)
        yield AIMessageChunk(self.reply[-1], chunk_position="last")


register_provider("letters", Letters())


@Graph(id="tokens", state=Chat)
class TokensGraph:
    @llm_node(model="letters/any")
    async def answer(self, state: Chat) -> None: ...

    @node
    async def progress(self, state: Chat, ctx: Any) -> Chat:
        await ctx.emit({"percent": 50})
        await ctx.emit("done")
        return {"messages": [{"role": "assistant", "content": "Bye", "id": "bye"}]}

    answer >> progress


class Inner(TypedDict, total=False):
    topic: str
    ask: bool
    notes: list[str]


class Research(Inner, total=False):
    answer: str


@Graph(id="research", state=Inner)
class ResearchGraph:
    @node
    def look(self, state: Inner) -> Inner:
        return {"notes": [f"looked at {state['topic']}"]}

    @node
    def confirm(self, state: Inner, ctx: Any) -> Inner:
        word = ctx.interrupt("enough?") if state.get("ask") else "enough"
        return {"notes": [*state["notes"], word]}

    look >> confirm


@Graph(id="subgraph", state=Research)
class SubgraphGraph:
    @node
    def prepare(self, state: Research) -> Research:
        return {"topic": state["topic"].strip()}

    research = ResearchGraph.as_subgraph()

    @node
    def conclude(self, state: Research) -> Research:
        return {"answer": ", ".join(state["notes"])}

    prepare >> research >> conclude


class Trail(TypedDict, total=False):
    topic: str
    word: str
    log: Annotated[list[str], operator.add]


@Graph(id="deep", state=Trail)
class DeepGraph:
    @node
    async def dig(self, state: Trail) -> Trail:
        return {"log": ["dig"]}

    @node
    async def ask(self, state: Trail, ctx: Any) -> Trail:
        return {"word": ctx.interrupt(f"deeper into {state['topic']}?"), "log": ["ask"]}

    dig >> ask


@Graph(id="middle", state=Trail)
class MiddleGraph:
    @node
    async def enter(self, state: Trail) -> Trail:
        return {"log": ["enter"]}

    deep = DeepGraph.as_subgraph()

    @node
    async def leave(self, state: Trail) -> Trail:
        return {"log": ["leave"]}

    enter >> deep >> leave


@Graph(id="nested", state=Trail)
class NestedGraph:
    @node
    async def prepare(self, state: Trail) -> Trail:
        return {"log": ["prepare"]}

    middle = MiddleGraph.as_subgraph()

    @node
    async def beside(self, state: Trail) -> Trail:
        return {"log": ["beside"]}

    @node
    async def conclude(self, state: Trail) -> Trail:
        return {"log": [f"concluded with {state['word']}"]}

    prepare >> [middle, beside] >> conclude
