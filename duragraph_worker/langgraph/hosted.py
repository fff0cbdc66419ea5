"""A LangGraph graph as a worker serves it: how the compiled graph is got, and what it is like.

Knows each form a graph comes in: compiled, a builder, or a function that makes one. Runs
nothing itself: `execute.py` does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore, TTLConfig
from langgraph_sdk.runtime import AccessContext

from duragraph.errors import Invalid
from duragraph.protocol import GraphSpec, HeaderPatterns, Outcome, Task
from duragraph_worker import serialize
from duragraph_worker.langgraph import factories, schemas
from duragraph_worker.langgraph.embedding import Index
from duragraph_worker.langgraph.execute import execute
from duragraph_worker.langgraph.factories import EXECUTION, Occasion
from duragraph_worker.langgraph.store import Store
from duragraph_worker.langgraph.terms import Compiled
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

UNNAMED = "LangGraph"
"""What LangGraph calls a graph that was given no name."""
ANY_VERSION = "1"
SPEC_SECONDS = 30.0
"""A factory may connect to what is not there, and a worker must not wait for that."""

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Hosted:
    """`source` is a bare compiled graph, or a function that makes one: see `factories.py`."""

    graph_id: str
    source: Any
    version: str = ANY_VERSION
    """A run goes on with whatever code goes by its version, as on LangGraph's servers."""
    description: str | None = None
    config: Mapping[str, Any] = attrs.field(factory=dict)
    """What its assistant starts with."""
    context: Mapping[str, Any] = attrs.field(factory=dict)
    headers: HeaderPatterns | None = None
    store_ttl: TTLConfig | None = None
    """What holds for items that name no time to live."""
    store_index: Index | None = None
    """Finds items by what they mean."""

    async def spec(self) -> GraphSpec:
        """What can't be known of it is left out: a factory may want what only a run has."""
        try:
            async with asyncio.timeout(SPEC_SECONDS), self._described() as graph:
                return await self._spec(graph)
        except Exception as error:  # noqa: BLE001 - a factory may raise anything: it is served still
            extra = {"graph": self.graph_id, "why": f"{type(error).__name__}: {error}"}
            log.warning("a graph can't be asked for its schemas", extra=extra)
            return self._about(self.graph_id)

    async def mermaid(self) -> str:
        async with self._described() as graph:
            return graph.get_graph().draw_mermaid()

    async def execute(self, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
        return await execute(self, task, recorder, plane)

    def store(self, reach: Reach) -> Store:
        """The store of one run."""
        return Store(reach, ttl=self.store_ttl, index=self.store_index)

    @asynccontextmanager
    async def opened(
        self,
        config: RunnableConfig,
        *,
        store: BaseStore | None = None,
        access: AccessContext = EXECUTION,
        context: Any = None,
    ) -> AsyncIterator[Compiled]:
        """The compiled graph, until the end of the block; checkpointer and store are not set.

        A factory is told all of these. Raises what that raises, and Invalid if it makes no graph.
        """
        if isinstance(self.source, Pregel):
            yield self.source
            return
        occasion = Occasion(config=config, store=store, access=access, context=context)
        async with factories.made(self.source, occasion) as value:
            graph = value.compile() if isinstance(value, StateGraph) else value
            if not isinstance(graph, Pregel):
                raise Invalid(
                    f"the factory of {self.graph_id!r} made {value!r}",
                    hint="let it return a compiled LangGraph graph, or its builder",
                )
            yield bare(graph, self.graph_id)

    def _described(self) -> AbstractAsyncContextManager[Compiled]:
        config: Any = {"configurable": {}, **self.config}
        return self.opened(config, access="assistants.read")

    def _about(self, name: str) -> GraphSpec:
        """What the project says of it."""
        return GraphSpec(
            graph_id=self.graph_id,
            version=self.version,
            name=name,
            description=self.description,
            config=serialize.encode(self.config),
            context=serialize.encode(self.context),
            headers=self.headers,
        )

    async def _spec(self, graph: Compiled) -> GraphSpec:
        nested = schemas.of_subgraphs(graph)
        known: dict[str, Any] = {
            "drawing": await schemas.drawing(graph),
            "drawing_xray": await schemas.unfolded(graph) if nested else None,
            "subgraphs": nested,
            **schemas.of_graph(graph),
        }
        encoded: dict[str, Any] = {name: serialize.encode(each) for name, each in known.items()}
        name = graph.name if isinstance(self.source, Pregel) else self.graph_id
        return attrs.evolve(self._about(name), **encoded)


def hosted(graph: object, *, graph_id: str | None = None, **more: Any) -> Hosted:
    """`graph`: compiled, a builder, or with a `graph_id` also a function that makes one.

    `more` are fields of Hosted. Raises Invalid for what can't be served.
    """
    source = graph.compile() if isinstance(graph, StateGraph) else graph
    if not isinstance(source, Pregel):
        if graph_id is None or not callable(source):
            raise Invalid(f"{graph!r} is no graph", hint="name a LangGraph graph, or what makes it")
        factories.check(source)
        return Hosted(graph_id=graph_id, source=source, **more)
    if isinstance(source.checkpointer, BaseCheckpointSaver) or source.store is not None:
        log.info(
            "a graph's own checkpointer and store give way to the plane's",
            extra={"graph": graph_id or source.name},
        )
    if graph_id is None and source.name == UNNAMED:
        raise Invalid(
            "a LangGraph graph has no name",
            hint="pass graphs={'its id': graph}, or name it: builder.compile(name=…)",
        )
    name = graph_id or source.name
    return Hosted(graph_id=name, source=bare(source, name), **more)


def bare(graph: Compiled, graph_id: str) -> Compiled:
    """The graph with no persistence of its own, and a name."""
    update: dict[str, Any] = {"checkpointer": None, "store": None}
    if graph.name == UNNAMED:
        update["name"] = graph_id
    return graph.copy(update)
