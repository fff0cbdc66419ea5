"""The command `duragraph-worker`: serves, checks or draws the graphs that its arguments name."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from duragraph import __version__, logs, runtime
from duragraph import project as projects
from duragraph.errors import DuraGraphError, Invalid
from duragraph.logs import LogFormat, LogLevel
from duragraph_worker.authoring.blueprint import GraphError
from duragraph_worker.authoring.hosted import Hosted
from duragraph_worker.extras import MissingExtraError
from duragraph_worker.process.loading import langgraph, load
from duragraph_worker.process.worker import DEFAULT_SLOTS, DEFAULT_URL, Worker
from duragraph_worker.served import Authority, Served

Targets = Annotated[
    str,
    Parameter(help="Graphs, each as module:name or path/file.py:name; else ./langgraph.json's."),
]
ProjectFile = Annotated[Path | None, Parameter(help="A langgraph.json whose graphs to serve.")]
Url = Annotated[str, Parameter(env_var="DURAGRAPH_URL", help="The plane's address.")]
Queue = Annotated[str, Parameter(help="The queue to serve.")]
Slots = Annotated[int, Parameter(help="How many runs at a time.")]
ApiKey = Annotated[
    str | None,
    Parameter(
        env_var="DURAGRAPH_API_KEY",
        help="One of the plane's keys; better given by the environment, where `ps` can't see it.",
    ),
]
Name = Annotated[
    str | None,
    Parameter(help="How the worker is called in lists; host and process id by default."),
]
Level = Annotated[LogLevel, Parameter(env_var="DURAGRAPH_LOG_LEVEL")]
Format = Annotated[
    LogFormat,
    Parameter(
        env_var="DURAGRAPH_LOG_FORMAT",
        help="console for people, json for machines; auto asks the terminal.",
    ),
]

ENDS = "__start__", "__end__"

app = App(name="duragraph-worker", version=__version__, help="Serve graphs to a DuraGraph plane.")


@app.default
def serve(
    *targets: Targets,
    config: ProjectFile = None,
    url: Url = DEFAULT_URL,
    queue: Queue = "default",
    slots: Slots = DEFAULT_SLOTS,
    api_key: ApiKey = None,
    name: Name = None,
    log_level: Level = "info",
    log_format: Format = "auto",
) -> None:
    """Serve graphs until SIGTERM or SIGINT, then give unfinished runs back."""
    logs.configure(level=log_level, format=log_format)
    graphs, auth = _load(targets, config)
    runtime.settle()
    Worker(
        url, graphs=graphs, queue=queue, slots=slots, api_key=api_key, name=name, auth=auth
    ).run()
    # Sync nodes may still be at work in threads, which the interpreter would wait for.
    logging.shutdown()
    os._exit(0)


@app.command
def validate(*targets: Targets, config: ProjectFile = None) -> None:
    """Load graphs, and say what is wrong with them."""
    logs.configure(level="warning", format="auto")
    for graph in _load(targets, config)[0]:
        if isinstance(graph, Hosted) and (problems := graph.problems()):
            lines = "\n".join(f"  - {problem}" for problem in problems)
            raise Invalid(f"graph {graph.graph_id} can't run here:\n{lines}")
        spec = asyncio.run(graph.spec())
        nodes = [node for node in json.loads(spec.drawing)["nodes"] if node["id"] not in ENDS]
        sys.stdout.write(f"{graph.graph_id} {graph.version}: {len(nodes)} nodes, all in order\n")


@app.command
def draw(*targets: Targets, config: ProjectFile = None) -> None:
    """Write graphs as Mermaid text."""
    logs.configure(level="warning", format="auto")
    for graph in _load(targets, config)[0]:
        sys.stdout.write(asyncio.run(graph.mermaid()))


def _load(targets: Sequence[str], config: Path | None) -> tuple[list[Served], Authority | None]:
    """The graphs named, and those of the project if one is asked for or none is named.

    And the project's auth handlers, if it has some.
    """
    project = projects.find(config, targets)
    if project is None and not targets:
        raise Invalid(
            "no graph to serve",
            hint="name some, each as module:name or path/file.py:name, or write a langgraph.json",
        )
    if project is None:
        return [load(target) for target in targets], None
    loaded = langgraph("project").load(project)
    return [*loaded, *map(load, targets)], langgraph("auth").load(project)


def main() -> None:
    try:
        app()
    except (GraphError, MissingExtraError) as error:
        sys.exit(f"duragraph-worker: {error}")
    except DuraGraphError as error:
        sys.exit(f"duragraph-worker: {error.message}" + (f"; {error.hint}" if error.hint else ""))


if __name__ == "__main__":
    main()
