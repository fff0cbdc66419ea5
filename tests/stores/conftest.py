"""A store of each vendor: real, in this process or a server of its own, or a fake of its wire."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web

from duragraph_worker.integrations.chroma import Chroma
from duragraph_worker.integrations.pgvector import PgVector
from duragraph_worker.integrations.pinecone import Pinecone
from duragraph_worker.integrations.qdrant import Qdrant
from duragraph_worker.integrations.weaviate import Weaviate
from duragraph_worker.vectors.memory import InMemory
from tests.conftest import database_named, statement
from tests.stores.fake_pinecone import FakePinecone
from tests.stores.fake_qdrant import FakeQdrant

BUILT = (pytest.mark.stores, pytest.mark.timeout(3600))
STORES = (
    "memory",
    "chroma",
    "chroma-server",
    "pgvector",
    "qdrant",
    "qdrant-server",
    "pinecone",
    pytest.param("weaviate", marks=BUILT),
)
SERVERS = {
    "chroma-server": "chroma_port",
    "pgvector": "vector_database",
    "qdrant-server": "qdrant",
    "pinecone": "pinecone",
    "weaviate": "weaviate",
}
"""The fixture that a store needs."""
WEAVIATE = "v1.35.2"
OF_ONE_OBJECT = ("memory", "qdrant")
"""Their documents are those of an object."""
_numbers = count(1)


@pytest.fixture(params=STORES)
def vendor(request):
    return request.param


@pytest.fixture
def make(vendor, request, tmp_path):
    """Makes objects of one new collection, with options of their own."""
    name = f"Handbook{next(_numbers)}"
    server = request.getfixturevalue(SERVERS[vendor]) if vendor in SERVERS else None
    return {
        "memory": lambda **options: InMemory(name, **options),
        "chroma": lambda **options: Chroma(name, path=str(tmp_path), **options),
        "chroma-server": lambda **options: Chroma(name, host="127.0.0.1", port=server, **options),
        "pgvector": lambda **options: PgVector(name, url=server, **options),
        "qdrant": lambda **options: Qdrant(name, location=":memory:", **options),
        "qdrant-server": lambda **options: Qdrant(
            name, url=server.url, check_compatibility=False, **options
        ),
        "pinecone": lambda **options: Pinecone(
            name.lower(), api_key="the-key", host=server.url, **options
        ),
        "weaviate": lambda **options: server(name, **options),
    }[vendor]


@pytest.fixture
def pinecone():
    """In a thread of its own: stores are used on loops that tests make, too."""
    fake = FakePinecone()
    with served(fake.app) as fake.url:
        yield fake


@pytest.fixture
def qdrant():
    """In a thread of its own, as `pinecone`."""
    fake = FakeQdrant()
    with served(fake.app) as fake.url:
        yield fake


@pytest.fixture(scope="session")
def vector_database(servers):
    asyncio.run(statement(servers.database_url, "create database vectors"))
    return database_named(servers.database_url, "vectors")


@pytest.fixture(scope="session")
def chroma_port(tmp_path_factory, unused_tcp_port_factory):
    """`chroma run`, which is also told where to listen."""
    port = unused_tcp_port_factory()
    folder = tmp_path_factory.mktemp("chroma")
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", folder]
    with running([*command, "--port", str(port)], f"http://127.0.0.1:{port}/api/v2/heartbeat", {}):
        yield port


@pytest.fixture(scope="session")
def weaviate(request, tmp_path_factory, unused_tcp_port_factory):
    """Makes stores on a server that Go builds, the first time in minutes."""
    built = request.config.cache.mkdir("weaviate")
    package = f"github.com/weaviate/weaviate/cmd/weaviate-server@{WEAVIATE}"
    subprocess.run(["go", "install", package], env={**os.environ, "GOBIN": str(built)}, check=True)
    port, grpc, gossip, data, raft, raft_rpc = (unused_tcp_port_factory() for _ in range(6))
    settings = {
        "PERSISTENCE_DATA_PATH": tmp_path_factory.mktemp("weaviate"),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "GRPC_PORT": grpc,
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": gossip,
        "CLUSTER_DATA_BIND_PORT": data,
        "RAFT_PORT": raft,
        "RAFT_INTERNAL_RPC_PORT": raft_rpc,
        "RAFT_BOOTSTRAP_EXPECT": 1,
    }
    command = [built / "weaviate-server", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running([*command, "--scheme", "http"], f"{url}/v1/.well-known/ready", settings):
        yield partial(Weaviate, url=url, grpc_url=f"http://127.0.0.1:{grpc}")


@contextmanager
def running(command, ready, settings):
    """A server, from when it answers at `ready` until the end."""
    environment = os.environ | {name: str(value) for name, value in settings.items()}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            asyncio.run(asyncio.wait_for(answered(ready), 60))
            yield
        finally:
            server.terminate()


@contextmanager
def served(app):
    """An aiohttp application on a loop and in a thread of its own; its URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app)

    async def start():
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(loop.run_until_complete, start()).result()
        running = thread.submit(loop.run_forever)
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        loop.call_soon_threadsafe(loop.stop)
        running.result()
        thread.submit(loop.run_until_complete, runner.cleanup()).result()
    loop.close()


async def answered(url):
    """Once a server answers 200."""
    async with ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except ClientError:
                await asyncio.sleep(0.05)
