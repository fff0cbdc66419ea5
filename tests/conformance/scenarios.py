"""What every fixture graph is put through; `scenarios_server.py` has what needs one graph only.

A scenario talks to one server through a `Wire`. It waits for what it needs to have happened
and never judges an answer.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from tests.conformance.wire import Wire

MODES = (
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "custom",
    "tasks",
    "checkpoints",
    "debug",
)
COMBINED = (["values", "updates", "custom"], ["messages", "messages-tuple", "updates"], [*MODES])


@attrs.frozen
class Case:
    """A fixture graph and an input that takes it down one of its ways."""

    name: str
    graph: str
    input: Any
    first: str
    """The graph's first node."""

    def run(self, **fields: Any) -> dict[str, Any]:
        return {"assistant_id": self.graph, "input": self.input, **fields}


QUESTION = {"type": "human", "content": "hello", "id": "question"}
CASES = (
    Case("echo", "echo", {"msg": "hi"}, "reply"),
    Case("fanout", "fanout", {"topic": "tea"}, "split"),
    Case("router-even", "router", {"number": 4}, "measure"),
    Case("router-odd", "router", {"number": 3}, "measure"),
    Case("cycle", "cycle", {"limit": 3}, "tick"),
    Case("interrupt", "interrupt", {"title": "none yet"}, "write"),
    Case("error-none", "error", {"kind": "none"}, "before"),
    Case("error-value", "error", {"kind": "value"}, "before"),
    Case("error-key", "error", {"kind": "key"}, "before"),
    Case("error-custom", "error", {"kind": "custom"}, "before"),
    Case("tokens", "tokens", {"messages": [QUESTION]}, "answer"),
    Case("subgraph", "subgraph", {"topic": " tea "}, "prepare"),
    Case("subgraph-ask", "subgraph", {"topic": " tea ", "ask": True}, "prepare"),
    Case("nested", "nested", {"topic": "tea"}, "prepare"),
)

Scenario = Callable[[Wire, Case], Awaitable[None]]


async def new_thread(wire: Wire) -> str:
    """The path of a fresh thread."""
    thread = await wire.post("/threads", {})
    return f"/threads/{thread['thread_id']}"


async def settled(wire: Wire, thread: str) -> None:
    await wire.until(thread, lambda thread: thread.get("status") != "busy")


async def look(wire: Wire, thread: str) -> None:
    """All that a client can see of a thread once its run has ended."""
    await settled(wire, thread)
    await wire.get(thread)
    await wire.get(f"{thread}/state")
    await wire.get(f"{thread}/state?subgraphs=true")
    await wire.post(f"{thread}/history", {"limit": 20})


async def streams(wire: Wire, case: Case) -> None:
    """`runs.stream` in each mode, in several at once, and with subgraphs."""
    requests = [{"stream_mode": mode} for mode in (*MODES, *COMBINED)]
    for fields in (*requests, {"stream_mode": [*MODES], "stream_subgraphs": True}):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/stream", case.run(**fields))
        await settled(wire, thread)


async def life(wire: Wire, case: Case) -> None:
    """Wait, create and join, the run's own record, and what the thread shows afterwards."""
    thread = await new_thread(wire)
    await wire.get(f"{thread}/state")
    await wire.post(f"{thread}/runs/wait", case.run())
    await look(wire, thread)
    run = await wire.post(f"{thread}/runs", case.run(metadata={"kind": "second"}))
    await wire.get(f"{thread}/runs/{run['run_id']}/join")
    await settled(wire, thread)
    await wire.get(f"{thread}/runs/{run['run_id']}")
    await wire.get(f"{thread}/runs")
    await wire.get(f"{thread}/runs?limit=1&offset=1&select=run_id&select=status")
    await look(wire, thread)
    await wire.delete(f"{thread}/runs/{run['run_id']}")
    await wire.get(f"{thread}/runs/{run['run_id']}")


async def replays(wire: Wire, case: Case, *, resumable: bool = True) -> None:
    """What joins a run's stream after its end sees, by the last event that it says it saw."""
    thread = await new_thread(wire)
    fields = {"stream_mode": ["values", "updates"], "stream_resumable": resumable}
    run = await wire.post(f"{thread}/runs", case.run(**fields))
    await settled(wire, thread)
    stream = f"{thread}/runs/{run['run_id']}/stream"
    await wire.get(stream)
    for last in ("-1", "0", "zzz"):
        await wire.get(stream, **{"last-event-id": last})
    await wire.get(f"{stream}?stream_mode=updates", **{"last-event-id": "-1"})


async def replays_of_unkept(wire: Wire, case: Case) -> None:
    await replays(wire, case, resumable=False)


