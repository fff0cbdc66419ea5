"""The documented graphs of the conformance tier for the crash tier, their files as they are.

Each goes by the name of its file. Their bodies have nothing to wait for, so that each pauses
for a random while before it begins: a random kill finds them anywhere.
"""

import asyncio
import importlib
import random
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.context import register_configure_hook

from tests.crash import witness

assert witness

FOLDER = Path(__file__).parents[1] / "conformance" / "documented"
LEAST, MOST = 0.001, 0.3
"""Seconds that a body pauses."""
BARE = RunnableConfig(configurable={})

sys.path.insert(0, str(FOLDER))


class Pause(AsyncCallbackHandler):
    """Comes after the witness: for that one the body has begun."""

    run_inline = True
    raise_error = True

    async def on_chain_start(
        self, *_: Any, metadata: dict[str, Any] | None = None, **more: Any
    ) -> None:
        if more.get("name") == (metadata or {}).get("langgraph_node", ""):
            await asyncio.sleep(random.uniform(LEAST, MOST))


register_configure_hook(ContextVar("pause", default=None), True, Pause, "CRASH_LOG")


def __getattr__(name: str) -> Any:
    """The graph of `name`.py, also where that has a function which makes it."""
    if not (FOLDER / f"{name}.py").exists():
        raise AttributeError(name)
    graph = importlib.import_module(name).graph
    return graph if hasattr(graph, "astream") else graph(BARE)
