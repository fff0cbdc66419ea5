"""The second table of `docs/errors.md`: each bad node gets its end, and its worker serves on."""

import asyncio
import contextlib
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs/errors.md"
GRAPHS = Path(__file__).with_name("bad_nodes.py")
CLASSES = ("Raises", "RaisesItsOwn", "ReturnsAList", "ReturnsAnObject", "Blocks", "Exits", "Good")
SLOW = {"blocks": 90, "exits": 60}
"""Seconds that these may take."""


def rows():
    table = DOCS.read_text().partition("## Bad nodes and what they get")[2]
    return re.findall(r"^\| `([\w-]+)` \| .*? \| (\w+) \|([^|]*)\|$", table, re.MULTILINE)


def cases():
    for graph, status, error in rows():
        marks = [pytest.mark.slow, pytest.mark.timeout(150)] if graph in SLOW else []
        yield pytest.param(graph, status, error.strip(" `"), id=graph, marks=marks)


@contextlib.asynccontextmanager
async def worker(url):
    """A worker process, started again whenever it ends, as an orchestrator would."""
    targets = [f"{GRAPHS}:{name}" for name in CLASSES]
    command = [sys.executable, "-m", "duragraph_worker", *targets, "--url", url]
    stopped = False
    process = None

    async def keep(serving):
        nonlocal process
        while not stopped:
            process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE)
            async for line in process.stderr:
                if b"serving" in line:
                    serving.set()
            await process.wait()

    serving = asyncio.Event()
    keeping = asyncio.ensure_future(keep(serving))
    try:
        async with asyncio.timeout(20):
            await serving.wait()
        yield
    finally:
        stopped = True
        process.kill()
        await keeping


async def wait(plane, graph, seconds=15):
    thread = (await plane.post("/threads", {})).json["thread_id"]
    body = {"assistant_id": graph, "input": {"asked": True}}
    async with asyncio.timeout(seconds):
        answer = await plane.post(f"/threads/{thread}/runs/wait", body)
    (run,) = (await plane.get(f"/threads/{thread}/runs")).json
    return answer.json, run["status"], (await plane.get(f"/threads/{thread}")).json["status"]


@pytest.mark.parametrize(("graph", "status", "error"), list(cases()))
async def test_a_bad_node_ends_as_the_docs_say(plane, graph, status, error):
    async with worker(plane.url):
        result, ended, thread = await wait(plane, graph, SLOW.get(graph, 15))
        assert ended == status
        if error:
            name, _, message = error.partition(": ")
            assert result["__error__"]["error"] == name
            assert message in result["__error__"]["message"]
            assert thread == "error"
        assert (await wait(plane, "good"))[0]["done"] is True


def test_every_graph_has_a_row():
    ids = set(re.findall(r'@Graph\(id="([\w-]+)"\)', GRAPHS.read_text())) - {"good"}
    assert {graph for graph, _, _ in rows()} == ids
