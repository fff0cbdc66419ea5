"""One plane and one worker for all conformance tests, as `duragraph dev` starts them."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from langgraph_sdk import get_client, get_sync_client

from duragraph.embedded import Servers
from tests.conformance.sdk_cases import Threaded
from tests.conftest import TEMPLATE, database_named, statement

ROOT = Path(__file__).parents[2]
NAMES = ("Echo", "FanOut", "Router", "Cycle", "Interrupt", "Error", "Tokens", "Subgraph", "Nested")
TARGETS = [f"tests.conformance.graphs:{name}Graph" for name in NAMES]
BANNER = re.compile(r"API +(http://\S+)")
START_SECONDS = 30


@pytest.fixture(scope="session")
def server_url(servers: Servers) -> Iterator[str]:
    """The address, once the worker has registered every graph."""
    with serving(servers, TARGETS) as url:
        yield url


@pytest.fixture(params=["async", "sync"])
async def client(server_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The official client, in each of its two forms."""
    if request.param == "async":
        async with get_client(url=server_url) as client:
            yield client
    else:
        with get_sync_client(url=server_url) as client:
            yield Threaded(client)


@pytest.fixture(scope="session")
def documented_url(servers: Servers) -> Iterator[str]:
    """The address of a server of the graphs in `documented/`, with a database of its own."""
    project = ROOT / "tests" / "conformance" / "documented" / "langgraph.json"
    graphs = len(json.loads(project.read_text())["graphs"])
    asyncio.run(statement(servers.database_url, f"create database documented template {TEMPLATE}"))
    own = attrs.evolve(servers, database_url=database_named(servers.database_url, "documented"))
    with serving(own, ["--config", str(project)], graphs=graphs) as url:
        yield url


@contextmanager
def serving(
    servers: Servers, targets: list[str], *, graphs: int | None = None, **environ: str
) -> Iterator[str]:
    """`duragraph dev` with these graphs, one a target unless it is said how many there are.

    Raises AssertionError when they are not registered.
    """
    command = [sys.executable, "-m", "duragraph", "dev", *targets, "--port", "0"]
    urls = ["--database-url", servers.database_url, "--nats-url", servers.nats_url]
    with subprocess.Popen(
        [*command, *urls], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | environ
    ) as server:
        assert server.stdout is not None
        try:
            url = next(found[1] for line in server.stdout if (found := BANNER.search(line)))
            wait_for_graphs(url, len(targets) if graphs is None else graphs)
            yield url
        finally:
            server.terminate()
            server.communicate(timeout=START_SECONDS)


def wait_for_graphs(url: str, count: int) -> None:
    """Raises AssertionError when the worker does not register them in time."""
    end = time.monotonic() + START_SECONDS
    with get_sync_client(url=url) as client:
        while client.assistants.count(metadata={"created_by": "system"}) < count:
            assert time.monotonic() < end, "the worker did not register its graphs"
            time.sleep(0.05)
