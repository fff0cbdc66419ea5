"""A thousand events through two hundred cuts, on planes that die meanwhile: each once (I8).

What `tests/crash/test_cuts.py` does for the Python SDK, through each line of the JavaScript one.
"""

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE, Process
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clients.javascript import LINES
from tests.clients.scripts import HERE
from tests.crash import conftest
from tests.crash.test_cuts import CUTS, EVENTS, RUN, kill_in_turn
from tests.cutting import Cutter

pytestmark = [
    pytest.mark.clients,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("packages"),
]

start_cluster = conftest.start_cluster


async def test_each_event_arrives_once_and_in_order(start_cluster: Any) -> None:
    async with start_cluster(planes=2, workers=1) as cluster, contextlib.AsyncExitStack() as stack:
        ports = [urlsplit(plane.url).port for plane in cluster.planes]
        cutters = [await stack.enter_async_context(Cutter(ports, CUTS)) for _ in LINES]
        scripts = [await follow(line, cutter) for line, cutter in zip(LINES, cutters, strict=True)]
        first = [await script.stdout.readline() for script in scripts if script.stdout]
        following: list[Any] = [asyncio.ensure_future(script.communicate()) for script in scripts]
        await kill_in_turn(cluster, following, cutters)
        for line, cutter, start, (rest, _) in zip(
            LINES, cutters, first, await asyncio.gather(*following), strict=True
        ):
            *parts, end = map(json.loads, (start + rest).splitlines())
            check(parts)
            assert cutter.cuts == 0
            assert end["calls"] == 1 or line == "langgraph-sdk-2"


async def follow(line: str, cutter: Cutter) -> Process:
    command = ["node", "follow.mjs", line, cutter.url, "tokens", json.dumps(RUN["input"])]
    return await asyncio.create_subprocess_exec(*command, cwd=HERE, stdout=PIPE)


def check(parts: list[Any]) -> None:
    numbers = [part["data"]["n"] for part in parts if part["event"] == "custom"]
    assert numbers == list(range(EVENTS))
    marks = [int(part["id"].partition("-")[2]) for part in parts]
    assert marks == list(range(1, len(marks) + 1))
