"""Speaks raw HTTP to a server and keeps what was said, in the order in which calls began.

Knows bytes, headers and SSE framing; ids and times are `normal.py`'s business. Nothing here
judges an answer: a refused connection or a timeout is recorded like any other.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import attrs

KEPT_HEADERS = (
    "allow",
    "cache-control",
    "content-location",
    "content-type",
    "location",
    "transfer-encoding",
    "x-accel-buffering",
    "x-pagination-next",
    "x-pagination-total",
)
CORS_HEADERS = "access-control-"
HEARTBEAT = b": heartbeat\r\n\r\n"
TIMEOUT = aiohttp.ClientTimeout(total=20)


class UnexpectedError(Exception):
    """The scenario can't go on from the answer that the server gave."""


@attrs.define
class Exchange:
    """One call and its answer, as they were on the wire. `body` grows while it streams."""

    method: str
    path: str
    sent: Any
    status: int = 0
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytearray = attrs.field(factory=bytearray)
    failure: str | None = None

    @property
    def json(self) -> Any:
        """The answer's JSON. Raises UnexpectedError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnexpectedError(
                f"{self.method} {self.path}: {self.status} without JSON"
            ) from None

    def __getitem__(self, key: str) -> Any:
        answer = self.json
        if not isinstance(answer, dict) or key not in answer:
            raise UnexpectedError(f"{self.method} {self.path}: {self.status} without {key}")
        return answer[key]

    @property
    def frames(self) -> list[dict[str, str]]:
        return [frame for block in blocks(bytes(self.body)) if (frame := fields(block))]


def blocks(body: bytes) -> list[str]:
    return re.split(r"\r\n\r\n|\n\n|\r\r", body.decode())


def fields(block: str) -> dict[str, str]:
    lines = [line for line in re.split(r"\r\n|\n|\r", block) if line and not line.startswith(":")]
    return dict(line.split(": ", 1) if ": " in line else (line, "") for line in lines)


def is_canonical(body: bytes) -> bool:
    """Whether these are exactly the bytes that the contract gives frames: CRLF, `id` last."""
    built = b"".join(canonical(fields(block)) for block in blocks(body))
    return built == body.replace(HEARTBEAT, b"")


def canonical(frame: dict[str, str]) -> bytes:
    lines = [f"{name}: {frame[name]}\r\n" for name in ("event", "data", "id") if name in frame]
    return f"{''.join(lines)}\r\n".encode() if lines else b""


@attrs.define
class Flight:
    """A call under way."""

    exchange: Exchange
    task: "asyncio.Task[None]"
    grown: asyncio.Event

    async def opens(self) -> None:
        """Wait for the answer's headers."""
        while not self.exchange.status and not self.task.done():
            self.grown.clear()
            await self.grown.wait()

    async def tells(self, text: str) -> None:
        """Wait until the answer has that text, or has ended."""
        while text.encode() not in self.exchange.body and not self.task.done():
            self.grown.clear()
            await self.grown.wait()

    async def falls_silent(self, seconds: float) -> None:
        """Wait until the answer has not grown for so long, or has ended."""
        with suppress(TimeoutError):
            while not self.task.done():
                self.grown.clear()
                await asyncio.wait_for(self.grown.wait(), seconds)

    async def ends(self) -> Exchange:
        await self.task
        return self.exchange

    async def hangs_up(self) -> None:
        """Close the connection from the client's side."""
        self.task.cancel()
        await asyncio.wait([self.task])


@attrs.define
class Wire:
    """One scenario's conversation with one server."""

    session: aiohttp.ClientSession
    exchanges: list[Exchange] = attrs.field(factory=list)

    def start(
        self, method: str, path: str, sent: Any = None, *, headers: dict[str, str] | None = None
    ) -> Flight:
        """Begin a call; `sent` is JSON, or bytes that go as they are."""
        exchange = Exchange(method, path, sent)
        self.exchanges.append(exchange)
        grown = asyncio.Event()
        reading = self._read(exchange, headers or {}, grown.set)
        return Flight(exchange, asyncio.create_task(reading), grown)

    async def call(
        self, method: str, path: str, sent: Any = None, *, headers: dict[str, str] | None = None
    ) -> Exchange:
        return await self.start(method, path, sent, headers=headers).ends()

    async def get(self, path: str, **headers: str) -> Exchange:
        return await self.call("GET", path, headers=headers)

    async def post(self, path: str, sent: Any = None) -> Exchange:
        return await self.call("POST", path, sent)

    async def patch(self, path: str, sent: Any = None) -> Exchange:
        return await self.call("PATCH", path, sent)

    async def delete(self, path: str, sent: Any = None) -> Exchange:
        return await self.call("DELETE", path, sent)

    async def until(self, path: str, holds: Callable[[Any], bool], *, seconds: float = 15) -> None:
        """Ask, unrecorded, until the answer's JSON is as wanted. Raises UnexpectedError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            async with self.session.get(path) as response:
                if holds(await response.json()):
                    return
            await asyncio.sleep(0.05)
        raise UnexpectedError(f"{path}: not as wanted within {seconds} s")

    async def _read(
        self, exchange: Exchange, headers: dict[str, str], grew: Callable[[], None]
    ) -> None:
        data, sent = None, exchange.sent
        if sent is not None:
            data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            headers = {"content-type": "application/json", **headers}
        try:
            async with self.session.request(
                exchange.method, exchange.path, data=data, headers=headers, allow_redirects=False
            ) as response:
                exchange.status = response.status
                exchange.headers = dict(kept(response.headers, "origin" in headers))
                grew()
                async for chunk in response.content.iter_any():
                    exchange.body += chunk
                    grew()
        except (aiohttp.ClientError, TimeoutError) as error:
            exchange.failure = type(error).__name__
        finally:
            grew()


def kept(headers: Any, cors: bool) -> list[tuple[str, str]]:
    """The headers that are compared; CORS ones only where the call had an origin."""
    names = [(name.lower(), value) for name, value in headers.items()]
    wanted = [
        (name, value)
        for name, value in names
        if name in KEPT_HEADERS or (cors and name.startswith(CORS_HEADERS))
    ]
    return sorted(wanted)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    # Every call has a connection of its own: a server may close one after it failed.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(url, connector=connector, timeout=TIMEOUT) as session:
        yield session
