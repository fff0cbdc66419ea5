"""LangGraph graphs on a real plane: `serve` starts a worker for them, `client` is LangGraph's."""

import asyncio
import contextlib

import pytest

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[langgraph]'")

from langgraph_sdk import get_client

from duragraph_worker.process.worker import Worker

IN_TIME = 20


@pytest.fixture
async def client(plane):
    async with get_client(url=plane.url) as client:
        yield client


@pytest.fixture
async def serve(plane, client):
    """Serve graphs by their ids, in this process; known to the plane on return."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**graphs) -> Worker:
            worker = Worker(plane.url, graphs=graphs, slots=8)
            running = asyncio.create_task(worker.arun())

            async def end() -> None:
                worker.stop()
                await asyncio.wait_for(running, IN_TIME)

            stack.push_async_callback(end)
            async with asyncio.timeout(IN_TIME):
                while await client.assistants.count() < len(graphs):
                    assert not running.done(), running.result()
            return worker

        yield start
