"""Nine graphs as hand-made plans, and a record to run them against."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from duragraph.protocol import Frame, Item, Outcome, Task
from duragraph.usage import Usage
from duragraph_worker import serialize
from duragraph_worker.command import Command, Send
from duragraph_worker.executor.execute import execute
from duragraph_worker.local.threads import Record
from duragraph_worker.messages import AIMessage, AIMessageChunk
from duragraph_worker.plan import END, Channel, Join, Node, Plan
from duragraph_worker.state import add_messages, load_plain

Body = Callable[..., Any]


def node(name: str, body: Body, **options: Any) -> Node:
    """A node whose body takes the state and `ctx`, sync or async."""

    async def call(state: Any, injected: Mapping[str, Any]) -> Any:
        result = body(state, injected["ctx"])
        return await result if hasattr(result, "__await__") else result

    return Node(name, options.pop("kind", "node"), call, **options)


def plan(*nodes: Node, edges: str = "", joins: tuple[Join, ...] = (), **options: Any) -> Plan:
    """`edges` reads `a>b a>c`; the first node is the entry unless `entry` says otherwise."""
    pairs = tuple((source, target) for source, target in (e.split(">") for e in edges.split()))
    return Plan(
        options.pop("graph_id", "graph"),
        "1",
        {each.name: each for each in nodes},
        options.pop("entry", (nodes[0].name,)),
        pairs,
        joins,
        options.pop("channels", None),
        load=options.pop("load", load_plain),
        **options,
    )


def channels(*names: str, **reduced: Any) -> dict[str, Channel]:
    """Plain channels by name, then lists with a reducer by `name=reducer`."""
    plain = {name: Channel(name) for name in names}
    return plain | {name: Channel(name, list, fn, list) for name, fn in reduced.items()}


def update(**values: Any) -> Body:
    """A body that returns these values."""
    return lambda state, ctx: values


async def _emitting(state: Any, ctx: Any) -> Any:
    await ctx.emit({"from": "c"})
    return {"items": ["c"]}


def _ask(state: Any, ctx: Any) -> Any:
    first = ctx.interrupt({"q": "first"})
    second = ctx.interrupt({"q": "second", "x": first})
    return {"answers": [str(first), str(second)]}


def _boom(state: Any, ctx: Any) -> Any:
    if state["kind"] == "v":
        raise ValueError("boom")
    return {"out": ["ok"]}


async def _chat(state: Any, ctx: Any) -> Any:
    text, message_id = "hey you", ctx.message_id(0)
    for at, char in enumerate(text):
        last = "last" if at == len(text) - 1 else None
        ctx.message(AIMessageChunk(char, id=message_id, chunk_position=last))
    return {"messages": [AIMessage(text, id=message_id)]}


def _tail(state: Any, ctx: Any) -> Any:
    human = {"role": "human", "content": "hum", "id": "h-1"}
    return {"messages": [AIMessage("static", id="static-1"), human]}


async def _sub_first(state: Any, ctx: Any) -> Any:
    await ctx.emit("in-sub")
    return {"notes": ["s1:" + state["topic"]]}


def _sub_ask(state: Any, ctx: Any) -> Any:
    return {"notes": ["s2:" + str(ctx.interrupt("sub?"))]}


def nested(second: Body) -> Plan:
    """A graph with a subgraph between two nodes; `second` is the subgraph's last node."""
    child = plan(
        node("s1", _sub_first),
        node("s2", second),
        edges="s1>s2",
        channels=channels("topic", notes=operator.add),
    )
    return plan(
        node("before", lambda s, ctx: {"topic": s["topic"] + "!"}),
        node("sub", update(), kind="subgraph", subgraph=child),
        node("after", update(notes=["after"])),
        edges="before>sub sub>after",
        channels=channels("topic", "notes"),
        graph_id="sub",
    )


