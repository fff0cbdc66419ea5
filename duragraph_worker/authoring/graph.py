"""`@Graph`: makes a class of nodes a graph that can be run, streamed and served."""

import importlib
import inspect
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from duragraph_worker.authoring import blueprint, build, teams
from duragraph_worker.authoring.blueprint import Blueprint, Shape
from duragraph_worker.authoring.nodes import NodeSpec, Subgraph
from duragraph_worker.llm.tools import Tool
from duragraph_worker.local.results import Part, RunResult, State
from duragraph_worker.local.runs import Local
from duragraph_worker.local.waiting import GRAPHS
from duragraph_worker.plan import Plan
from duragraph_worker.state import MESSAGES


class _PlanOf:
    """`plan`, of an instance or of the class: the class's is that of an instance of its own."""

    def __get__(self, instance: "App | None", owner: type["App"]) -> Plan:
        return (owner() if instance is None else instance)._plan  # noqa: SLF001 - its own


class App:
    """What `@Graph` adds to a class. Threads belong to the instance.

    Type checkers that don't follow class decorators see it in `class Support(App):`.
    """

    blueprint: ClassVar[Blueprint]
    plan = _PlanOf()
    _threads: str | Path | None = None

    if TYPE_CHECKING:

        def __init__(
            self, *args: Any, threads: str | Path | None = None, **kwargs: Any
        ) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    @cached_property
    def _plan(self) -> Plan:
        return build.plan(self.blueprint, self)

    @cached_property
    def _local(self) -> Local:
        return Local(self._plan, threads=self._threads)

    def run(self, input: Any, **options: Any) -> RunResult:
        """Run the graph here, with no server. Options as in `Local.arun`."""
        return self._local.run(input, **options)

    async def arun(self, input: Any, **options: Any) -> RunResult:
        return await self._local.arun(input, **options)

    def resume(self, thread_id: str, value: Any, **options: Any) -> RunResult:
        """Answer a thread's interrupt with `value` and go on."""
        return self._local.resume(thread_id, value, **options)

    async def aresume(self, thread_id: str, value: Any, **options: Any) -> RunResult:
        return await self._local.aresume(thread_id, value, **options)

    def stream(self, input: Any, **options: Any) -> AsyncIterator[Part]:
        """Run and yield what happens, as `stream_mode` asks. Options as in `Local.astream`."""
        return self._local.astream(input, **options)

    def get_state(self, thread_id: str, **options: Any) -> State:
        """A thread's newest state, or that of `checkpoint_id`."""
        return self._local.get_state(thread_id, **options)

    async def aget_state(self, thread_id: str, **options: Any) -> State:
        return await self._local.aget_state(thread_id, **options)

    def get_history(self, thread_id: str) -> list[State]:
        """A thread's states, newest first."""
        return self._local.get_history(thread_id)

    async def aget_history(self, thread_id: str) -> list[State]:
        return await self._local.aget_history(thread_id)

    def update_state(self, thread_id: str, values: Any, **options: Any) -> State:
        """Write to a thread as if a node had returned `values`."""
        return self._local.update_state(thread_id, values, **options)

    async def aupdate_state(self, thread_id: str, values: Any, **options: Any) -> State:
        return await self._local.aupdate_state(thread_id, values, **options)

    def signal(self, thread_id: str, name: str, value: Any = None) -> None:
        """Give `value` to what waits for `name` on a thread whose run is open, or will."""
        self._local.signal(thread_id, name, value)

    def serve(self, url: str, **options: Any) -> None:
        """Serve this graph to the plane at `url` until stopped. Options as in `Worker`."""
        # The worker needs aiohttp, which writing and testing a graph does not.
        worker = importlib.import_module("duragraph_worker.process.worker")
        worker.Worker(url, graphs=[self], **options).run()

    @classmethod
    def as_subgraph(
        cls,
        name: str | None = None,
        *,
        input: Mapping[str, str] | None = None,
        output: Mapping[str, str] | None = None,
    ) -> Any:
        """A fresh node that runs this graph; both mappings read {child key: parent key}.

        Without them the graphs share their keys by name.
        """
        return NodeSpec("subgraph", None, Subgraph(cls, input, output), given_name=name)

    @classmethod
    def as_tool(
        cls,
        name: str | None = None,
        *,
        description: str | None = None,
        input: str = MESSAGES,
        output: str | None = None,
    ) -> Tool:
        """A tool with which a model gives this graph a task: each call is a child run.

        The task, a text, is written to the key `input`; the answer is the key `output`, or the
        last message, or all of the state. Raises TypeError where the graph takes no such key.
        """
        return teams.tool_of(cls, name, description=description, input=input, output=output)


@attrs.frozen
class Graph(Shape):
    """Class decorator. Raises GraphError with everything that is wrong with the class.

    `state`, `input`, `output` and `context` are types; without `state` it is a plain dict.
    """

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise TypeError('a graph needs an id: write @Graph(id="…")')

    def __call__(self, cls: type) -> type[App]:
        described = self.description or (inspect.cleandoc(cls.__doc__) if cls.__doc__ else None)
        checked = blueprint.draft(cls, attrs.evolve(self, description=described))

        def init(app: Any, *args: Any, threads: str | Path | None = None, **kwargs: Any) -> None:
            super(graph, app).__init__(*args, **kwargs)
            # Past `__setattr__`, so that the class may be a frozen one.
            object.__setattr__(app, "_threads", threads)

        names = ("__module__", "__qualname__", "__doc__")
        namespace = {name: getattr(cls, name) for name in names}
        bases = (cls,) if issubclass(cls, App) else (cls, App)
        graph: Any = type(
            cls.__name__, bases, {**namespace, "__init__": init, "blueprint": checked}
        )
        made: type[App] = graph
        GRAPHS[self.id] = made
        return made
