"""Threads: copied, pruned, weighed, made with a history, searched; graphs within graphs."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import new_thread, settled
from tests.conformance.scenarios_runs import ECHO
from tests.conformance.wire import Wire

NOBODY = "00000000-0000-4000-8000-000000000000"
ASKS = {"assistant_id": "interrupt", "input": {"title": "x", "tags": ["a", "b"]}}
NESTED = {"assistant_id": "nested", "input": {"topic": "tea"}}


async def copies(wire: Wire) -> None:
    source = await new_thread(wire)
    await wire.post(f"{source}/copy")
    await wire.patch(source, {"metadata": {"a": {"b": 1}}})
    await wire.post(f"{source}/runs/wait", {**ASKS, "metadata": {"m": 1}})
    await settled(wire, source)
    made = await wire.post(f"{source}/copy")
    copy = f"/threads/{made['thread_id']}"
    await wire.get(f"{copy}/state")
    await wire.post(f"{copy}/history", {"limit": 10})
    await wire.get(f"{copy}/runs")
    await wire.post(f"{copy}/runs/wait", {"assistant_id": "interrupt", "command": {"resume": "T"}})
    await settled(wire, copy)
    await wire.get(f"{copy}/state")
    await wire.get(f"{source}/state")
    run = await wire.post(f"{source}/runs", {**ECHO, "input": {"msg": "x", "seconds": 2}})
    await wire.post(f"{source}/copy")
    await wire.delete(f"{source}/runs/{run['run_id']}")
    for missing in (f"/threads/{NOBODY}", "/threads/nope"):
        await wire.post(f"{missing}/copy")


async def storage(wire: Wire) -> None:
    thread = await new_thread(wire)
    await wire.get(f"{thread}/storage")
    await wire.post(f"{thread}/runs/wait", ASKS)
    await settled(wire, thread)
    await wire.get(f"{thread}/storage")
    for missing in (f"/threads/{NOBODY}", "/threads/nope"):
        await wire.get(f"{missing}/storage")


async def pruned(wire: Wire) -> None:
    paths = [await new_thread(wire) for _ in range(3)]
    idle, ran, busy = ids = [path.removeprefix("/threads/") for path in paths]
    await wire.post(f"/threads/{ran}/runs/wait", ASKS)
    await settled(wire, f"/threads/{ran}")
    await wire.post(f"/threads/{busy}/runs", {**ECHO, "input": {"msg": "x", "seconds": 2}})
    for body in (
        {"thread_ids": []},
        {"thread_ids": [NOBODY]},
        {"thread_ids": [ran], "strategy": "keep_latest"},
        {"thread_ids": [idle, NOBODY, idle]},
        {"thread_ids": [ran.upper(), busy], "strategy": "delete"},
        {"thread_ids": ids},
        {},
        {"thread_ids": None},
        {"thread_ids": "x"},
        {"thread_ids": ["nope"]},
        {"thread_ids": [NOBODY], "strategy": "nope"},
    ):
        await wire.post("/threads/prune", body)
    for path in paths:
        await wire.get(path)


async def time_to_live(wire: Wire) -> None:
    for ttl in (
        {"ttl": 5},
        {"ttl": 1.5, "strategy": "keep_latest"},
        {"strategy": "delete"},
        {},
        {"ttl": 5, "more": 1},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": "x"},
        {"ttl": None},
        {"ttl": 5, "strategy": "nope"},
        5,
        None,
    ):
        await wire.post("/threads", {"ttl": ttl})
    thread = await new_thread(wire)
    for include in ("include=nope", "include=", "include=values,ttl", "include=ttl&include=ttl"):
        await wire.get(f"{thread}?{include}")
    for body in (
        {"ttl": {"ttl": 3}},
        {"metadata": {"a": 1}, "ttl": {"ttl": 9, "strategy": "keep_latest"}},
        {"metadata": None, "ttl": {"ttl": 3}},
        {"metadata": None},
        {},
        {"ttl": 7},
        {"ttl": {"ttl": "x"}},
    ):
        await wire.patch(thread, body)
    await wire.get(f"{thread}?include=ttl")


def one(**update: Any) -> dict[str, Any]:
    return {"updates": [update]}


START = one(as_node="__input__", values={"msg": "a"})
NUMBER = one(as_node="__input__", values={"number": 4})
TOPIC = {"topic": "t"}
ROUTED = {"node": "odd", "input": {"number": 1, "seen": "sent"}}
SUPERSTEPS: dict[str, list[list[dict[str, Any]]]] = {
    "echo": [
        [],
        [START],
        [
            START,
            one(as_node="__start__", values={"msg": "a"}),
            one(as_node="reply", values={"out": "b"}),
        ],
        [START, one(as_node="reply", values={"out": "b"})],
        [one(as_node="reply", values={"out": "b"})],
        [one(as_node="reply")],
        [one(as_node="__start__", values={"msg": "a"})],
        [START, one(as_node="__end__", values=None)],
        [START, one(as_node="__end__", values=None), one(as_node="reply", values={"out": "z"})],
        [START, one(as_node="reply", values={"out": "1"}), one(as_node="__copy__", values=None)],
        [START, one(as_node="__copy__", values=None)],
        [START, one(as_node="reply", values={"out": "x"}), START],
        [one(as_node="__copy__")],
        [one(as_node="__input__", values=None)],
        [one(as_node="nope", values={"msg": "a"})],
        [START, one(as_node="nope", values={"msg": "a"})],
        [START, one(as_node="__end__", values={"out": "x"})],
        [{"updates": []}],
        [{"updates": [START["updates"][0], {"as_node": "reply", "values": {"out": "b"}}]}],
        [{"updates": [{"as_node": "reply", "values": {"out": "b"}}, START["updates"][0]]}],
        [{"updates": [{"as_node": "__end__"}, {"as_node": "reply", "values": {"out": "z"}}]}],
        [START, {"updates": [{"as_node": "__copy__"}, {"as_node": "reply"}]}],
        [{"updates": [{"as_node": "reply", "values": {"out": x}} for x in "ab"]}],
        [one(values={"msg": "a"})],
        [one(as_node=None, values={"msg": "a"})],
        [one(as_node="reply", values="x")],
        [{}],
    ],
    "router": [
        [
            NUMBER,
            one(as_node="measure", values={"seen": "x"}),
            one(as_node="route", command={"goto": "odd"}),
        ],
        [NUMBER, one(as_node="route", command={"goto": "odd", "update": {"seen": "y"}})],
        [NUMBER, one(as_node="route", values={"seen": "v"}, command={"goto": ROUTED})],
    ],
    "fanout": [
        [
            one(as_node="__input__", values=TOPIC),
            one(as_node="__start__", values=TOPIC),
            one(as_node="split", values={"notes": ["s"]}),
            one(as_node="left", values={"notes": ["l"]}),
            one(as_node="right", values={"notes": ["r"]}),
        ],
        [
            one(as_node="__input__", values=TOPIC),
            one(as_node="split", values={"notes": ["s"]}),
            {
                "updates": [
                    {"as_node": "left", "values": {"notes": ["l"]}},
                    {"as_node": "right", "values": {"notes": ["r"]}},
                ]
            },
            one(
                as_node="gather",
                command={"goto": [{"node": "polish", "input": {"note": n}} for n in "ab"]},
            ),
            {"updates": [{"as_node": "polish", "values": {"polished": [n]}} for n in "AB"]},
        ],
    ],
    "subgraph": [
        [
            one(as_node="__start__", values={"topic": " t "}),
            one(as_node="prepare", values={"topic": "t"}),
            one(as_node="research", values={"notes": ["n"]}),
            one(as_node="conclude", values={"answer": "x"}),
        ]
    ],
    "nope": [[START]],
}


async def supersteps(wire: Wire) -> None:
    for graph, histories in SUPERSTEPS.items():
        for history in histories:
            chosen = str(uuid4())
            body = {"thread_id": chosen, "metadata": {"graph_id": graph}, "supersteps": history}
            made = await wire.post("/threads", body)
            await wire.get(f"/threads/{chosen}")
            if made.status == 200:
                await wire.post(f"/threads/{chosen}/history", {"limit": 10})
    await wire.post("/threads", {"supersteps": [START]})
    await wire.post("/threads", {"metadata": {"graph_id": "echo"}, "supersteps": None})


async def goes_on_from_supersteps(wire: Wire) -> None:
    steps = [
        one(as_node="__start__", values={"title": "x"}),
        one(as_node="write", values={"draft": "w"}),
    ]
    made = await wire.post("/threads", {"metadata": {"graph_id": "interrupt"}, "supersteps": steps})
    thread = f"/threads/{made['thread_id']}"
    await wire.post(f"{thread}/runs/wait", {"assistant_id": "interrupt"})
    await settled(wire, thread)
    await wire.get(f"{thread}/state")
    same = {"thread_id": made["thread_id"], "metadata": {"graph_id": "interrupt"}}
    again = {**same, "if_exists": "do_nothing", "supersteps": [one(as_node="publish")]}
    await wire.post("/threads", again)
    await wire.get(f"{thread}/state")
    await wire.post("/threads", {**same, "supersteps": steps})


PATHS = (
    "values.title",
    "values.tags[0]",
    "values.tags[-1]",
    "values.tags[9]",
    "values.tags[-9]",
    "values",
    "metadata.list[1].k",
    "metadata.list.k",
    "metadata.list.0",
    "metadata.list[01]",
    "metadata.list[1]k",
    "metadata.list[*]",
    "metadata[0",
    "metadata[n]",
    "metadata.n.x",
    "metadata.we-ird",
    "metadata.",
    "metadata..n",
    "metadata.é",
    "interrupts[0]",
    "config.configurable",
    "status",
    "",
    " metadata.n",
    "$.metadata.n",
)
ALIASES = ("_a", "class", "extracted", "ttl", "1a", "a-b", "", "values", "interrupts", "é")


EXTRACTS: tuple[Any, ...] = (
    *({"a": path} for path in PATHS),
    *({alias: "metadata.n"} for alias in ALIASES),
    {},
    {f"a{n}": "metadata.n" for n in range(10)},
    {f"a{n}": "metadata.n" for n in range(11)},
    {"a": 5},
    {"a": None},
    [],
    None,
)
SELECTS = (
    ["thread_id"], ["values", "thread_id"], [], ["status", "status"], ["nope"], None, "status",
)  # fmt: skip
VALUES = ({"title": "x"}, {}, {"title": None}, {"nope": 1}, None, [], "x")
COLUMNS = (
    "thread_id", "status", "created_at", "updated_at", "state_updated_at", "nope", None,
)  # fmt: skip
ORDERS: tuple[dict[str, Any], ...] = (
    {},
    {"sort_order": "asc"},
    {"sort_order": "desc"},
    {"sort_order": "ASC"},
)
PAGES = (
    (1, 0), (1, 1), (1, 2), (2, 0), (1000, 0), (1.0, 0), (1001, 0), (0, 0), (1, -1), ("1", 0),
)  # fmt: skip


async def searches(wire: Wire) -> None:
    tag = {"tag": str(uuid4())}
    metadata = {**tag, "n": 1, "list": [1, {"k": "v"}], "we-ird": 1}
    first = await wire.post("/threads", {"metadata": metadata})
    second = await wire.post("/threads", {"metadata": {**tag, "n": 2}})
    await wire.post(f"/threads/{first['thread_id']}/runs/wait", ASKS)
    await settled(wire, f"/threads/{first['thread_id']}")
    fan = {"assistant_id": "fanout", "input": {"topic": "x"}}
    await wire.post(f"/threads/{second['thread_id']}/runs/wait", fan)
    await settled(wire, f"/threads/{second['thread_id']}")
    status, chosen = {"select": ["status"]}, first["thread_id"]
    await wire.post("/threads/search", {"metadata": tag, "extract": {"a": "metadata.n"}})
    for fields in (
        *({"extract": extract, **status} for extract in EXTRACTS),
        *({"select": select} for select in SELECTS),
        *({"values": values, **status} for values in VALUES),
        *({"status": each, **status} for each in ("idle", "interrupted", "nope", None)),
        *({"ids": ids, **status} for ids in ([chosen], [NOBODY], [chosen.upper()], ["x"], None)),
        *({"sort_by": by, "select": ["metadata"], **way} for by in COLUMNS for way in ORDERS),
        *({"limit": limit, "offset": offset, **status} for limit, offset in PAGES),
        *({"metadata": {**tag, **more}, **status} for more in ({"n": 1.0}, {"n": "1"})),
    ):
        await wire.post("/threads/search", {"metadata": tag, **fields})
    for values in VALUES:
        await wire.post("/threads/count", {"metadata": tag, "values": values})


async def histories(wire: Wire) -> None:
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", {"assistant_id": "fanout", "input": {"topic": "x"}})
    await settled(wire, thread)
    history = (await wire.post(f"{thread}/history", {"limit": 10})).json
    middle = history[2]["checkpoint"]
    for body in (
        {},
        {"limit": 2},
        {"limit": 2, "before": middle},
        {"limit": 10, "metadata": {"source": "input"}},
        {"limit": 10, "metadata": {"step": 1}},
        {"limit": 10, "metadata": {"nope": 1}},
        {"checkpoint": {"checkpoint_id": middle["checkpoint_id"]}},
        {"checkpoint": {"checkpoint_ns": "nope"}},
        {"before": middle["checkpoint_id"]},
        {"limit": 0},
        {"limit": 1001},
        {"metadata": None},
    ):
        await wire.post(f"{thread}/history", body)
    for query in ("limit=2", f"limit=10&before={middle['checkpoint_id']}", "limit=0", "limit=x"):
        await wire.get(f"{thread}/history?{query}")
    await wire.call("PATCH", f"{thread}/state", {"metadata": {}})


async def at_question(wire: Wire) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A thread whose innermost graph asks, and where the two graphs below its root stand."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", NESTED)
    await settled(wire, thread)
    state = await wire.get(f"{thread}/state?subgraphs=true")
    middle = next(task for task in state["tasks"] if task["name"] == "middle")["state"]
    return thread, middle["checkpoint"], middle["tasks"][0]["state"]["checkpoint"]


async def nested_reads(wire: Wire) -> None:
    thread, middle, innermost = await at_question(wire)
    for at in (
        innermost,
        middle,
        {"checkpoint_ns": innermost["checkpoint_ns"]},
        {"checkpoint_ns": middle["checkpoint_ns"], "checkpoint_map": middle["checkpoint_map"]},
        {"checkpoint_id": innermost["checkpoint_id"]},
        {"checkpoint_ns": "middle"},
        {"checkpoint_ns": "nope:1"},
    ):
        await wire.post(f"{thread}/state/checkpoint", {"checkpoint": at})
        await wire.post(f"{thread}/state/checkpoint", {"checkpoint": at, "subgraphs": True})
    for at in (innermost, middle):
        below = {"checkpoint_ns": at["checkpoint_ns"]}
        await wire.post(f"{thread}/history", {"limit": 10, "checkpoint": below})
    await wire.post(
        f"{thread}/runs/stream",
        {
            "assistant_id": "nested",
            "command": {"resume": "yes"},
            "stream_mode": ["values", "updates", "tasks"],
            "stream_subgraphs": True,
        },
    )
    await settled(wire, thread)
    await wire.get(f"{thread}/state?subgraphs=true")


async def nested_updates(wire: Wire) -> None:
    patch = {"values": {"log": ["patched"]}}
    thread, _, innermost = await at_question(wire)
    below = {"checkpoint_ns": innermost["checkpoint_ns"]}
    for body in (
        {**patch, "as_node": "nope", "checkpoint": below},
        {**patch, "checkpoint": {"checkpoint_ns": "nope:1"}},
        {**patch, "checkpoint": {"checkpoint_ns": "beside:1"}},
        {**patch, "checkpoint": below},
    ):
        await wire.post(f"{thread}/state", body)
    await wire.get(thread)
    await wire.get(f"{thread}/state?subgraphs=true")
    await wire.post(f"{thread}/history", {"limit": 10, "checkpoint": below})
    await wire.post(f"{thread}/runs/wait", {"assistant_id": "nested", "command": {"resume": "yes"}})
    await settled(wire, thread)
    await wire.get(f"{thread}/state")

    thread, _, innermost = await at_question(wire)
    answered = {"values": {"word": "w", "log": ["by hand"]}, "as_node": "ask"}
    below = {"checkpoint_ns": innermost["checkpoint_ns"]}
    await wire.post(f"{thread}/state", {**answered, "checkpoint": below})
    await wire.get(f"{thread}/state?subgraphs=true")
    await wire.post(f"{thread}/runs/wait", {"assistant_id": "nested"})
    await settled(wire, thread)
    await wire.get(f"{thread}/state?subgraphs=true")

    thread, middle, _ = await at_question(wire)
    await wire.post(f"{thread}/state", {**patch, "as_node": "enter", "checkpoint": middle})
    await wire.get(f"{thread}/state?subgraphs=true")
    await wire.post(f"{thread}/runs/wait", {"assistant_id": "nested"})
    await settled(wire, thread)
    await wire.get(f"{thread}/state")


async def nested_travel(wire: Wire) -> None:
    """A subgraph's checkpoint is gone on from at the root's that it is under."""
    thread, middle, innermost = await at_question(wire)
    below = {"checkpoint_ns": innermost["checkpoint_ns"]}
    history = await wire.post(f"{thread}/history", {"limit": 10, "checkpoint": below})
    for at in (history.json[1]["checkpoint"], middle, innermost):
        await wire.post(f"{thread}/runs/wait", {"assistant_id": "nested", "checkpoint": at})
        await settled(wire, thread)
        await wire.get(f"{thread}/state")
    await wire.post(f"{thread}/history", {"limit": 10})


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    copies,
    storage,
    pruned,
    time_to_live,
    supersteps,
    goes_on_from_supersteps,
    searches,
    histories,
    nested_reads,
    nested_updates,
    nested_travel,
)
