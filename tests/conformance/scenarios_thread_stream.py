"""Streams of whole threads, and what joins a run's stream by the last event that it says it saw."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.scenarios import new_thread, settled
from tests.conformance.scenarios_runs import ECHO, HANG, QUICK, hanging, in_second_round
from tests.conformance.wire import Flight, Wire

NOBODY = "/threads/00000000-0000-4000-8000-000000000000"
KEPT = {"stream_resumable": True}
OK = 200
PATIENCE = 10


def follow(wire: Wire, thread: str, query: str = "", **headers: str) -> Flight:
    return wire.start("GET", f"{thread}/stream{query}", headers=headers)


async def shows(flight: Flight, count: int, event: str = "") -> None:
    """Wait for so many frames, then leave. What does not come is missing in the recording."""
    try:
        async with asyncio.timeout(PATIENCE):
            while frames(flight, event) < count and not flight.task.done():
                flight.grown.clear()
                await flight.grown.wait()
    except TimeoutError:
        pass
    await flight.hangs_up()


def frames(flight: Flight, event: str) -> int:
    return sum(event in frame.get("event", "") for frame in flight.exchange.frames)


async def begins(flight: Flight) -> None:
    """Wait for the headers of a stream, or for a refusal."""
    await flight.opens()
    if flight.exchange.status == OK:
        await flight.hangs_up()
    else:
        await flight.ends()


async def opened(wire: Wire, thread: str, query: str = "", **headers: str) -> Flight:
    flight = follow(wire, thread, query, **headers)
    await flight.opens()
    # The reference looks for new streams a few times a second.
    await asyncio.sleep(0.3)
    return flight


async def forms(wire: Wire) -> None:
    """What may be asked of a thread's stream; the thread does not exist."""
    for query in (
        "?stream_modes=zz",
        "?stream_modes=lifecycle,zz",
        "?stream_modes=values",
        "?stream_mode=zz",
        "?stream_modes=",
        "?stream_modes=lifecycle",
        "?stream_modes=lifecycle,%20state_update",
        "?stream_modes=%5B%22lifecycle%22%5D",
        "?stream_mode=run_modes",
    ):
        await begins(follow(wire, NOBODY, query))
    for last in ("-1", "-", "0", "1", "1-", "1-0", "1-*", "*", "zzz", "1-1-1", ""):
        await begins(follow(wire, NOBODY, **{"last-event-id": last}))
    await wire.get("/threads/nope/stream")
    await wire.post(f"{NOBODY}/stream", {})


async def live(wire: Wire) -> None:
    """A success, an update of the state, a failure: in every mode."""
    thread = await new_thread(wire)
    flights = [
        (await opened(wire, thread, query), count)
        for query, count in (
            ("", 14),
            ("?stream_modes=lifecycle", 4),
            ("?stream_modes=state_update", 1),
            ("?stream_modes=run_modes,lifecycle,state_update", 15),
        )
    ]
    await wire.post(f"{thread}/runs/wait", {**ECHO, **KEPT})
    await settled(wire, thread)
    await asyncio.sleep(0.3)
    await wire.post(f"{thread}/state", {"values": {"msg": "new"}})
    await asyncio.sleep(0.3)
    bad = {"assistant_id": "error", "input": {"kind": "value"}, "stream_mode": ["values", "tasks"]}
    await wire.post(f"{thread}/runs/wait", bad)
    for flight, count in flights:
        await shows(flight, count)


async def cancelled(wire: Wire) -> None:
    """Runs that are cancelled, rolled back, and cancelled before their turn."""
    for action in ("interrupt", "rollback"):
        thread = await new_thread(wire)
        every, ends = [await opened(wire, thread, q) for q in ("", "?stream_modes=lifecycle")]
        run = await wire.post(f"{thread}/runs", HANG)
        await in_second_round(wire, thread)
        queued = await wire.post(f"{thread}/runs", QUICK)
        await wire.post(f"{thread}/runs/{queued['run_id']}/cancel")
        await wire.post(f"{thread}/runs/{run['run_id']}/cancel?action={action}")
        await settled(wire, thread)
        await asyncio.sleep(0.3)
        await wire.post(f"{thread}/runs/wait", QUICK)
        for flight in (every, ends):
            await shows(flight, 4, "metadata")


