"""Sees every body of LangGraph begin, whatever the graph, and writes it to the side log.

A callback handler that the environment turns on: graphs under test stay as users write them.
A line of the log is JSON; see `Began`. Import it in a worker before the graphs.
"""

import os
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import attrs
import msgspec
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

_log = os.open(os.environ.get("CRASH_LOG", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@attrs.frozen
class Began:
    """The body of a node or `@task` began."""

    thread_id: str
    run_id: str
    ns: str
    """Of the task: `node:task_id`, below its parents."""
    step: int
    pid: int
    at: float
    """Seconds since the epoch, as PostgreSQL's clock on this machine has them."""

    @property
    def parent_ns(self) -> str:
        return self.ns.rpartition("|")[0]

    @property
    def above(self) -> set[str]:
        """The ids of the tasks that it is part of."""
        return {part.rpartition(":")[2] for part in self.parent_ns.split("|") if ":" in part}

    @property
    def names(self) -> tuple[str, ...]:
        """Its own, below those of the tasks that it is part of."""
        return tuple(part.partition(":")[0] for part in self.ns.split("|"))

    @property
    def task_id(self) -> str:
        return self.ns.rpartition(":")[2]


def side_log(path: Path) -> list[Began]:
    """In order of time."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return sorted((msgspec.json.decode(line, type=Began) for line in lines), key=lambda b: b.at)


class Witness(BaseCallbackHandler):
    run_inline = True
    """In the body's own task, before the body."""
    raise_error = True

    def on_chain_start(self, *_: Any, metadata: dict[str, Any] | None = None, **more: Any) -> None:
        told = metadata or {}
        if more.get("name") != told.get("langgraph_node", ""):
            return
        began = Began(
            told.get("thread_id", ""),
            told.get("run_id", ""),
            told["langgraph_checkpoint_ns"],
            told["langgraph_step"],
            os.getpid(),
            time.time(),
        )
        os.write(_log, msgspec.json.encode(began) + b"\n")


register_configure_hook(ContextVar("witness", default=None), True, Witness, "CRASH_LOG")
