"""How late a model's tokens reach a client through plane and worker, beside the graph alone.

    python benchmarks/tokens.py     # --streams 16 --tokens 300 --rounds 5

A fake provider sends a token every 10 ms, and says in it when. Both ways are taken in turns, by
this process: the delay at 50 and at 95 % of all tokens, from the provider to who reads the stream.
The clock is the machine's, so that all of it runs on one.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop
from graphs import paced
from hosting import System, system

ALLOWED_RATIO, ALLOWED_MS = 2, 5


def given(tokens: int) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": str(tokens)}]}


def delay(content: str) -> float:
    """Seconds since it was sent; of several tokens in one, since the first."""
    return (time.monotonic_ns() - int(content.split(maxsplit=1)[0])) / 1e9


async def alone(tokens: int) -> AsyncIterator[float]:
    async for part in paced().stream(given(tokens), stream_mode="messages-tuple"):
        if content := part.data[0]["content"]:
            yield delay(content)


async def through(system: System, tokens: int) -> AsyncIterator[float]:
    body = {"assistant_id": "paced", "input": given(tokens), "stream_mode": ["messages-tuple"]}
    url = f"{system.url}/threads/{await system.thread()}/runs/stream"
    async with system.http.post(url, json=body) as response:
        async for line in response.content:
            if line.startswith(b"data: [") and (content := json.loads(line[6:])[0]["content"]):
                yield delay(content)


async def delays(streams: list[AsyncIterator[float]], tokens: int) -> tuple[float, float]:
    """In ms, at 50 and at 95 %. Raises RuntimeError if a token is missing."""

    async def read(stream: AsyncIterator[float]) -> list[float]:
        return [late async for late in stream]

    late = sorted(each for found in await asyncio.gather(*map(read, streams)) for each in found)
    if len(late) != tokens * len(streams):
        raise RuntimeError(f"{len(late)} tokens of {tokens * len(streams)} came")
    return late[len(late) // 2] * 1e3, late[len(late) * 95 // 100] * 1e3


async def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in {"streams": 16, "tokens": 300, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    here: list[float] = []
    there: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        async with system(Path(home), "benchmarks.graphs:paced") as started:
            for _ in range(asked.rounds):
                for name, found, stream in (
                    ("alone", here, lambda: alone(asked.tokens)),
                    ("plane", there, lambda: through(started, asked.tokens)),
                ):
                    many = [stream() for _ in range(asked.streams)]
                    middle, most = await delays(many, asked.tokens)
                    found.append(most)
                    print(f"{name}: p50 {middle:.2f} ms, p95 {most:.2f} ms", flush=True)
    ours, theirs = statistics.median(there), statistics.median(here)
    allowed = ALLOWED_RATIO * theirs + ALLOWED_MS
    print(f"p95 {ours:.2f} ms beside {theirs:.2f} ms alone; allowed are {allowed:.2f} ms")


if __name__ == "__main__":
    uvloop.run(main())
