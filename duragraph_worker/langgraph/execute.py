"""Runs a LangGraph graph for a `protocol.Task`: input, command, going on, takeover, outcome.

Owns the order of record and frames: what shows a superstep is put behind its checkpoint, and
under `sync` no node starts before all of that is acknowledged. How parts look to clients is
`frames.py`'s, what is on record of them `saver.py`'s business.
"""

import asyncio
import concurrent
import logging
import os
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol, cast

import langchain_core
import langgraph
from langchain_core.runnables import RunnableConfig
from langgraph._internal._config import ensure_config
from langgraph.errors import UnknownInterruptError
from langgraph.pregel.protocol import PregelProtocol, StreamProtocol
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import AccessContext

from duragraph.protocol import EVENT_MODE, Frame, Outcome, Task
from duragraph_worker.errors import NodeCancelledError, masked, trace
from duragraph_worker.langgraph import event_parts, exits, loopback, resuming
from duragraph_worker.langgraph.event_streaming import EventFrames
from duragraph_worker.langgraph.factories import EXECUTION
from duragraph_worker.langgraph.frames import Frames
from duragraph_worker.langgraph.given import Given, command, fitting
from duragraph_worker.langgraph.resuming import Quiet, step_limit
from duragraph_worker.langgraph.saver import Saver
from duragraph_worker.langgraph.serialize import TELLING
from duragraph_worker.langgraph.terms import INTERRUPT, Compiled, Namespace, Part, checkpoint_id
from duragraph_worker.langgraph.updating import update_state
from duragraph_worker.langgraph.usage_callback import callbacks
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

_MACHINERY = tuple(
    f"{folder}{os.sep}"
    for package in (langgraph, langchain_core, concurrent)
    for folder in package.__path__
)
"""Folders of frames that are not the user's own."""
_CHECKPOINTER, _RUNTIME = "__pregel_checkpointer", "__pregel_runtime"
_STREAM, _STRICT = "__pregel_stream", "__pregel_strict_resume"
_RESUME_MAP = "__pregel_resume_map"
_ADDRESS = "checkpoint_id", "checkpoint_map"
"""Where the run was told to start."""
_NAMED = 3
"""A part's items with its namespace."""
_ENDS, _BREAK = ((), "updates"), {INTERRUPT: ()}
"""Where a static breakpoint is told of, and how."""

log = logging.getLogger(__name__)


class GraphSource(Protocol):
    """Makes what a run needs of its graph."""

    def store(self, reach: Reach) -> BaseStore: ...

    def opened(
        self,
        config: RunnableConfig,
        *,
        store: BaseStore | None = ...,
        access: AccessContext = ...,
        context: Any = ...,
    ) -> AbstractAsyncContextManager[Compiled]:
        """The compiled graph for one run, closed at the end. `access` says what it is for."""


