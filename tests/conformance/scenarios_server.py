"""What is asked of a server once: resources, bad requests, and runs that meet each other.

`hanging` makes the runs that must be under way: the cycle's second round never ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import look, new_thread, settled
from tests.conformance.wire import Flight, Wire

NOBODY = "00000000-0000-4000-8000-000000000000"
MODES = ["values", "updates"]
ECHO = {"assistant_id": "echo", "input": {"msg": "hi"}, "stream_mode": MODES}
CYCLE = {"assistant_id": "cycle", "stream_mode": MODES}
QUICK = {**CYCLE, "input": {"n": 0, "limit": 1, "hang_at": 0}}
HANG = {**CYCLE, "input": {"n": 0, "limit": 3, "hang_at": 2}}


async def in_second_round(wire: Wire, thread: str) -> None:
    await wire.until(
        f"{thread}/state",
        lambda state: state["next"] == ["tick"] and state["values"].get("n") == 1,
    )


async def hanging(wire: Wire, thread: str, **fields: Any) -> tuple[Flight, str]:
    """A run on `thread` that has done its first round and sits in its second."""
    flight = wire.start("POST", f"{thread}/runs/stream", {**HANG, **fields})
    await in_second_round(wire, thread)
    return flight, flight.exchange.headers["content-location"]


async def assistants(wire: Wire) -> None:
    tag = {"tag": str(uuid4())}
    first = await wire.post("/assistants", {"graph_id": "echo", "metadata": tag})
    path = f"/assistants/{first['assistant_id']}"
    await wire.get(path)
    chosen = str(uuid4())
    named = {"graph_id": "cycle", "assistant_id": chosen, "metadata": tag, "name": "Round"}
    context = {"context": {"suffix": "!"}, "config": {"tags": ["a"], "recursion_limit": 9}}
    await wire.post("/assistants", {**named, **context, "description": "Goes round."})
    for if_exists in ("raise", "do_nothing"):
        await wire.post("/assistants", {**named, "if_exists": if_exists})
    await wire.post("/assistants", {"graph_id": "nope"})
    both = {"config": {"configurable": {"a": 1}}, "context": {"b": 2}}
    await wire.post("/assistants", {"graph_id": "echo", **both})
    for fields in ({"name": "New"}, {"metadata": {"more": 1}}, {"context": {"suffix": "?"}}):
        await wire.patch(path, fields)
    await wire.patch(path, {"config": {"configurable": {"a": 1}}})
    await wire.get(path)
    for fields in (
        {},
        {"limit": 1},
        {"limit": 1, "offset": 1},
        {"sort_by": "name", "sort_order": "asc"},
        {"graph_id": "cycle"},
        {"name": "roun"},
        {"select": ["assistant_id", "name"]},
    ):
        await wire.post("/assistants/search", {"metadata": tag, **fields})
    for wrong in ({"limit": 0}, {"limit": 1001}, {"select": ["nope"]}, {"graph_id": "nope"}):
        await wire.post("/assistants/search", wrong)
    await wire.post("/assistants/count", {"metadata": tag})
    await wire.post("/assistants/count", {"metadata": tag, "graph_id": "cycle"})
    await wire.get(f"{path}/graph?xray=zz")
    await wire.delete(path)
    for missing in (path, f"/assistants/{NOBODY}", "/assistants/echo"):
        await wire.get(missing)
        await wire.patch(missing, {"name": "x"})
        await wire.delete(missing)
        for part in ("graph", "schemas", "subgraphs"):
            await wire.get(f"{missing}/{part}")
    await wire.delete(f"/assistants/{chosen}")


async def threads(wire: Wire) -> None:
    tag = {"tag": str(uuid4())}
    thread = await wire.post("/threads", {"metadata": {**tag, "a": {"b": 1, "c": 2}}})
    path = f"/threads/{thread['thread_id']}"
    same = {"thread_id": thread["thread_id"], "metadata": tag}
    for if_exists in ("raise", "do_nothing"):
        await wire.post("/threads", {**same, "if_exists": if_exists})
    await wire.post("/threads", {"thread_id": str(uuid4()), "metadata": tag})
    await wire.patch(path, {"metadata": {"more": [1]}})
    await wire.call("PATCH", path, {"metadata": {"b": 1}}, headers={"prefer": "return=minimal"})
    await wire.get(path)
    await wire.post(f"{path}/history", {})
    await wire.get(f"{path}/state/{NOBODY}")
    await wire.post(f"{path}/state", {"values": {"msg": "x"}})
    await wire.post(f"{path}/runs/wait", ECHO)
    for fields in (
        {},
        {"limit": 1},
        {"limit": 1, "offset": 1},
        {"status": "idle"},
        {"status": "busy"},
        {"metadata": {**tag, "a": {"b": 1}}},
        {"values": {"out": "hi"}},
        {"ids": [thread["thread_id"]]},
        {"select": ["thread_id", "status"]},
        {"sort_by": "created_at", "sort_order": "asc"},
    ):
        await wire.post("/threads/search", {"metadata": tag, **fields})
    for wrong in ({"limit": 0}, {"status": "nope"}, {"sort_by": "nope"}, {"select": ["nope"]}):
        await wire.post("/threads/search", wrong)
    await wire.post("/threads/count", {"metadata": tag})
    await wire.post("/threads/count", {"metadata": tag, "status": "idle"})
    await wire.delete(path)
    for missing in (path, f"/threads/{NOBODY}", "/threads/nope"):
        await wire.get(missing)
        await wire.patch(missing, {"metadata": {}})
        await wire.delete(missing)
        for part in ("state", f"state/{NOBODY}", "history", "runs"):
            await wire.get(f"{missing}/{part}")
        await wire.post(f"{missing}/history", {})
        await wire.post(f"{missing}/state", {"values": {}})


async def bad_bodies(wire: Wire) -> None:
    thread = await new_thread(wire)
    for path in ("/assistants", "/threads", "/runs/wait", f"{thread}/runs/stream"):
        for body in (b"", b"{", b"[]", b'"text"', b"null", b'{"a": NaN}', b'{"a": "\xff"}'):
            await wire.post(path, body)
    for wrong in (
        {"assistant_id": None},
        {"assistant_id": 3},
        {"assistant_id": "nope"},
        {"assistant_id": NOBODY},
        {"stream_mode": "nope"},
        {"stream_mode": ["values", "nope"]},
        {"stream_mode": "tools"},
        {"multitask_strategy": "nope"},
        {"durability": "nope"},
        {"on_disconnect": "nope"},
        {"on_completion": "nope"},
        {"if_not_exists": "nope"},
        {"after_seconds": "soon"},
        {"interrupt_before": 3},
        {"checkpoint_id": "nope"},
        {"config": 3},
        {"config": {"configurable": {"a": 1}}, "context": {"b": 1}},
        {"metadata": None},
        {"command": {"resume": 1, "nope": 2}},
    ):
        for kind in ("runs/stream", "runs"):
            thread = await new_thread(wire)
            await wire.post(f"{thread}/{kind}", {**ECHO, **wrong})
            await settled(wire, thread)
        await wire.post("/runs/wait", {**ECHO, **wrong})
    await wire.post(f"{thread}/runs", {"input": {}})
    for body in ({"limit": 0}, {"limit": "x"}, {"before": "x"}):
        await wire.post(f"{thread}/history", body)
    for query in ("limit=x", "limit=0", "before=x"):
        await wire.get(f"{thread}/history?{query}")


async def missing(wire: Wire) -> None:
    thread = await new_thread(wire)
    nowhere = f"/threads/{NOBODY}"
    for kind in ("runs", "runs/stream", "runs/wait"):
        await wire.post(f"{nowhere}/{kind}", QUICK)
        await wire.post(f"/threads/nope/{kind}", QUICK)
    for run in (NOBODY, "nope"):
        path = f"{thread}/runs/{run}"
        for part in ("", "/join", "/stream"):
            await wire.get(path + part)
        await wire.post(f"{path}/cancel")
        await wire.delete(path)
    await wire.get(f"{thread}/runs?status=nope")
    await wire.get(f"{thread}/runs?limit=x")
    for method, path in (
        ("PUT", "/threads"),
        ("DELETE", "/runs/stream"),
        ("GET", "/runs/wait"),
        ("PATCH", f"{thread}/state"),
        ("GET", "/nope"),
        ("GET", "/threads/"),
        ("HEAD", thread),
        ("GET", "/ok"),
    ):
        await wire.call(method, path)


async def cors(wire: Wire) -> None:
    origin = {"origin": "https://example.org"}
    await wire.call("GET", "/ok", headers=origin)
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    await wire.call("OPTIONS", "/threads", headers={**origin, **asks})
    await wire.call("POST", "/threads/search", {"metadata": {"tag": str(uuid4())}}, headers=origin)


async def resumes(wire: Wire) -> None:
    """One interrupt after another, answered with `Command(resume=…)` in each of its forms."""
    ask = {"assistant_id": "interrupt", "stream_mode": MODES}
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/stream", {**ask, "input": {"title": ""}})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/stream", {**ask, "command": {"resume": "A title"}})
    await look(wire, thread)
    state = wire.exchanges[-3].json
    answers = {interrupt["id"]: ["x", "y"] for interrupt in state.get("interrupts", [])}
    await wire.post(f"{thread}/runs/wait", {**ask, "command": {"resume": answers}})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/wait", {**ask, "command": {"resume": {"approve": True}}})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/wait", {**ask, "command": {"resume": "nothing asks"}})
    await look(wire, thread)


async def commands(wire: Wire) -> None:
    """Commands that change the state or go elsewhere, and answers that a node rejects."""
    ask = {"assistant_id": "interrupt", "stream_mode": MODES}
    for command in (
        {"update": {"title": "changed"}},
        {"update": [["title", "changed"]]},
        {"goto": "publish", "update": {"title": "T", "approved": True}},
        {"goto": [{"node": "publish", "input": {"title": "S", "approved": True}}]},
        {"resume": "T", "update": {"draft": "better"}},
        {"update": {"nope": 1}},
    ):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", {**ask, "input": {"title": ""}})
        await wire.post(f"{thread}/runs/stream", {**ask, "command": command})
        await look(wire, thread)
    await wire.post(f"{thread}/runs/wait", {**ask, "input": {"title": "over again"}})
    await look(wire, thread)
    await wire.post("/runs/wait", {**ask, "command": {"resume": 1}})


async def jumps_to_nowhere(wire: Wire) -> None:
    ask = {"assistant_id": "interrupt", "stream_mode": MODES}
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", {**ask, "input": {"title": ""}})
    await wire.post(f"{thread}/runs/stream", {**ask, "command": {"goto": "nope"}})
    await look(wire, thread)


async def subgraph_resume(wire: Wire) -> None:
    ask = {"assistant_id": "subgraph", "stream_mode": MODES, "stream_subgraphs": True}
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/stream", {**ask, "input": {"topic": "tea", "ask": True}})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/stream", {**ask, "command": {"resume": "plenty"}})
    await look(wire, thread)


async def cancels(wire: Wire) -> None:
    for query in ("", "?wait=0&action=interrupt", "?wait=1", "?action=rollback", "?action=nope"):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", QUICK)
        await settled(wire, thread)
        flight, run = await hanging(wire, thread)
        await wire.post(f"{run}/cancel{query}")
        await flight.ends()
        await look(wire, thread)
        await wire.get(run)
        await wire.post(f"{run}/cancel")
        await wire.get(f"{run}/join")
        await wire.post(f"{thread}/runs/wait", QUICK)
        await look(wire, thread)


async def cancelled_waits(wire: Wire) -> None:
    thread = await new_thread(wire)
    flight = wire.start("POST", f"{thread}/runs/wait", HANG)
    await flight.opens()
    run = flight.exchange.headers["content-location"]
    await in_second_round(wire, thread)
    await wire.post(f"{run}/cancel")
    await flight.ends()
    await look(wire, thread)
    late = await wire.post(f"{thread}/runs", {**QUICK, "after_seconds": 60})
    await wire.post(f"{thread}/runs/{late['run_id']}/cancel")
    await wire.get(f"{thread}/runs/{late['run_id']}")
    await look(wire, thread)


async def multitask(wire: Wire) -> None:
    for strategy in ("reject", "interrupt", "rollback"):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", QUICK)
        await settled(wire, thread)
        flight, run = await hanging(wire, thread)
        for kind in ("runs/stream", "runs"):
            await wire.post(f"{thread}/{kind}", {**QUICK, "multitask_strategy": strategy})
        if strategy == "reject":
            await wire.get(thread)
            await wire.post(f"{thread}/state", {"values": {"n": 1}})
            await wire.post(f"{run}/cancel")
        await flight.ends()
        await look(wire, thread)
        await wire.get(run)


async def enqueued(wire: Wire) -> None:
    thread = await new_thread(wire)
    flight, run = await hanging(wire, thread)
    queued = [
        wire.start("POST", f"{thread}/runs/{kind}", {**QUICK, "multitask_strategy": "enqueue"})
        for kind in ("stream", "wait")
    ]
    for each in queued:
        await each.opens()
    await wire.get(f"{thread}/runs")
    await wire.post(f"{run}/cancel")
    for each in (flight, *queued):
        await each.ends()
    await look(wire, thread)


async def dialects(wire: Wire) -> None:
    """The ways in which the official clients write several values into a query."""
    thread = await new_thread(wire)
    run = await wire.post(f"{thread}/runs", {**QUICK, "stream_resumable": True})
    await settled(wire, thread)
    stream = f"{thread}/runs/{run['run_id']}/stream"
    for modes in (
        'stream_mode=["updates"]',
        'stream_mode=["values","updates"]',
        "stream_mode=values&stream_mode=updates",
        "stream_mode=values,updates",
        "stream_mode=nope",
        "stream_mode=",
    ):
        await wire.get(f"{stream}?{modes}", **{"last-event-id": "-1"})
    for select in ("select=run_id&select=status", 'select=["run_id"]'):
        await wire.get(f"{thread}/runs?{select}")


async def delayed(wire: Wire) -> None:
    thread = await new_thread(wire)
    run = await wire.post(f"{thread}/runs", {**QUICK, "after_seconds": 1})
    await wire.get(thread)
    await wire.get(f"{thread}/runs/{run['run_id']}/join")
    await look(wire, thread)
    new = f"/threads/{uuid4()}"
    await wire.post(f"{new}/runs/wait", {**QUICK, "if_not_exists": "reject"})
    await wire.post(f"{new}/runs/wait", {**QUICK, "if_not_exists": "create"})
    await look(wire, new)


async def disconnects(wire: Wire) -> None:
    for choice in ("cancel", "continue"):
        for kind in ("stream", "wait"):
            thread = await new_thread(wire)
            body = {**HANG, "on_disconnect": choice}
            flight = wire.start("POST", f"{thread}/runs/{kind}", body)
            await flight.opens()
            await in_second_round(wire, thread)
            await flight.hangs_up()
            run = flight.exchange.headers["content-location"]
            flight.exchange.body.clear()
            if choice == "continue":
                await asyncio.sleep(1)
                await wire.get(run)
                await wire.post(f"{run}/cancel")
            await look(wire, thread)
            await wire.get(run)


async def configuration(wire: Wire) -> None:
    """Assistant's and run's config, context and metadata, and where they come out."""
    assistant = await wire.post(
        "/assistants",
        {"graph_id": "echo", "context": {"suffix": "!"}, "metadata": {"of": "assistant"}},
    )
    for fields in (
        {},
        {"context": {"suffix": "?"}},
        {"config": {"configurable": {"suffix": "."}}},
        {"config": {"tags": ["t"], "metadata": {"of": "config", "run_id": "mine"}}},
        {"metadata": {"of": "run", "thread_id": "mine", "more": {"a": 1}}},
        {"context": {"suffix": "#", "langgraph_auth_user": "me", "other": 1}},
    ):
        thread = await new_thread(wire)
        body = {**ECHO, "assistant_id": assistant["assistant_id"], **fields}
        await wire.post(f"{thread}/runs/stream", {**body, "stream_mode": [*MODES, "debug"]})
        await look(wire, thread)
        await wire.get(f"{thread}/runs")
    await wire.delete(f"/assistants/{assistant['assistant_id']}")


async def recursion(wire: Wire) -> None:
    thread = await new_thread(wire)
    endless = {"assistant_id": "cycle", "input": {"limit": 99}, "config": {"recursion_limit": 5}}
    await wire.post(f"{thread}/runs/stream", {**endless, "stream_mode": MODES})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/wait", endless)
    await look(wire, thread)


async def empty_inputs(wire: Wire) -> None:
    for graph in ("echo", "cycle", "interrupt"):
        for value in (None, {}, [], "text", 3):
            thread = await new_thread(wire)
            body = {"assistant_id": graph, "input": value, "stream_mode": MODES}
            await wire.post(f"{thread}/runs/stream", body)
            await look(wire, thread)


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    assistants,
    threads,
    bad_bodies,
    missing,
    cors,
    resumes,
    commands,
    jumps_to_nowhere,
    subgraph_resume,
    cancels,
    cancelled_waits,
    multitask,
    enqueued,
    dialects,
    delayed,
    disconnects,
    configuration,
    recursion,
    empty_inputs,
)
