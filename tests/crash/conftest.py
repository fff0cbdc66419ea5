"""A whole system of processes for each test, in a directory of its own."""

import contextlib
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import attrs
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.crash import processes
from tests.crash.processes import Plane, Process

_ERROR = re.compile(r'"level": "(error|critical)"|Traceback|Warning:|^duragraph')
_ON_PURPOSE = "on purpose"
"""What graphs say where failing is what they are for."""


@attrs.define
class Cluster:
    home: Path
    database_url: str
    postgres: Process
    nats: Process
    planes: list[Plane]
    graphs: Sequence[str] = processes.GRAPHS
    workers: list[Process] = attrs.field(factory=list)
    _stack: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)

    @property
    def side_log(self) -> Path:
        return self.home / "side.log"

    async def add_worker(self, plane: int = 0, *, slots: int = 12) -> Process:
        log = self.home / f"worker{len(self.workers)}.log"
        told = {"url": self.planes[plane].url, "side_log": self.side_log, "graphs": self.graphs}
        worker = processes.new_worker(log, **told, slots=slots)
        self._stack.push_async_callback(worker.stop)
        self.workers.append(await worker.start())
        return worker

    def client(self, plane: int = 0) -> LangGraphClient:
        client = get_client(url=self.planes[plane].url)
        self._stack.push_async_callback(client.aclose)
        return client

    def check_logs(self) -> None:
        """What was killed is news; that a program of ours erred, or did not foresee it, is not."""
        for log in (*self.home.glob("plane*.log"), *self.home.glob("worker*.log")):
            lines = log.read_text().splitlines()
            bad = [each for each in lines if _ERROR.search(each) and _ON_PURPOSE not in each]
            assert not bad, (log.name, len(bad), bad[0][:2000])


Start = Callable[..., "contextlib.AbstractAsyncContextManager[Cluster]"]


@pytest.fixture
def start_cluster(tmp_path_factory) -> Start:
    """Start PostgreSQL, NATS, planes with the settings given, and workers."""

    @contextlib.asynccontextmanager
    async def start(
        planes: int = 1,
        workers: int = 2,
        slots: int = 12,
        graphs: Sequence[str] = processes.GRAPHS,
        **settings: object,
    ) -> AsyncIterator[Cluster]:
        home = tmp_path_factory.mktemp("c")
        async with contextlib.AsyncExitStack() as stack:
            postgres, database_url = processes.new_postgres(home / "pg")
            nats, nats_url = processes.new_nats(home / "nats")
            urls = {"database_url": database_url, "nats_url": nats_url}
            made = [
                processes.new_plane(home / f"plane{n}.log", **urls, **settings)
                for n in range(planes)
            ]
            for process in (postgres, nats, *made):
                stack.push_async_callback(process.stop)
                await process.start()
            cluster = Cluster(home, database_url, postgres, nats, made, graphs)
            await stack.enter_async_context(cluster._stack)
            for n in range(workers):
                await cluster.add_worker(n % planes, slots=slots)
            yield cluster
            cluster.check_logs()

    return start


@pytest.fixture(autouse=True)
def _moments() -> None:
    """Each time the moments are others; CRASH_SEED brings back those of a run that failed."""
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(1 << 30))
    random.seed(seed)
    print(f"CRASH_SEED={seed}")