async def replayed(wire: Wire) -> None:
    """Behind every kind of id, once all is over."""
    thread = await new_thread(wire)
    for _ in range(2):
        await wire.post(f"{thread}/runs/wait", {**ECHO, **KEPT})
        await settled(wire, thread)
        await asyncio.sleep(0.1)
    whole = await opened(wire, thread, **{"last-event-id": "-"})
    await shows(whole, 10)
    ids = [frame["id"] for frame in whole.exchange.frames]
    second = ids[5].partition("-")[0]
    for last, count in (
        ("0", 10),
        ("1", 10),
        ("1-0", 10),
        (ids[4], 5),
        (second, 5),
        (f"{second}-*", 5),
        ("9999999999999-0", 0),
    ):
        await shows(await opened(wire, thread, **{"last-event-id": last}), count)
    for query, count in (("?stream_modes=lifecycle", 4), ("?stream_modes=state_update", 0)):
        await shows(await opened(wire, thread, query, **{"last-event-id": "-"}), count)


async def joined_by_id(wire: Wire) -> None:
    """A run's stream behind every kind of id, after its end and while it is under way."""
    thread = await new_thread(wire)
    made = await wire.post(f"{thread}/runs", {**ECHO, **KEPT})
    await settled(wire, thread)
    over = f"{thread}/runs/{made['run_id']}/stream"
    whole = await wire.get(over, **{"last-event-id": "-1"})
    ids = [frame["id"] for frame in whole.frames]
    for last in ("-", "0", "0-0", "1", "zzz", "", ids[-1], "9999999999999-0"):
        await wire.get(over, **{"last-event-id": last})
    for query in (
        "?stream_mode=updates",
        "?stream_mode=metadata",
        "?stream_mode=values,updates",
        "?stream_mode=",
        "?stream_mode=nope",
        "?cancel_on_disconnect=yes",
        "?cancel_on_disconnect=maybe",
    ):
        await wire.get(f"{over}{query}", **{"last-event-id": "-1"})
    await wire.get(over.replace("/stream", "/join?cancel_on_disconnect=1"))


async def left(wire: Wire) -> None:
    """Clients that leave, of whom some would have the run cancelled with them."""
    for query, status in (
        ("", "running"),
        ("?cancel_on_disconnect=false", "running"),
        ("?cancel_on_disconnect=0", "running"),
        ("?cancel_on_disconnect=true", "interrupted"),
        ("?cancel_on_disconnect=1", "interrupted"),
    ):
        thread = await new_thread(wire)
        made = await wire.post(f"{thread}/runs", HANG)
        run = f"{thread}/runs/{made['run_id']}"
        await in_second_round(wire, thread)
        joined = wire.start("GET", f"{run}/stream{query}")
        await joined.opens()
        await joined.hangs_up()
        await wire.until(run, has_status(status))
        await wire.get(run)
        if status == "running":
            await wire.post(f"{run}/cancel")
    for body, status in (({}, "running"), ({"on_disconnect": "cancel"}, "interrupted")):
        thread = await new_thread(wire)
        flight, run = await hanging(wire, thread, **body)
        await flight.hangs_up()
        await wire.until(run, has_status(status))
        await wire.get(run)
        if status == "running":
            await wire.post(f"{run}/cancel")


def has_status(status: str) -> Callable[[Any], bool]:
    return lambda run: bool(run.get("status") == status)


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    forms,
    live,
    cancelled,
    replayed,
    joined_by_id,
    left,
)
