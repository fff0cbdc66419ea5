"""A proxy that cuts event streams at random bytes and passes everything else.

For any client: `async with Cutter([port, …], cuts=200) as cutter: … cutter.url …`, or as a process
of its own that prints its URL: `python -m tests.cutting 200 PORT…`.
"""

import asyncio
import contextlib
import random
import sys
from typing import Self

import attrs

FRAME, SHORT, LONG = 40, 200, 700
"""Bytes of a body: less than a frame; maybe no whole one; more are never let through."""
HEAD_END = b"\r\n\r\n"


@attrs.define
class Cutter:
    """Each connection goes to the next of the ports that accepts it."""

    ports: list[int]
    cuts: int
    """So many are still to come."""
    heads: bool = True
    """Whether heads are cut, too: then some clients give up that only open a stream."""
    url: str = ""
    streamed: int = 0
    """Bytes of streams' bodies that came through."""
    _turn: int = 0
    _barren: int = 0
    """Cuts in a row that may have let no frame through: clients give up after five."""
    _stack: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())

        def serve(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
            task = group.create_task(self._serve(client, answer))
            self._stack.callback(task.cancel)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._stack.callback(server.close)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(ConnectionError))
            stack.push_async_callback(_close, answer)
            plane, request = await self._connect()
            stack.push_async_callback(_close, request)
            sent = _Sent(request)
            passing = asyncio.create_task(sent.follow(client))
            stack.callback(passing.cancel)
            await self._answer(plane, answer, sent)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises ConnectionError when no plane is there."""
        for _ in self.ports:
            self._turn += 1
            port = self.ports[self._turn % len(self.ports)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        raise ConnectionRefusedError

    async def _answer(
        self, plane: asyncio.StreamReader, answer: asyncio.StreamWriter, sent: "_Sent"
    ) -> None:
        """Pass the plane's bytes, of a stream as many as are to come through."""
        left = None
        while chunk := await plane.read(1 << 16):
            if left is None and b"text/event-stream" in chunk and HEAD_END in chunk:
                head = chunk.index(HEAD_END) + len(HEAD_END)
                left = self._length(head, came_back=sent.comes_back) if self.cuts else sys.maxsize
                self.streamed -= head
            if left is not None and len(chunk) > left and self.cuts:
                self.cuts -= 1
                self.streamed += left
                answer.write(chunk[:left])
                return
            answer.write(chunk)
            await answer.drain()
            if left is not None:
                left -= len(chunk)
                self.streamed += len(chunk)

    def _length(self, head: int, *, came_back: bool) -> int:
        """Who has no `Location` yet could not come back: its head goes through, and no frame."""
        if not came_back:
            self._barren = 1
            return head + random.randrange(FRAME)
        if self.heads and self._barren < 2 and random.random() < 0.1:
            self._barren += 1
            return random.randrange(head)
        body = random.randrange(SHORT if self._barren >= 2 else 0, LONG)
        self._barren = self._barren + 1 if body < SHORT else 0
        return head + body


async def _close(writer: asyncio.StreamWriter) -> None:
    """What was written is still sent."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@attrs.define
class _Sent:
    """What a client sends."""

    request: asyncio.StreamWriter
    comes_back: bool = False

    async def follow(self, client: asyncio.StreamReader) -> None:
        while chunk := await client.read(1 << 16):
            # `Location` has the one, the streaming protocol's clients send the other.
            self.comes_back = b"last_event_id=" in chunk or b'"since":' in chunk
            self.request.write(chunk)
            await self.request.drain()


async def main(cuts: int, *ports: int) -> None:
    async with Cutter([*ports], cuts) as cutter:
        print(cutter.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