async def stateless(wire: Wire, case: Case) -> None:
    await wire.post("/runs/wait", case.run())
    await wire.post("/runs/stream", case.run(stream_mode=["values", "updates"]))
    run = await wire.post("/runs", case.run())
    await wire.until(f"/threads/{run['thread_id']}", lambda thread: thread.get("status") != "busy")
    kept = await wire.post("/runs", case.run(on_completion="keep"))
    thread = f"/threads/{kept['thread_id']}"
    await settled(wire, thread)
    await wire.get(thread)
    await wire.get(f"{thread}/state")


async def breakpoints(wire: Wire, case: Case) -> None:
    for stop in (
        {"interrupt_before": "*"},
        {"interrupt_before": [case.first]},
        {"interrupt_after": [case.first]},
    ):
        thread = await new_thread(wire)
        await wire.post(
            f"{thread}/runs/stream", case.run(stream_mode=["values", "updates"], **stop)
        )
        await look(wire, thread)
        await wire.post(f"{thread}/runs/wait", {"assistant_id": case.graph, "input": None, **stop})
        await settled(wire, thread)
        await wire.post(f"{thread}/runs/wait", {"assistant_id": case.graph})
        await look(wire, thread)


async def durability(wire: Wire, case: Case) -> None:
    for fields in (
        {"durability": "sync"},
        {"durability": "async"},
        {"durability": "exit"},
        {"checkpoint_during": False},
    ):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", case.run(**fields))
        await settled(wire, thread)
        await wire.post(f"{thread}/history", {"limit": 20})


async def travel(wire: Wire, case: Case) -> None:
    """Go back to the state after the first node: run on from it, then change it and run on."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", case.run())
    await settled(wire, thread)
    history = await wire.post(f"{thread}/history", {"limit": 20})
    older = next(state for state in history.json if state["metadata"]["step"] == 1)
    checkpoint = older["checkpoint"]
    there = checkpoint["checkpoint_id"]
    await wire.get(f"{thread}/state/{there}")
    await wire.post(f"{thread}/state/checkpoint", {"checkpoint": checkpoint})
    await wire.post(
        f"{thread}/runs/stream",
        {"assistant_id": case.graph, "checkpoint_id": there, "stream_mode": ["values", "updates"]},
    )
    await look(wire, thread)
    await wire.post(f"{thread}/state", {"values": case.input, "checkpoint": checkpoint})
    await look(wire, thread)
    await wire.post(f"{thread}/runs/wait", {"assistant_id": case.graph, "checkpoint": checkpoint})
    await look(wire, thread)
    await wire.post(f"{thread}/history", {"limit": 2, "checkpoint": checkpoint})
    await wire.get(f"{thread}/history?limit=3&before={there}")


async def updates(wire: Wire, case: Case) -> None:
    """`update_state` on a thread that has run, with and without a node to speak for."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", case.run(interrupt_after=[case.first]))
    await settled(wire, thread)
    for fields in (
        {"values": case.input},
        {"values": case.input, "as_node": case.first},
        {"values": None},
        {"values": None, "as_node": case.first},
        {"values": case.input, "as_node": "nope"},
        {"values": "no mapping"},
    ):
        await wire.post(f"{thread}/state", fields)
        await wire.get(thread)
        await wire.get(f"{thread}/state")
    await wire.post(f"{thread}/runs/wait", {"assistant_id": case.graph})
    await look(wire, thread)


async def again(wire: Wire, case: Case) -> None:
    """A second and a third input on one thread."""
    thread = await new_thread(wire)
    for _ in range(3):
        await wire.post(f"{thread}/runs/stream", case.run(stream_mode=["values", "tasks"]))
        await settled(wire, thread)
    await look(wire, thread)


async def description(wire: Wire, case: Case) -> None:
    await wire.post(
        "/assistants/search", {"graph_id": case.graph, "metadata": {"created_by": "system"}}
    )
    found = wire.exchanges[-1].json
    assistant = f"/assistants/{found[0]['assistant_id']}"
    await wire.get(assistant)
    await wire.get(f"{assistant}/graph")
    await wire.get(f"{assistant}/graph?xray=true")
    await wire.get(f"/assistants/{case.graph}/graph")
    await wire.get(f"{assistant}/schemas")
    await wire.get(f"{assistant}/subgraphs")
    await wire.get(f"{assistant}/subgraphs?recurse=true")


SCENARIOS: tuple[Scenario, ...] = (
    streams,
    life,
    replays,
    replays_of_unkept,
    stateless,
    breakpoints,
    durability,
    travel,
    updates,
    again,
    description,
)
