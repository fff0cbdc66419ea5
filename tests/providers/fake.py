"""A server that speaks the vendors' wires from a script, and misbehaves when the script says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from tests.providers.wires import WIRES, Reply


@attrs.frozen
class Refuses:
    """An error in place of a reply."""

    status: int
    why: str = "no"
    retry_after: str | None = "0.01"


@attrs.frozen
class Drops:
    """The connection is closed before anything is said."""


@attrs.frozen
class Breaks:
    """A stream that ends after `after` frames; `clean` as if it were whole."""

    reply: Reply
    after: int = 3
    clean: bool = False


@attrs.frozen
class Garbles:
    """A reply with something unreadable in it."""

    reply: Reply
    after: int = 3


@attrs.frozen
class Fails:
    """A stream in which the vendor says that something went wrong."""

    reply: Reply
    after: int = 3


@attrs.frozen
class Hangs:
    """A reply that stops coming, until the client leaves."""

    reply: Reply
    after: int = 3


@attrs.frozen
class Waits:
    """A stream that goes on after `after` frames once the test says so."""

    reply: Reply
    heard: asyncio.Event
    after: int = 3


Line = (
    Reply
    | Refuses
    | Drops
    | Breaks
    | Garbles
    | Fails
    | Hangs
    | Waits
    | list[bytes]
    | dict[str, Any]
)


@attrs.define(eq=False)
class Fake:
    """One vendor's server. A line of the script answers one request."""

    name: str
    script: list[Line] = attrs.field(factory=list)
    asked: list[dict[str, Any]] = attrs.field(factory=list)
    headers: list[dict[str, str]] = attrs.field(factory=list)
    hanging: asyncio.Event = attrs.field(factory=asyncio.Event)
    left: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when a client closes a connection on which a reply hangs."""
    url: str = ""

    @property
    def wire(self) -> Any:
        return WIRES[self.name]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if not self.script:
            return web.json_response(self.wire.refusal(418, "the script is over"), status=418)
        line = self.script.pop(0)
        if isinstance(line, Refuses):
            headers = {"Retry-After": line.retry_after} if line.retry_after else {}
            refusal = self.wire.refusal(line.status, line.why)
            return web.json_response(refusal, status=line.status, headers=headers)
        if isinstance(line, Drops):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        # Ollama streams unless it is told not to.
        if body.get("stream", self.name == "ollama"):
            return await self._stream(request, line)
        return await self._whole(request, line)

    async def _whole(self, request: web.Request, line: Line) -> web.StreamResponse:
        if isinstance(line, dict):
            return web.json_response(line)
        if isinstance(line, Garbles | Breaks):
            whole = web.json_response(self.wire.whole(line.reply)).body
            assert isinstance(whole, bytes)
            half = whole[: len(whole) // 2]
            if isinstance(line, Garbles):
                return web.Response(body=half, content_type="application/json")
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(whole)
            await response.prepare(request)
            await response.write(half)
            assert request.transport is not None
            request.transport.abort()
            return response
        if isinstance(line, Hangs):
            await self._hang()
        assert isinstance(line, Reply)
        return web.json_response(self.wire.whole(line))

    async def _stream(self, request: web.Request, line: Line) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": self.wire.content_type})
        await response.prepare(request)
        assert not isinstance(line, dict | Refuses | Drops)
        plain = self.wire.frames(line) if isinstance(line, Reply) else line
        frames = plain if isinstance(plain, list) else self.wire.frames(plain.reply)
        after = len(frames) if isinstance(line, Reply | list) else line.after
        for frame in frames[:after]:
            await response.write(frame)
        rest = frames[after:]
        match line:
            case Breaks(clean=clean):
                rest = []
                if not clean:
                    assert request.transport is not None
                    request.transport.abort()
            case Garbles():
                rest = [self.wire.garbage, *rest]
            case Fails():
                rest = [self.wire.failing("overloaded")]
            case Hangs():
                await self._hang()
            case Waits(heard=heard):
                await asyncio.wait_for(heard.wait(), timeout=5)
        for frame in rest:
            await response.write(frame)
        return response

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


@asynccontextmanager
async def serving(fake: Fake, *, port: int = 0) -> AsyncIterator[Fake]:
    """The fake at `fake.url`, on a free port unless told one.

    Handlers are cancelled as their clients leave.
    """
    app = web.Application()
    app.router.add_post(fake.wire.path, fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
