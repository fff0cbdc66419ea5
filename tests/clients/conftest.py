"""The clients' surroundings: packages out of npm's registry, a browser, a server to speak with.

All of it is installed at the first use. What can't be installed skips its tests and names the
command that would.
"""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import attrs
import pytest

from duragraph.embedded import Servers
from tests import npm
from tests.clients.scripts import HERE
from tests.conformance.conftest import NAMES, ROOT, TARGETS, serving
from tests.conftest import TEMPLATE, database_named, statement

BROWSERS = [
    "tests.clients.graphs:ChatGraph",
    "tests.clients.graphs_langgraph:hosted_chat",
    "tests.clients.graphs_langgraph:hosted_agent",
]
CHROMIUM = "apt-get install -y --no-install-recommends chromium"


@pytest.fixture(scope="session")
def packages() -> None:
    """Node, and the packages of `package-lock.json`."""
    npm.install(HERE)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Debian's Chromium; installed where that may be done."""
    if shutil.which("chromium") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip(f"needs Chromium: {CHROMIUM}")
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(CHROMIUM.split(), check=True)
    found = shutil.which("chromium")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def model_port() -> int:
    """Where the test that drives the chat graph is to serve its scripted model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def server_url(servers: Servers, model_port: int) -> Iterator[str]:
    """A plane with the conformance tests' graphs and the browser's."""
    model = f"http://127.0.0.1:{model_port}/"
    with serving(servers, [*TARGETS, *BROWSERS], SCRIPTED_MODEL=model) as url:
        yield url


@pytest.fixture(scope="session", params=["plans", "langgraph"])
def either_url(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    """A plane with the conformance tests' graphs: ours, or their twins as LangGraph has them."""
    if request.param == "plans":
        yield request.getfixturevalue("server_url")
        return
    # Of their own database: the graphs have the same ids.
    asyncio.run(statement(servers.database_url, f"create database twins template {TEMPLATE}"))
    apart = attrs.evolve(servers, database_url=database_named(servers.database_url, "twins"))
    twins = ["--config", str(ROOT / "tests/conformance/langgraph.json")]
    with serving(apart, twins, graphs=len(NAMES)) as url:
        yield url
