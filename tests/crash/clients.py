"""Clients of the unmodified SDK that note all they see, and come back while a server is away."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import httpx
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import InternalServerError, RateLimitError

T = TypeVar("T")

AWAY = (httpx.TransportError, InternalServerError, RateLimitError)
"""What the SDK raises when it has given up on a server that is away."""
AGAIN_SECONDS = 0.2
STEPS = 10
"""Nodes of `Ten`."""


@attrs.define
class Seen:
    """What one client saw of one run, over all its connections."""

    thread_id: str = ""
    run_id: str = ""
    last_event_id: str = "0"
    ids: list[tuple[int, int]] = attrs.field(factory=list)
    trails: list[list[str]] = attrs.field(factory=list)
    custom: list[Any] = attrs.field(factory=list)
    errors: list[Any] = attrs.field(factory=list)
    connections: int = 1
    silences: list[float] = attrs.field(factory=list)
    """Seconds between frames."""
    _at: float = attrs.field(factory=time.monotonic)

    def add(self, part: Any) -> None:
        """Take a part of the stream as the SDK gives it."""
        now = time.monotonic()
        self.silences.append(now - self._at)
        self._at = now
        self.last_event_id = part.id
        ms, _, seq = part.id.partition("-")
        self.ids.append((int(ms), int(seq)))
        if part.event == "metadata":
            self.run_id = part.data["run_id"]
        elif part.event == "values":
            self.trails.append(part.data.get("trail", []))
        elif part.event == "custom":
            self.custom.append(part.data)
        elif part.event == "error":
            self.errors.append(part.data)

    def check_order(self) -> None:
        """Every frame once and in order: the numbers have no gap."""
        sequence = [seq for _, seq in self.ids]
        assert sequence == list(range(1, len(sequence) + 1)), (self.run_id, sequence)
        assert len({ms for ms, _ in self.ids}) == 1, (self.run_id, self.ids)

    def check(self) -> None:
        """That, and every state of a run of `Ten` once and in order."""
        self.check_order()
        lengths = [len(trail) for trail in self.trails]
        final = self.trails[-1] if self.trails else []
        assert not self.errors, (self.run_id, self.errors)
        assert lengths == list(range(STEPS + 1)), (self.run_id, lengths, final)
        assert all(trail == final[: len(trail)] for trail in self.trails), self.trails
        assert [each.partition(":")[0] for each in final] == [f"n{n}" for n in range(STEPS)]


async def begin(
    client: LangGraphClient,
    graph: str,
    ms: list[float],
    **options: Any,
) -> Seen:
    """Start a run on a thread of its own."""
    thread = await client.threads.create()
    asked = {"input": {"ms": ms}, "stream_mode": "values", **options}
    run = await client.runs.create(thread["thread_id"], graph, **asked)
    return Seen(thread["thread_id"], run["run_id"])


async def follow(client: LangGraphClient, seen: Seen) -> None:
    """Join the run's stream behind the last frame seen, as often as it takes to see its end."""
    while True:
        with contextlib.suppress(*AWAY):
            async for part in client.runs.join_stream(
                seen.thread_id, seen.run_id, last_event_id=seen.last_event_id
            ):
                seen.add(part)
            return
        seen.connections += 1
        await asyncio.sleep(AGAIN_SECONDS)


async def until_answered(ask: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
    """The server's answer, asked for again while it is away."""
    while True:
        try:
            return await ask(*args, **options)
        except AWAY:
            await asyncio.sleep(AGAIN_SECONDS)


async def acknowledged_runs(client, over: asyncio.Event, *, follower=None) -> list[Seen]:
    """One run after another, each followed to its end. What is not acknowledged does not count."""
    all_seen = []
    while not over.is_set():
        thread = await until_answered(client.threads.create)
        try:
            run = await client.runs.create(
                thread["thread_id"], "ten", input={"ms": [20, 200]}, stream_mode="values"
            )
        except AWAY:
            continue
        seen = Seen(thread["thread_id"], run["run_id"])
        await follow(follower or client, seen)
        all_seen.append(seen)
    return all_seen


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Raises TimeoutError if it does not come to hold in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - files and processes set no event
            await asyncio.sleep(0.02)
