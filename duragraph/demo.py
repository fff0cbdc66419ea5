"""`duragraph demo`: the bundled example over a real plane, seen through the official client.

Streams to the terminal as anybody's program would, answers the graph's question, and checks
the end. Speaks to the plane by `langgraph-sdk` alone.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import stamina
from cyclopts import Parameter
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm, Prompt

from duragraph.config import Config, child_environ
from duragraph.embedded import running

GRAPH = "demo"
TOPIC = "sourdough"
READY_SECONDS = 60.0

Url = Annotated[str | None, Parameter(help="A plane that serves the example; else one is started.")]

console = Console(highlight=False)


class DemoError(Exception):
    """The run did not end as it must."""


def demo(*, url: Url = None) -> None:
    """Run the bundled example and show its stream. The exit code is 0 only if it ended right."""
    stamina.instrumentation.set_on_retry_hooks([])  # waiting for the worker is no news
    try:
        with contextlib.nullcontext(url) if url else own_plane() as address:
            asyncio.run(_converse(get_client(url=address)))
    except (DemoError, httpx.HTTPError) as error:
        sys.exit(f"duragraph demo: {error}")


@contextlib.contextmanager
def own_plane(*targets: str) -> Iterator[str]:
    """`duragraph dev` on a free port with data of its own, until the block ends; its URL."""
    with tempfile.TemporaryDirectory(prefix="duragraph-demo-") as directory:
        port = str(_free_port())
        console.print("[dim]starting PostgreSQL, NATS, the plane and a worker…[/]")
        command = [sys.executable, "-P", "-m", "duragraph", "dev", "--port", port]
        with running(
            "duragraph dev",
            [*command, "--data-dir", f"{directory}/data", *targets],
            log=Path(directory) / "log",
            stop=(signal.SIGTERM, signal.SIGKILL),
            environ=child_environ(Config()),
        ) as plane:
            url = f"http://127.0.0.1:{port}"
            plane.wait_for(lambda: _healthy(url))
            try:
                yield url
            except BaseException:  # Ctrl-C, too: its log goes with the directory
                console.print(f"[dim]{plane.last_words()}[/]")
                raise


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _healthy(url: str) -> bool | None:
    try:
        return httpx.get(f"{url}/ok").is_success or None
    except httpx.TransportError:
        return None


async def _converse(client: LangGraphClient) -> None:
    await _worker_is_there(client)
    thread_id = (await client.threads.create())["thread_id"]
    console.print(f"\n[bold]A letter about {TOPIC}[/]\n")
    said = {"messages": [{"role": "user", "content": TOPIC}]}
    questions = await _show(client, thread_id, input=said)
    while questions:
        answer = _answer(questions[0])
        questions = await _show(client, thread_id, command={"resume": answer})
    await _check(client, thread_id)


@stamina.retry(on=(httpx.TransportError, NotFoundError), attempts=None, timeout=READY_SECONDS)
async def _worker_is_there(client: LangGraphClient) -> None:
    await client.assistants.search(graph_id=GRAPH, limit=1)


async def _show(client: LangGraphClient, thread_id: str, **what: Any) -> list[Any]:
    """Print a run's stream as it comes. The values of the interrupts it stopped at."""
    stream = client.runs.stream(
        thread_id, GRAPH, stream_mode=["messages-tuple", "updates", "custom"], **what
    )
    questions, failure, column = [], None, 0
    async for part in stream:
        if part.event == "messages":
            token = part.data[0]["content"]
            console.print(escape(token) if column else f"[green]│[/] {escape(token)}", end="")
            column += len(token)
            continue
        if column:
            console.print()
            column = 0
        if part.event == "updates":
            questions += [each["value"] for each in part.data.pop("__interrupt__", [])]
            for node, update in part.data.items():
                console.print(
                    f"[green]✓ {node:<8}[/] [dim]{escape(_brief(update))}[/]", no_wrap=True
                )
        elif part.event == "custom":
            console.print(f"[cyan]• {escape(_brief(part.data))}[/]")
        elif part.event == "error":
            failure = part.data
    if failure:
        raise DemoError(f"The run failed: {failure}")
    return questions


def _brief(value: Any) -> str:
    """On one line; of messages, what they say."""
    if isinstance(value, dict) and "content" in value:
        return f"{value['type']}: {value['content']}"
    if isinstance(value, list):
        return " · ".join(_brief(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_brief(each)}" for name, each in value.items() if each != "")
    return str(value)


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """A person's, on a terminal; yes, where there is none."""
    console.print(f"\n[bold yellow]?[/] {escape(question['prompt'])}")
    if not sys.stdin.isatty():
        console.print("  [dim]no terminal: yes[/]")
        return {"approve": True}
    if Confirm.ask("  Approve", default=True):
        return {"approve": True}
    return {"approve": False, "wish": Prompt.ask("  What should change")}


async def _check(client: LangGraphClient, thread_id: str) -> None:
    """Print what is recorded. Raises DemoError unless the plane says that the work is done."""
    thread = await client.threads.get(thread_id)
    runs = await client.runs.list(thread_id)
    state = await client.threads.get_state(thread_id)
    console.print("\n[bold]Recorded on the thread[/]")
    values: Any = state["values"]
    for channel, value in values.items():
        console.print(f"  [bold]{channel:<9}[/] {escape(_brief(value))}")
    statuses = {run["status"] for run in runs}
    if state["next"] or thread["status"] != "idle" or "success" not in statuses:
        raise DemoError(
            f"The thread is {thread['status']}, its runs {statuses}, next is {state['next']}."
        )
    console.print(f"[green]done[/]: {len(runs)} runs on thread {thread_id}")
