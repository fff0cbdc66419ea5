"""The event-streaming protocol: what each fixture graph tells on each channel, and commands.

A stream is opened for one channel at a time, so that the order of events of different channels,
which the protocol leaves open, is not compared.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import CASES, QUESTION, Case, new_thread
from tests.conformance.wire import Flight, Wire

CHANNELS = ("values", "lifecycle", "input", "messages", "tools")
OTHERS = ("updates", "custom", "tasks", "checkpoints")
GRAPHS = ("echo", "fanout", "cycle", "interrupt", "error-value", "error-custom", "tokens")
SUBGRAPHS = ("subgraph", "subgraph-ask")
ENDS = ("completed", "failed", "interrupted")
SETTLE_SECONDS = 0.3
"""What a server still has to send when it has told of the end."""


def fresh() -> str:
    """A thread that is not there yet."""
    return f"/threads/{uuid4()}"


async def command(wire: Wire, thread: str, method: str, **params: Any) -> Any:
    return await wire.post(f"{thread}/commands", {"id": 1, "method": method, "params": params})


def follow(wire: Wire, thread: str, *channels: str, **filters: Any) -> Flight:
    body = {"channels": channels, **filters}
    return wire.start("POST", f"{thread}/stream/events", body)


async def ended(wire: Wire, thread: str, times: int) -> None:
    """Wait, unrecorded, for so many ends of runs, and for what comes with the last."""
    seen = 0
    body = {"channels": ["lifecycle"], "namespaces": [[]], "depth": 0}
    async with asyncio.timeout(15):
        async with wire.session.post(f"{thread}/stream/events", json=body) as response:
            while seen < times:
                line = (await response.content.readline()).decode()
                seen += any(f'"event":"{end}"' in line for end in ENDS)
    await wire.until(thread, lambda found: found.get("status") != "busy")
    await asyncio.sleep(SETTLE_SECONDS)


async def replayed(wire: Wire, thread: str, channels: Sequence[str], **filters: Any) -> None:
    """What each channel has by now, one after another."""
    for channel in channels:
        flight = follow(wire, thread, channel, **filters)
        await flight.opens()
        await flight.falls_silent(SETTLE_SECONDS)
        await flight.hangs_up()


async def graph(wire: Wire, case: Case, *, channels: Sequence[str]) -> None:
    """A run from its start to its first end, and all questions answered alike."""
    thread = fresh()
    await command(wire, thread, "run.start", assistant_id=case.graph, input=case.input)
    await ended(wire, thread, 1)
    await replayed(wire, thread, channels)


async def live(wire: Wire) -> None:
    """A stream that is open before its thread exists, through two runs."""
    thread = fresh()
    flight = follow(wire, thread, "values", "lifecycle")
    await flight.opens()
    for n in range(2):
        await command(wire, thread, "run.start", assistant_id="echo", input={"msg": str(n)})
        await ended(wire, thread, n + 1)
    await flight.hangs_up()


async def answers(wire: Wire) -> None:
    """One question after another, answered by id, by input, and several at once."""
    thread = fresh()
    await command(wire, thread, "run.start", assistant_id="interrupt", input={"title": ""})
    await ended(wire, thread, 1)
    first = await pending(wire, thread)
    await command(wire, thread, "input.respond", interrupt_id=first, namespace=[], response="A")
    await ended(wire, thread, 2)
    await command(wire, thread, "run.start", assistant_id="interrupt", input=["x"])
    await ended(wire, thread, 3)
    last = {"interrupt_id": await pending(wire, thread), "response": {"approve": True}}
    await command(wire, thread, "input.respond", responses=[last])
    await ended(wire, thread, 4)
    await replayed(wire, thread, ("lifecycle", "input", "values"))
    await command(wire, thread, "input.respond", interrupt_id=first, response="again")
    await wire.get(f"{thread}/state")


async def answers_with_more(wire: Wire) -> None:
    """An answer that also changes the state and says where to go on."""
    thread = fresh()
    await command(wire, thread, "run.start", assistant_id="interrupt", input={"title": ""})
    await ended(wire, thread, 1)
    await command(
        wire,
        thread,
        "input.respond",
        interrupt_id=await pending(wire, thread),
        response="A",
        update={"draft": "better"},
        metadata={"of": "answer"},
    )
    await ended(wire, thread, 2)
    await replayed(wire, thread, ("lifecycle", "input", "values"))
    await wire.get(f"{thread}/state")


async def pending(wire: Wire, thread: str) -> str:
    """The id of the one question that the thread asks; unrecorded."""
    async with wire.session.get(f"{thread}/state") as response:
        (asked,) = (await response.json())["interrupts"]
    return str(asked["id"])


async def namespaces(wire: Wire) -> None:
    thread = fresh()
    asks = {"topic": "tea", "ask": True}
    await command(wire, thread, "run.start", assistant_id="subgraph", input=asks)
    await ended(wire, thread, 1)
    chosen: list[dict[str, Any]] = [
        {"namespaces": [[]], "depth": 0},
        {"namespaces": [[]], "depth": 1},
        {"namespaces": [["research"]]},
        {"namespaces": [["nobody"]]},
        {"namespaces": []},
    ]
    for filters in chosen:
        await replayed(wire, thread, ("values",), **filters)


async def runs_of_others(wire: Wire) -> None:
    """Runs that were not started through the protocol."""
    thread = await new_thread(wire)
    run = {"assistant_id": "interrupt", "stream_resumable": True}
    for fields in (
        {"input": {"title": ""}, "stream_mode": ["values", "updates", "custom", "messages"]},
        {"command": {"resume": "A"}},
    ):
        await wire.post(f"{thread}/runs/wait", {**run, **fields})
    await ended(wire, thread, 2)
    await replayed(wire, thread, (*CHANNELS, "updates"))


async def custom_of_others(wire: Wire) -> None:
    thread = await new_thread(wire)
    asks = {"messages": [QUESTION]}
    body: Any = {"assistant_id": "tokens", "input": asks, "stream_mode": ["custom"]}
    await wire.post(f"{thread}/runs/wait", {**body, "stream_resumable": True})
    await ended(wire, thread, 1)
    await replayed(wire, thread, ("custom", "lifecycle"))


async def cancelled(wire: Wire) -> None:
    thread = fresh()
    hang = {"n": 0, "limit": 3, "hang_at": 2}
    started = await command(wire, thread, "run.start", assistant_id="cycle", input=hang)
    await wire.until(f"{thread}/state", lambda state: state["values"].get("n") == 1)
    await wire.post(f"{thread}/runs/{started['result']['run_id']}/cancel")
    await ended(wire, thread, 1)
    await replayed(wire, thread, ("lifecycle",))


async def bad_commands(wire: Wire) -> None:
    for method, params in (
        ("run.start", {}),
        ("run.start", {"assistant_id": "nope"}),
        ("run.start", {"assistant_id": str(uuid4())}),
        ("run.start", {"assistant_id": "echo", "config": {"configurable": {"checkpoint_id": "x"}}}),
        ("run.start", {"assistant_id": "echo", "config": {"configurable": {"checkpoint_id": 5}}}),
        ("run.start", {"assistant_id": "echo", "langsmith_tracer": {"project_name": "p"}}),
        ("input.respond", {}),
        ("input.respond", {"interrupt_id": "x", "response": 1}),
        ("input.respond", {"interrupt_id": "x", "namespace": "no"}),
        ("input.respond", {"responses": []}),
        ("input.respond", {"responses": [1]}),
        ("input.respond", {"responses": [{}]}),
        ("agent.getTree", {}),
        ("subscription.subscribe", {"channels": ["values"]}),
        ("subscription.unsubscribe", {"subscription_id": "x"}),
        ("state.get", {"namespace": []}),
        ("state.listCheckpoints", {}),
        ("state.fork", {"checkpoint_id": str(uuid4())}),
        ("input.inject", {}),
        ("nope", {}),
    ):
        await command(wire, fresh(), method, **params)


async def no_commands(wire: Wire) -> None:
    thread = fresh()
    for body in (
        b"{",
        b"[]",
        b"5",
        b'{"id":"x","method":"nope"}',
        b'{"id":1}',
        b'{"id":1,"method":5}',
        b'{"id":1.5,"method":"nope"}',
        b'{"id":-1,"method":"nope"}',
        b'{"id":4,"method":"nope","params":null}',
    ):
        await wire.post(f"{thread}/commands", body)
    await wire.post("/threads/nope/commands", {"id": 1, "method": "nope"})
    await wire.get(f"{thread}/commands")


BAD_FILTERS: tuple[Any, ...] = (
    b"{",
    b"[]",
    b"{}",
    {"channels": []},
    {"channels": "values"},
    {"channels": ["zz", "values"]},
    {"channels": ["custom:"]},
    {"channels": ["debug"]},
)


async def bad_filters(wire: Wire) -> None:
    thread = fresh()
    for body in BAD_FILTERS:
        await wire.post(f"{thread}/stream/events", body)
    await wire.get(f"{thread}/stream/events")


Play = Callable[[Wire], Awaitable[None]]


def _of(case: Case, channels: Sequence[str], name: str) -> Play:
    async def play(wire: Wire) -> None:
        await graph(wire, case, channels=channels)

    play.__name__ = f"{name}_{case.name}"
    return play


SCENARIOS: tuple[Play, ...] = (
    *(_of(case, CHANNELS, "graph") for case in CASES if case.name in GRAPHS + SUBGRAPHS),
    *(_of(case, OTHERS, "more") for case in CASES if case.name in ("tokens", "subgraph")),
    live,
    answers,
    answers_with_more,
    namespaces,
    runs_of_others,
    custom_of_others,
    cancelled,
    bad_commands,
    no_commands,
    bad_filters,
)
