"""One plane and one worker for all conformance tests, as `duragraph dev` starts them."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client

from duragraph.embedded import Servers
from tests.conformance.normal import GRAPHS

ROOT = Path(__file__).parents[2]
NAMES = ("Echo", "FanOut", "Router", "Cycle", "Interrupt", "Error", "Tokens", "Subgraph")
TARGETS = [f"tests.conformance.graphs:{name}Graph" for name in NAMES]
BANNER = re.compile(r"API +(http://\S+)")
START_SECONDS = 30


@pytest.fixture(scope="session")
def server_url(servers: Servers) -> Iterator[str]:
    """The address, once the worker has registered every graph."""
    command = [sys.executable, "-m", "duragraph", "dev", *TARGETS, "--port", "0"]
    urls = ["--database-url", servers.database_url, "--nats-url", servers.nats_url]
    with subprocess.Popen([*command, *urls], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = next(found[1] for line in server.stdout if (found := BANNER.search(line)))
            wait_for_graphs(url)
            yield url
        finally:
            server.terminate()
            server.communicate(timeout=START_SECONDS)


def wait_for_graphs(url: str) -> None:
    """Raises AssertionError when the worker does not register them in time."""
    end = time.monotonic() + START_SECONDS
    with get_sync_client(url=url) as client:
        while client.assistants.count(metadata={"created_by": "system"}) < len(GRAPHS):
            assert time.monotonic() < end, "the worker did not register its graphs"
            time.sleep(0.05)
