"""Runs a LangGraph graph for a `protocol.Task`: input, command, going on, takeover, outcome.

Owns the order of record and frames: what shows a superstep is put behind its checkpoint, and
under `sync` no node starts before all of that is acknowledged. How parts look to clients is
`frames.py`'s, what is on record of them `saver.py`'s business.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.errors import (
    EmptyInputError,
    GraphBubbleUp,
    InvalidUpdateError,
    TaskNotFound,
    UnknownInterruptError,
)
from langgraph.pregel import Pregel
from langgraph.pregel.protocol import StreamProtocol
from langgraph.runtime import Runtime

from duragraph.protocol import Frame, Outcome, Task
from duragraph_worker.errors import NodeCancelledError, masked, trace
from duragraph_worker.langgraph.frames import Frames
from duragraph_worker.langgraph.given import Given, command
from duragraph_worker.langgraph.saver import Saver
from duragraph_worker.langgraph.store import Store
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

Compiled: TypeAlias = Pregel[Any, Any, Any, Any]
Namespace: TypeAlias = tuple[str, ...]
Part: TypeAlias = tuple[Namespace, str, Any]

TELLING = (
    EmptyInputError, GraphBubbleUp, InvalidUpdateError, TaskNotFound, UnknownInterruptError,
)  # fmt: skip
"""LangGraph's own errors hold no secrets."""

_CHECKPOINTER, _RUNTIME = "__pregel_checkpointer", "__pregel_runtime"
_STREAM, _STRICT = "__pregel_stream", "__pregel_strict_resume"


class Opens(Protocol):
    """A graph as a worker serves it."""

    def opened(self, config: RunnableConfig) -> AbstractAsyncContextManager[Compiled]:
        """The compiled graph for one run, closed at the end."""


async def execute(served: Opens, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
    """Run `task` to its end, its progress put, but not all of it acknowledged.

    What user code raises is an outcome. Cancelled, LangGraph records where it is if only `exit`
    durability had kept that back. Raises CancelledError, record.Fenced.
    """
    given = Given.of(task)
    error: Exception
    try:
        given.config["configurable"][_RUNTIME] = Runtime(store=Store(plane))
        async with served.opened(given.config) as graph:
            return await Execution(graph, given, recorder, plane).run()
    except asyncio.CancelledError as cancelled:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        error = NodeCancelledError("A node raised asyncio.CancelledError")
        error.__cause__ = cancelled
    except SystemExit as ended:
        error = RuntimeError(f"A node called sys.exit({ended.code!r})")
    except Exception as raised:  # noqa: BLE001 - a node may raise anything: it is the outcome
        error = raised
    told = masked(error, telling=TELLING)
    if task.kind == "run":
        recorder.put(Frame("error", told))
    refused = isinstance(error, UnknownInterruptError)
    return Outcome("error", error=told, trace=trace(error), refused=refused)


class Execution:
    """One attempt at a run."""

    def __init__(self, graph: Compiled, given: Given, recorder: Recorder, plane: Reach) -> None:
        self._graph, self._given, self._recorder = graph, given, recorder
        self._saver = Saver(given.task, recorder, plane, visible=self._visible)
        kwargs = given.kwargs
        self._frames = Frames(kwargs.modes, kwargs.subgraphs, self._saver.values)
        self._next: list[str] = []
        self._held: list[Part] = []
        """Parts from the first on whose checkpoint has yet to be put."""

    def _visible(self, ns: str) -> Any:
        return self._graph.stream_channels_asis if not ns else None

    async def run(self) -> Outcome:
        try:
            async with aclosing(self._parts()) as parts:
                async for part in parts:
                    await self._take(*part)
        finally:
            self._show_held()
        return Outcome("success", interrupted=bool(self._next), interrupts=self._saver.interrupts())

    # what LangGraph says

    async def _parts(self) -> AsyncIterator[Part]:
        kwargs = self._given.kwargs
        config = self._config()
        data = kwargs.input if kwargs.command is None else command(kwargs.command)
        stream = self._graph.astream(
            data,
            config,
            context=kwargs.context,
            stream_mode=[*self._frames.asked | {"checkpoints"}],
            output_keys=self._graph.output_channels,
            interrupt_before=kwargs.interrupt_before,
            interrupt_after=kwargs.interrupt_after,
            durability=kwargs.lasting,
            subgraphs=kwargs.subgraphs,
        )
        async with aclosing(stream) as parts:
            async for part in parts:
                yield part if kwargs.subgraphs else ((), *part)

    def _config(self) -> RunnableConfig:
        config = self._given.config
        configurable = {
            **config["configurable"],
            _CHECKPOINTER: self._saver,
            _STREAM: StreamProtocol(self._tap, {"checkpoints"}),
        }
        if self._given.kwargs.strict_resume:
            configurable[_STRICT] = True
        return {**config, "configurable": configurable}

    def _tap(self, part: Part) -> None:
        """Hears of a checkpoint as it is made, of subgraphs also where no client looks at them."""
        ns, _, chunk = part
        self._saver.scheduled(chunk, "|".join(ns))
        if not ns:
            self._next = chunk["next"]

    # what clients see

    async def _take(self, ns: Namespace, mode: str, chunk: Any) -> None:
        if self._held and self._held[0][0][: len(ns)] == ns:
            if mode == "checkpoints":
                await self._stands(chunk)
            self._show_held()
        if mode == "values" or self._held:
            self._held.append((ns, mode, chunk))
        else:
            self._show(ns, mode, chunk)
        if mode == "checkpoints" and not ns:
            await self._pace(chunk)

    def _show_held(self) -> None:
        held, self._held = self._held, []
        for part in held:
            self._show(*part)

    def _show(self, ns: Namespace, mode: str, chunk: Any) -> None:
        for frame in self._frames.of(ns, mode, chunk):
            self._recorder.put(frame)

    async def _pace(self, chunk: Any) -> None:
        """Before the nodes start that follow a checkpoint."""
        await self._stands(chunk)
        if self._given.kwargs.lasting == "sync":
            await self._recorder.settled()
        else:
            await self._recorder.room()

    async def _stands(self, chunk: Any) -> None:
        if self._given.kwargs.lasting != "exit":
            await self._saver.stands(str(chunk["config"]["configurable"]["checkpoint_id"]))
