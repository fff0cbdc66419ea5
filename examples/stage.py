"""Plays the examples, here or through a plane. No part of what they show.

    python examples/chat_agent.py                    here, with no server
    python examples/chat_agent.py --plane            through a plane that is started for it
    python examples/chat_agent.py --plane http://…   through one that serves it

`duragraph dev examples/chat_agent.py:Agent` serves one for any client.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs

from duragraph_worker import Command, register_provider, serialize
from duragraph_worker.testing import ScriptedLLM

MODES = ["messages-tuple", "custom"]
READY_SECONDS = 60


@attrs.frozen
class Scene:
    """A thread after a run: its values, as JSON has them, and what it asks people."""

    values: dict[str, Any]
    questions: list[Any]


class Stage(ABC):
    """What an example's `play` is given: it runs graphs and prints what they stream."""

    def thread(self) -> str:
        """The id of a new thread."""
        return str(uuid.uuid4())

    async def run(self, graph, input=None, thread_id=None, *, answer=None) -> Scene:
        """Run a graph on a thread, a new one by default, or give it the `answer` it waits for."""
        thread_id, message = thread_id or self.thread(), None
        async for part in self._stream(graph, input, thread_id, answer):
            if part.event == "error":
                raise RuntimeError(part.data)
            if part.event == "custom":
                print("•", part.data)
            elif part.event == "messages" and (token := part.data[0])["type"] == "AIMessageChunk":
                if message not in (None, token["id"]) and token["content"]:
                    print()
                message = token["id"] if token["content"] else message
                print(token["content"], end="", flush=True)
        if message is not None:
            print()
        return await self._scene(graph, thread_id)

    @abstractmethod
    def _stream(self, graph, input, thread_id, answer): ...

    @abstractmethod
    async def _scene(self, graph, thread_id) -> Scene: ...

    @abstractmethod
    async def schedule(self, graph, schedule, **options) -> None:
        """Have the plane run a graph again and again, as `client.crons.create` takes it."""


class Here(Stage):
    """This process, and nothing else."""

    def __init__(self):
        self._apps = {}

    def _app(self, graph):
        return self._apps.setdefault(graph, graph())

    def _stream(self, graph, input, thread_id, answer):
        command = None if answer is None else Command(resume=answer)
        return self._app(graph).stream(
            input, thread_id=thread_id, command=command, stream_mode=MODES
        )

    async def _scene(self, graph, thread_id):
        state = await self._app(graph).aget_state(thread_id)
        values = serialize.decode(serialize.encode(state.values))
        return Scene(values, [asked.value for asked in state.interrupts])

    async def schedule(self, graph, schedule, **options):
        print(f"A plane would run {graph.__name__} at {schedule!r}.")


class Through(Stage):
    """A plane, by the official client."""

    def __init__(self, client):
        self.client = client

    def _stream(self, graph, input, thread_id, answer):
        return self.client.runs.stream(
            thread_id,
            graph.plan.graph_id,
            input=input,
            command=None if answer is None else {"resume": answer},
            stream_mode=MODES,
            if_not_exists="create",
        )

    async def _scene(self, graph, thread_id):
        state = await self.client.threads.get_state(thread_id)
        return Scene(state["values"], [asked["value"] for asked in state["interrupts"]])

    async def schedule(self, graph, schedule, **options):
        cron = await self.client.crons.create(graph.plan.graph_id, schedule=schedule, **options)
        print(f"The plane runs {graph.__name__} next at {cron['next_run_date']}.")


def pretend(provider, script) -> None:
    """Without its key, models of the provider say what the script does: the same, at no cost."""
    if f"{provider.upper()}_API_KEY" not in os.environ:
        register_provider(provider, ScriptedLLM(script))


def main(play, *graphs, database=False) -> None:
    """Play it as the command line asks; with `database` where PGHOST or else we have one."""
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plane", metavar="URL", nargs="?", const="", help="play through a plane")
    url = parser.parse_args().plane
    with contextlib.ExitStack() as stack:
        if database and "PGHOST" not in os.environ:
            stack.enter_context(postgres())
        if url is None:
            asyncio.run(play(Here()))
        else:
            asyncio.run(_through(url or stack.enter_context(_own_plane(graphs)), play, graphs))


@contextlib.contextmanager
def postgres():
    """A PostgreSQL for as long as the block runs, where `postgresql://` leads."""
    from duragraph.embedded import start  # noqa: PLC0415 - of the extra `embedded`

    with tempfile.TemporaryDirectory(prefix="example-") as directory, start(directory) as servers:
        at_home(servers.database_url)
        yield


def at_home(url) -> None:
    """Have `postgresql://` mean this database, here and in what is started from here."""
    parts = urlsplit(url)
    os.environ["PGHOST"] = parse_qs(parts.query)["host"][0]
    os.environ["PGUSER"] = parts.username
    os.environ["PGDATABASE"] = parts.path.removeprefix("/")


def _own_plane(graphs):
    from duragraph.demo import own_plane  # noqa: PLC0415 - of the extra `demo`

    file = Path(sys.argv[0]).resolve()
    return own_plane(*(f"{file}:{graph.__name__}" for graph in graphs))


async def _through(url, play, graphs):
    from langgraph_sdk import get_client  # noqa: PLC0415 - of the extra `demo`

    client = get_client(url=url)
    async with asyncio.timeout(READY_SECONDS):
        wanted, known = {graph.plan.graph_id for graph in graphs}, set()
        while not wanted <= known:
            await asyncio.sleep(0.1)
            known = {each["graph_id"] for each in await client.assistants.search(limit=99)}
    await play(Through(client))
