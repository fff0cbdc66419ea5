"""Knowledge graphs: real servers, made from what npm, Maven and Debian have, and Neptune's wire."""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from duragraph_worker.integrations.age import ApacheAGE
from duragraph_worker.integrations.neo4j import Neo4j
from duragraph_worker.integrations.neptune import Neptune
from tests.stores.conftest import served
from tests.stores.knowledge.fake_neptune import FakeNeptune

HERE = Path(__file__).parent
STORES = ("age", "age-postgresql", "neo4j", "neptune")
CREDENTIALS = {
    "region_name": "eu-west-1",
    "aws_access_key_id": "the-id",
    "aws_secret_access_key": "the-secret",
}
# PGlite has one session for all its clients.
PGLITE = {"ssl": False, "max_size": 1, "statement_cache_size": 0}
# A server may have those of an earlier run.
_numbers = count(int(time.time()))
_kept = []


def kept(graph):
    """The same, which outlives its loop: that closes its connections in good order."""
    _kept.append(graph)
    return graph


@pytest.fixture(params=STORES)
def vendor(request):
    return request.param


@pytest.fixture
def make(vendor, request):
    """Makes objects of one empty graph."""
    server = request.getfixturevalue(vendor.replace("-", "_"))
    name = f"people{next(_numbers)}"
    of = {
        "age": lambda: ApacheAGE(name, url=server, **PGLITE),
        "age-postgresql": lambda: ApacheAGE(name, url=server),
        "neo4j": lambda: Neo4j(server),
        "neptune": lambda: Neptune(server.url, **CREDENTIALS),
    }[vendor]
    return lambda: kept(of())


@pytest.fixture
async def graph(make):
    return make()


@pytest.fixture(scope="session")
def age():
    """Apache AGE in Node."""
    needed("node", "npm")
    if not (HERE / "node_modules/.package-lock.json").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    with listening(["node", "age.mjs"]) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture(scope="session")
def age_postgresql():
    """A PostgreSQL server that has Apache AGE, as `DURAGRAPH_TEST_AGE` says where."""
    if (url := os.environ.get("DURAGRAPH_TEST_AGE")) is None:
        pytest.skip("needs a server with Apache AGE, its URL in DURAGRAPH_TEST_AGE")
    return url


@pytest.fixture(scope="session")
def neo4j_server(request):
    needed("java", "mvn")
    jars = request.config.cache.mkdir("neo4j-5.26.0")
    if not (jars / "complete").exists():
        copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        subprocess.run(copy, cwd=HERE, check=True)
        (jars / "complete").touch()
    with listening(["java", "-cp", f"{jars}/*", "Serve.java"]) as url:
        yield url


@pytest.fixture
async def neo4j(neo4j_server):
    """Emptied: its community edition has one database."""
    await kept(Neo4j(neo4j_server)).query("MATCH (n) DETACH DELETE n")
    return neo4j_server


@pytest.fixture
def wire():
    """Neptune's, with nobody behind it."""
    fake = FakeNeptune()
    with served(fake.app) as fake.url:
        yield fake


@pytest.fixture
def neptune(wire, neo4j):
    wire.engine = kept(Neo4j(neo4j, constraints=False))
    return wire


def needed(*commands):
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command} on the PATH")


@contextmanager
def listening(command):
    """A server that says where it listens and ends with its standard input."""
    with subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            yield next(iter(server.stdout)).strip()
        finally:
            server.stdin.close()
            server.wait(60)