ECHO = plan(node("echo", lambda s, ctx: {"out": s.get("msg", "")}), channels=channels("msg", "out"))
FAN = plan(
    node("a", update()),
    node("b", update(items=["b"])),
    node("c", _emitting),
    node("d", lambda s, ctx: {"total": len(s["items"])}),
    edges="a>b a>c",
    joins=(Join(("b", "c"), "d"),),
    channels=channels(items=operator.add) | channels("total"),
)
ROUTER = plan(
    node(
        "classify",
        lambda s, ctx: Command(
            goto="left" if s["kind"] == "l" else "right", update={"path": ["classify"]}
        ),
    ),
    node("left", update(path=["left"])),
    node("right", update(path=["right"])),
    channels=channels("kind", path=operator.add),
)
CYCLE = plan(
    node(
        "tick",
        lambda s, ctx: Command(
            update={"n": s.get("n", 0) + 1},
            goto="tick" if s.get("n", 0) + 1 < s.get("stop", 3) else END,
        ),
    ),
    channels=channels("n", "stop"),
)
ASK = plan(
    node("pre", update(answers=["pre"])),
    node("ask", _ask),
    node("post", update(answers=["post"])),
    edges="pre>ask ask>post",
    channels=channels("q", answers=operator.add),
)
ERROR = plan(
    node("fine", update(out=["fine"])),
    node("boom", _boom),
    edges="fine>boom",
    channels=channels("kind", out=operator.add),
)
TOKENS = plan(
    node("chat", _chat),
    node("tail", _tail),
    edges="chat>tail",
    channels={"messages": Channel("messages", list, add_messages, list)},
)
SUB = nested(update(notes=["s2"]))
SUB_ASK = nested(_sub_ask)
_DEEPEST = plan(
    node("dig", update(log=["dig"])),
    node("ask", lambda s, ctx: {"word": ctx.interrupt("deeper?"), "log": ["ask"]}),
    edges="dig>ask",
    channels=channels("topic", "word", log=operator.add),
)
_MIDDLE = plan(
    node("enter", update(log=["enter"])),
    node("deep", update(), kind="subgraph", subgraph=_DEEPEST),
    node("leave", update(log=["leave"])),
    edges="enter>deep deep>leave",
    channels=channels("topic", "word", log=operator.add),
)
DEEP = plan(
    node("prepare", update(log=["prepare"])),
    node("middle", update(), kind="subgraph", subgraph=_MIDDLE),
    node("beside", update(log=["beside"])),
    node("conclude", update(log=["concluded"])),
    edges="prepare>middle prepare>beside",
    joins=(Join(("middle", "beside"), "conclude"),),
    channels=channels("topic", "word", log=operator.add),
    graph_id="deep",
)
SEND = plan(
    node("plan", lambda s, ctx: Command(goto=[Send("work", {"x": x}) for x in s["xs"]])),
    node("work", lambda s, ctx: {"out": [s["x"] * 2]}),
    node("fin", update(out=[0])),
    edges="work>fin",
    channels=channels("xs", out=operator.add),
)


@attrs.define(eq=False)
class Bench:
    """One thread: runs plans on it as a worker would, and keeps all that was put."""

    plan: Plan
    record: Record = attrs.field(factory=Record)
    items: list[Item] = attrs.field(factory=list)
    runs: int = 0

    def put(self, item: Item) -> None:
        self.items.append(item)
        if not isinstance(item, Frame | Usage):
            self.record.add(item)

    async def room(self) -> None: ...

    async def settled(self) -> None: ...

    def task(self, kind: Any = "run", *, resuming: bool = False, **kwargs: Any) -> Task:
        """A task as the plane would hand it out; `run_id` and `attempt` as given or counted."""
        run_id = kwargs.pop("run_id", None)
        if run_id is None:
            self.runs += 1
            run_id = f"00000000-0000-7000-8000-{self.runs:012}"
        metadata = serialize.encode(kwargs.pop("metadata", {}))
        configurable = (kwargs.get("config") or {}).get("configurable") or {}
        snapshot = self.record.snapshot(configurable.get("checkpoint_id"))
        return Task(
            kind,
            run_id,
            1,
            kwargs.pop("attempt", 1),
            "00000000-0000-7000-8000-0000000000aa",
            "00000000-0000-5000-8000-0000000000bb",
            self.plan.graph_id,
            "1",
            serialize.encode(kwargs),
            snapshot=snapshot,
            metadata=metadata,
            effects=self.record.effects(snapshot) + self.record.memos(run_id),
            resuming=resuming,
        )

    async def run(self, input: Any = None, **kwargs: Any) -> Outcome:
        kwargs.setdefault("stream_mode", [])
        return await execute(self.plan, self.task(input=input, **kwargs), self)

    async def update(self, values: Any, **kwargs: Any) -> Outcome:
        return await execute(self.plan, self.task("update_state", values=values, **kwargs), self)

    @property
    def values(self) -> Any:
        """The newest state of the root, as JSON reads."""
        snapshot = self.record.snapshot()
        assert snapshot is not None
        return {name: serialize.decode(value) for name, value in snapshot.values.items()}

    def frames(self, *events: str) -> list[tuple[str, Any]]:
        """The frames so far as (event, data), or those of the named events."""
        return [
            (item.event, serialize.decode(item.data))
            for item in self.items
            if isinstance(item, Frame) and (not events or item.event.split("|")[0] in events)
        ]