async def execute(source: GraphSource, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
    """Run `task` to its end, its progress put, but not all of it acknowledged.

    What user code raises is an outcome. Cancelled, LangGraph records where it is if only `exit`
    durability had kept that back. Raises CancelledError, record.Fenced.
    """
    given = Given.of(task)
    loopback.REACH.set(plane)
    error: Exception
    try:
        store = source.store(plane)
        given.config["configurable"][_RUNTIME] = Runtime(store=store)
        access: AccessContext = EXECUTION if task.kind == "run" else "threads.update"
        opened = source.opened(
            given.config, store=store, access=access, context=given.kwargs.context
        )
        with exits.caught():
            async with opened as graph:
                return await Execution(graph, given, recorder, plane).run()
    except asyncio.CancelledError as cancelled:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        error = NodeCancelledError("A node raised asyncio.CancelledError")
        error.__cause__ = cancelled
    except SystemExit as ended:
        error = exits.failure(ended)
    except Exception as raised:  # noqa: BLE001 - a node may raise anything: it is the outcome
        error = raised
    told = masked(error, telling=TELLING)
    if task.kind == "run":
        recorder.put(Frame("error", told))
    refused = isinstance(error, UnknownInterruptError)
    return Outcome("error", error=told, trace=trace(error, without=_MACHINERY), refused=refused)


class Execution:
    """One attempt at a task."""

    def __init__(self, graph: Compiled, given: Given, recorder: Recorder, plane: Reach) -> None:
        self._graph, self._given, self._recorder = graph, given, recorder
        kwargs = given.kwargs
        self._durability = kwargs.resolved_durability
        self._saver = Saver(
            given.task,
            recorder,
            plane,
            graph_at=self._graph_at,
            durability=self._durability,
        )
        self._quiet = Quiet(given)
        self._frames: Frames | EventFrames = (
            EventFrames(self._saver.values, asked=self._quiet.asked)
            if EVENT_MODE in kwargs.modes
            else Frames(kwargs.modes, kwargs.subgraphs, self._saver.values)
        )
        self._below: Mapping[str, PregelProtocol[Any, Any, Any, Any]] | None = None
        """The graph's subgraphs by namespace, less task ids."""
        self._next: list[str] = []
        self._held: list[Part] = []
        """Parts from the first on whose checkpoint has yet to be put."""
        self._breaks = False
        """A breakpoint is to be told of as the run ends."""
        self._thread, self._loop = threading.get_ident(), asyncio.get_running_loop()

    async def run(self) -> Outcome:
        """Raises what the graph raises."""
        if self._given.task.kind == "update_state":
            return await self._update()
        config, taken_over = self._config(), self._takes_over()
        if taken_over:
            self._take_over(config)
            if await resuming.stopped(self._graph, config, self._given):
                self._breaks = not self._saver.asked
                return self._ended(interrupted=True)
        elif not self._saver.begun:
            await resuming.check(self._graph, config, self._given.kwargs)
            if resuming.leaves_no_trace(self._given.kwargs):
                self._saver.go_on()
        try:
            await self._drive(None if taken_over else self._input(), config)
        except Exception:  # the run's outcome, logged there; finished siblings stay for readers
            self._saver.retract()
            await self._try_to_record_pending(config)
            raise
        if self._next:
            await self._record_pending(config)
        return self._ended(interrupted=bool(self._next))

    def _ended(self, *, interrupted: bool) -> Outcome:
        """What tells of a breakpoint leaves with it: no later attempt knows whether it was told."""
        if self._breaks:
            self._put(self._frames.of(*_ENDS, _BREAK))
        return Outcome("success", interrupted=interrupted, interrupts=self._saver.interrupts())

    async def _update(self) -> Outcome:
        graph = self._graph.copy({"checkpointer": self._saver})
        return Outcome("success", interrupted=await update_state(graph, self._given, self._saver))

    # how it begins

    def _config(self) -> RunnableConfig:
        kwargs, config = self._given.kwargs, self._given.config
        early = self._frames.told_early if isinstance(self._frames, Frames) else ()
        configurable = {
            **config["configurable"],
            _CHECKPOINTER: self._saver,
            _STREAM: StreamProtocol(self._tap, {"checkpoints", *early}),
        }
        if kwargs.strict_resume and not self._saver.begun:
            configurable[_STRICT] = True
        counting = callbacks(self._recorder, shown="usage" in kwargs.modes)
        return {**config, "configurable": configurable, "callbacks": counting}

    def _input(self) -> Any:
        kwargs = self._given.kwargs
        if kwargs.command is None:
            return kwargs.input
        if self._given.task.snapshot is None and not kwargs.command.goto:
            raise TypeError("A thread that has not begun takes an input, not a command")
        if self._saver.begun and resuming.is_map(kwargs.command.resume):
            kwargs.command.resume = self._unused(kwargs.command.resume)
        return command(kwargs.command)

    def _unused(self, answers: dict[str, Any]) -> dict[str, Any]:
        """Those that an earlier attempt has left: a task keeps what it was told."""
        asked = self._saver.asked
        return {each: value for each, value in answers.items() if each in asked}

    def _takes_over(self) -> bool:
        """Whether an earlier attempt's record holds all that the run was given."""
        return self._given.task.resuming or self._saver.commanded

    def _take_over(self, config: RunnableConfig) -> None:
        """Go on from where the record ends, with the answers that are left, and quietly."""
        for name in _ADDRESS:
            config["configurable"].pop(name, None)
        limit = ensure_config(self._graph.config, config)["recursion_limit"]
        config["recursion_limit"] = step_limit(limit, spent=self._saver.spent)
        given = self._given.kwargs.command
        if given is not None and resuming.is_map(given.resume):
            config["configurable"][_RESUME_MAP] = self._unused(given.resume)

    # what LangGraph says

    async def _drive(self, data: Any, config: RunnableConfig) -> None:
        try:
            async with aclosing(self._parts(data, config)) as parts:
                async for part in parts:
                    # Without subgraphs LangGraph names no namespace.
                    ns, mode, chunk = part if len(part) == _NAMED else ((), *part)
                    if mode == "checkpoints":
                        await self._at_checkpoint(ns, chunk)
                    elif (ns, mode) == _ENDS and chunk == _BREAK:
                        self._breaks = True
                    elif not self._quiet.hides(ns, mode, chunk):
                        self._take(ns, mode, chunk)
        finally:
            self._saver.release()
            self._show_held()
            if isinstance(self._frames, EventFrames):
                self._put(self._frames.rest())

    def _parts(self, data: Any, config: RunnableConfig) -> AsyncGenerator[Any]:
        kwargs, graph = self._given.kwargs, self._graph
        options: dict[str, Any] = {
            "context": fitting(kwargs.context, graph.context_schema),
            "interrupt_before": kwargs.interrupt_before,
            "interrupt_after": kwargs.interrupt_after,
            "durability": self._durability,
        }
        if isinstance(self._frames, EventFrames):
            return cast("AsyncGenerator[Any]", event_parts.parts(graph, data, config, **options))
        options["stream_mode"] = [*self._frames.asked | {"checkpoints"}]
        options["subgraphs"] = kwargs.subgraphs
        if "events" in kwargs.modes:
            return self._with_events(data, config, options)
        stream = graph.astream(data, config, output_keys=graph.output_channels, **options)
        return cast("AsyncGenerator[Any]", stream)

    async def _with_events(
        self, data: Any, config: RunnableConfig, options: dict[str, Any]
    ) -> AsyncGenerator[Any]:
        """LangChain's own events tell of the graph's parts among them."""
        run_id = self._given.task.run_id
        stream = self._graph.astream_events(data, config, version="v2", **options)
        async with aclosing(cast("AsyncGenerator[Any]", stream)) as events:
            async for event in events:
                if "langsmith:hidden" in (event.get("tags") or ()):
                    continue
                # A node's end is told before its messages get their ids.
                await asyncio.sleep(0)
                if event["event"] == "on_chain_stream" and event["run_id"] == run_id:
                    yield event["data"]["chunk"]
                else:
                    yield (), "events", event

    def _tap(self, part: Part) -> None:
        """Hears of a checkpoint as it is made, of subgraphs also where no client looks at them.

        Of updates, too: the stream may bring one when a body has changed it already.
        """
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._tap, part)
            return
        ns, mode, chunk = part
        if isinstance(self._frames, Frames) and mode == "updates":
            self._frames.early(ns, chunk)
            return
        self._saver.scheduled("|".join(ns), chunk)
        if not ns:
            self._next = chunk["next"]

    def _graph_at(self, ns: str) -> PregelProtocol[Any, Any, Any, Any] | None:
        """The graph of a namespace; None where only its run can tell, as for a tool's."""
        if not ns:
            return self._graph
        if self._below is None:
            self._below = dict(self._graph.get_subgraphs(recurse=True))
        return self._below.get(
            "|".join(part.partition(":")[0] for part in ns.split("|") if not part.isdigit())
        )

    # what clients see

    async def _at_checkpoint(self, ns: Namespace, chunk: Any) -> None:
        """Show what stands with a checkpoint; the nodes that follow one of the root's wait."""
        if ns:
            self._tap((ns, "checkpoints", chunk))
        if self._durability != "exit":
            await self._saver.until_put(checkpoint_id(chunk["config"]))
            self._saver.release()
        if self._quiet.hides(ns, "checkpoints", chunk):
            self._show_held(ns)
        else:
            self._take(ns, "checkpoints", chunk)
        self._saver.passed("|".join(ns))
        if ns:
            return
        if self._durability == "sync":
            await self._recorder.settled()
        else:
            await self._recorder.room()

    def _take(self, ns: Namespace, mode: str, chunk: Any) -> None:
        """Show a part, or hold it back while the checkpoint of values before it is to come.

        Values with a question have none: they leave with the record of it.
        """
        self._show_held(ns)
        asks = isinstance(chunk, dict) and INTERRUPT in chunk
        if self._held or (mode == "values" and not asks):
            self._held.append((ns, mode, chunk))
        else:
            self._put(self._frames.of(ns, mode, chunk))

    def _show_held(self, ns: Namespace = ()) -> None:
        """What waits for the graph at `ns` or one below it, and all behind."""
        if self._held and self._held[0][0][: len(ns)] == ns:
            held, self._held = self._held, []
            for part in held:
                self._put(self._frames.of(*part))

    def _put(self, frames: Iterable[Frame]) -> None:
        self._saver.release()
        for frame in frames:
            self._recorder.put(frame)

    async def _try_to_record_pending(self, config: RunnableConfig) -> None:
        """Where a node has failed, that is the outcome."""
        try:
            await self._record_pending(config)
        except Exception:  # whatever went wrong here may not take the place of the node's error
            run_id = self._given.task.run_id
            log.exception(
                "what finished beside a failed node is not shown", extra={"run_id": run_id}
            )

    async def _record_pending(self, config: RunnableConfig) -> None:
        """What finished tasks wrote where others wait or failed, for readers of the state."""
        above = {k: v for k, v in config["configurable"].items() if k not in _ADDRESS}
        for ns in self._saver.partial:
            if (graph := self._graph_at(ns)) is not None:
                at = {**above, "checkpoint_ns": ns}
                state = await graph.aget_state({**config, "configurable": at})
                self._saver.pending(ns, state.values)
