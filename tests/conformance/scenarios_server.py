"""What is asked of a server once: its resources, and requests that it must refuse."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from tests.conformance.scenarios import new_thread, settled
from tests.conformance.scenarios_runs import ECHO, QUICK
from tests.conformance.wire import Wire

NOBODY = "00000000-0000-4000-8000-000000000000"


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


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    assistants,
    threads,
    bad_bodies,
    missing,
    cors,
)
