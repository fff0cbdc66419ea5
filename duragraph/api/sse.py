"""A run as Server-Sent Events, or as the one JSON value its waiting client gets.

Keep-alives every 5 s: clients take a longer silence for a dead connection. A body that can't
be finished is cut, never ended: a clean end would read as the end of the run.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeAlias

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from duragraph import codec
from duragraph.api.io import Call
from duragraph.api.middleware import cors, id_of
from duragraph.deps import DEPS
from duragraph.errors import Gone
from duragraph.frames import Batch, frame
from duragraph.models import Run

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 5.0
NEVER = 1e9
STALLED_SECONDS = 45.0
"""A client that takes nothing for so long is cut; it reconnects where it was."""

Open: TypeAlias = dict[asyncio.Transport, tuple[web.StreamResponse, bytes | None]]

OPEN = web.AppKey("open", Open)
"""Connections whose response is under way, with what keeps each alive if it doesn't itself."""

Keep = Callable[[str], bool]


async def stream(
    call: Call, batches: AsyncIterator[Batch], headers: dict[str, str], keep: Keep | None = None
) -> web.StreamResponse:
    """Answer with the frames; `keep` picks events by name. No end frame: the body just ends."""
    encoded = (batch.sse() if keep is None else _kept(batch, keep) async for batch in batches)
    return await written(call, encoded, headers)


async def written(
    call: Call, frames: AsyncIterator[bytes], headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with frames that are encoded already."""
    response = EventSourceResponse(
        allow_all_methods=True, send_timeout=STALLED_SECONDS, ping_interval=NEVER
    )
    response.headers.update(
        {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        | headers
        | cors(call.request, call.deps.config)
    )
    await response.prepare(call.request)
    with begun(call.request, response, b": heartbeat\r\n\r\n"):
        async with response:
            try:
                async for encoded in frames:
                    if encoded:
                        async with asyncio.timeout(STALLED_SECONDS):
                            await response.write(encoded)
            except Gone as error:
                told = {"error": "Gone", "message": error.message, "code": error.code}
                await response.write(b"event: error\r\ndata: %b\r\n\r\n" % codec.dumps(told))
    return response


async def value(
    call: Call, result: Awaitable[bytes], headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with one JSON value once it is there, a newline every 5 s before it."""
    response = web.StreamResponse(headers=headers | cors(call.request, call.deps.config))
    response.content_type = "application/json"
    await response.prepare(call.request)
    with begun(call.request, response, b"\n"):
        body = await result
    await response.write_eof(body)
    return response


@asynccontextmanager
async def while_connected(call: Call, run: Run, *, cancel: bool) -> AsyncIterator[None]:
    """With `cancel`, the run ends when the peer closes."""
    try:
        yield
    except (asyncio.CancelledError, ConnectionError):
        if cancel:
            await call.deps.cancels.abandon(call.organization_id, run.thread_id, run.run_id)
        raise


@contextmanager
def begun(request: web.Request, response: web.StreamResponse, beat: bytes | None) -> Iterator[None]:
    """While a response is under way: kept alive, and cut on any error."""
    connection = request.transport
    if connection is None:
        raise ConnectionResetError
    if request.app[DEPS].streams.closing:
        connection.abort()  # as those that were open have been: their handlers are cancelled
    request.app[OPEN][connection] = response, beat
    try:
        yield
    except BaseException as error:
        # Cancelled, too: a body that ended cleanly would read as the end of the run.
        log.info("response cut", request_id=id_of(request), path=request.path, cause=repr(error))
        connection.abort()
        raise
    finally:
        del request.app[OPEN][connection]


async def keep_alive(app: web.Application) -> None:
    """One beat for all, where nothing waits to be sent already; to be supervised."""
    while True:
        await asyncio.sleep(KEEP_ALIVE_SECONDS)
        for connection, (response, beat) in list(app[OPEN].items()):
            if beat is None or connection.is_closing() or connection.get_write_buffer_size():
                continue
            with suppress(ConnectionError):  # its own handler hears of it
                await response.write(beat)


def cut_all(app: web.Application) -> None:
    """At a shutdown: clients reconnect, to another replica or to this one when it is back."""
    under_way = app[OPEN]
    for connection in list(under_way):
        connection.abort()


def _kept(batch: Batch, keep: Keep) -> bytes:
    return b"".join(
        frame(event, data, f"{batch.ms}-{seq}")
        for seq, event, data in batch.shown()
        if keep(event.partition("|")[0])
    )
