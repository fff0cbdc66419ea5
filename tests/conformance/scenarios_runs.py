"""Commands, cancels, and runs that meet each other; each needs one graph only.

`hanging` makes the runs that must be under way: the cycle's second round never ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import look, new_thread, settled
from tests.conformance.wire import Flight, Wire

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
    """A run on `thread` that sits in its second round, all frames of the first having come."""
    flight = wire.start("POST", f"{thread}/runs/stream", {**HANG, **fields})
    await in_second_round(wire, thread)
    await flight.tells('{"again":null}')
    return flight, flight.exchange.headers["content-location"]


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
                await asyncio.sleep(1)  # a server that ended the run would have done so by now
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


async def joins_without_a_thread(wire: Wire) -> None:
    """Where the `Location` of a stateless stream leads."""
    streamed = await wire.post("/runs/stream", ECHO)
    for path in (streamed.headers["content-location"], "/runs/nope"):
        await wire.get(f"{path}/stream", **{"last-event-id": "-1"})


async def answers_in_line(wire: Wire) -> None:
    """What a resume is, as a run that is looked at."""
    thread = await new_thread(wire)
    ask = {"assistant_id": "interrupt", "stream_mode": MODES}
    await wire.post(f"{thread}/runs/wait", {**ask, "input": {"title": ""}})
    await wire.post(f"{thread}/runs/wait", {**ask, "command": {"resume": "A title"}})
    await wire.get(f"{thread}/runs?limit=1")


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
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
    joins_without_a_thread,
    answers_in_line,
)
