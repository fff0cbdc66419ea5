"""A LangGraph graph as a worker serves it: how the compiled graph is got, and for whom.

Knows each form a graph comes in: compiled, a builder, or a function that makes one. Runs
nothing itself: `execute.py` does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from duragraph.errors import Invalid
from duragraph.protocol import GraphSpec, Outcome, Task
from duragraph_worker.langgraph.execute import execute
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

DEFAULT_NAME = "LangGraph"
"""What LangGraph calls a graph that was given no name."""
DEFAULT_VERSION = "1"

Compiled = Pregel[Any, Any, Any, Any]


@attrs.frozen
class Hosted:
    """`source` is a compiled graph, or a function that makes one for a config."""

    graph_id: str
    source: Any
    version: str = DEFAULT_VERSION

    async def spec(self) -> GraphSpec:
        return GraphSpec(self.graph_id, self.version)

    async def mermaid(self) -> str:
        async with self.opened({}) as graph:
            return graph.get_graph().draw_mermaid()

    async def execute(self, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
        return await execute(self, task, recorder, plane)

    @asynccontextmanager
    async def opened(self, config: RunnableConfig) -> AsyncIterator[Compiled]:  # noqa: ARG002
        """The compiled graph for one run, closed at the end; its checkpointer is the caller's."""
        yield self.source


def hosted(graph: object, *, graph_id: str | None = None) -> Hosted:
    """Raises Invalid for a graph without a name, or what is no graph."""
    compiled = graph.compile() if isinstance(graph, StateGraph) else graph
    if not isinstance(compiled, Pregel):
        raise Invalid(f"{graph!r} is no graph", hint="name a compiled LangGraph graph")
    name = graph_id or compiled.get_name()
    if name == DEFAULT_NAME and graph_id is None:
        raise Invalid(
            "a LangGraph graph has no name",
            hint="pass graphs={'its id': graph}, or name it: builder.compile(name=…)",
        )
    return Hosted(name, compiled)
