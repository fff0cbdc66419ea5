"""Runs with no server: the same executor, with threads of its own. Opens no socket."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from duragraph import ids
from duragraph.errors import Conflict
from duragraph.protocol import Checkpoint, Frame, Item, Outcome, RunKind, Scheduled, Task
from duragraph.usage import Totals, Usage, add, dumps
from duragraph.waiting import CHILD_INTERRUPTED
from duragraph_worker import serialize
from duragraph_worker.command import Command, Send
from duragraph_worker.errors import masked
from duragraph_worker.executor import pending_writes
from duragraph_worker.executor.execute import perform
from duragraph_worker.executor.graph_state import GraphState
from duragraph_worker.executor.run import Clock, Run
from duragraph_worker.executor.waiting import NO_CHILDREN, Child, Children
from duragraph_worker.local.results import Part, RunResult, State
from duragraph_worker.local.threads import Thread, Threads
from duragraph_worker.local.waiting import Waits
from duragraph_worker.plan import Plan
from duragraph_worker.state import private_copy

T = TypeVar("T")


class _Recorder:
    """Into the thread; frames go to `shown`, if somebody looks."""

    def __init__(self, thread: Thread, shown: Callable[[Part], None] | None = None) -> None:
        self._thread, self._shown = thread, shown
        self.steps = 0
        self.usage: Totals = {}

    def put(self, item: Item) -> None:
        if isinstance(item, Frame):
            if self._shown is not None:
                self._shown(Part(item.event, serialize.decode(item.data)))
            return
        if isinstance(item, Usage):
            add(self.usage, item)
            return
        # The executor puts a checkpoint once it knows what follows.
        assert not isinstance(item, Scheduled)
        self._thread.put(item)
        if isinstance(item, Checkpoint) and not item.ns and item.source == "loop":
            self.steps += 1

    async def room(self) -> None:
        return

    async def settled(self) -> None:
        await self._thread.settled()


class Local:
    """One graph's runs and threads in this process."""

    def __init__(self, plan: Plan, *, threads: str | Path | None = None) -> None:
        """`threads` is a directory to keep them in; by default they live as long as this."""
        self._plan = plan
        self._threads = Threads(threads)
        self._waits: dict[str, Waits] = {}
        """Of open runs, by thread."""

    async def arun(
        self,
        input: Any,
        *,
        thread_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        command: Command[Any] | None = None,
        interrupt_before: Sequence[str] | str = (),
        interrupt_after: Sequence[str] | str = (),
        raise_error: bool = False,
    ) -> RunResult:
        """Run to the end, an interrupt or an error; None as input goes on where the thread is.

        A thread without a `thread_id` is kept only if it was interrupted. With `raise_error` a
        node's exception is raised. Raises Conflict while the thread has a run.
        """
        kwargs = {
            "input": input,
            "command": _command(command),
            "config": config,
            "context": context,
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "stream_mode": [],
        }
        result = await self._run(thread_id, kwargs)
        if raise_error and result.error is not None:
            raise result.error
        return result

    async def aresume(self, thread_id: str, value: Any, **options: Any) -> RunResult:
        """Answer the thread's interrupt, or several by `{interrupt_id: value}`, and go on."""
        return await self.arun(None, thread_id=thread_id, command=Command(resume=value), **options)

    async def astream(
        self,
        input: Any,
        *,
        stream_mode: str | Sequence[str] = "values",
        thread_id: str | None = None,
        subgraphs: bool = False,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        command: Command[Any] | None = None,
        interrupt_before: Sequence[str] | str = (),
        interrupt_after: Sequence[str] | str = (),
    ) -> AsyncIterator[Part]:
        """Run and yield what happens. A node's exception comes as an `error` part."""
        kwargs = {
            "input": input,
            "command": _command(command),
            "config": config,
            "context": context,
            "interrupt_before": interrupt_before,
            "interrupt_after": interrupt_after,
            "stream_mode": [stream_mode] if isinstance(stream_mode, str) else list(stream_mode),
            "subgraphs": subgraphs,
        }
        parts: asyncio.Queue[Part | None] = asyncio.Queue()
        running = asyncio.create_task(self._run(thread_id, kwargs, parts.put_nowait))
        running.add_done_callback(lambda _: parts.put_nowait(None))
        try:
            while (part := await parts.get()) is not None:
                yield part
            await running
        finally:
            running.cancel()

    async def _run(
        self,
        thread_id: str | None,
        kwargs: dict[str, Any],
        shown: Callable[[Part], None] | None = None,
    ) -> RunResult:
        thread = self._threads.get(thread_id or ids.new_id())
        recorder = _Recorder(thread, shown)
        waits = Waits(thread, _run_child)
        run = self._task("run", thread, kwargs, recorder, waits)
        outcome, error = await self._exclusively(thread, run, waits)
        if thread_id is None and not outcome.interrupted:
            self._threads.forget(thread.thread_id)
        state = self._state(thread)
        status: Any = "interrupted" if outcome.interrupted else outcome.status
        entered = kwargs["input"] is not None and error is None
        return RunResult(
            status=status,
            output=self._output(state.values),
            interrupts=state.interrupts if outcome.interrupted else (),
            error=error,
            usage=serialize.decode(dumps(recorder.usage)),
            steps=max(recorder.steps - entered, 0),
            thread_id=thread.thread_id,
            run_id=run.task.run_id,
        )

    def _task(
        self,
        kind: RunKind,
        thread: Thread,
        kwargs: dict[str, Any],
        recorder: _Recorder,
        children: Children = NO_CHILDREN,
    ) -> Run:
        configurable = (kwargs.get("config") or {}).get("configurable") or {}
        snapshot = thread.record.snapshot(configurable.get("checkpoint_id"))
        task = Task(
            kind,
            ids.new_id(),
            epoch=1,
            attempt=1,
            thread_id=thread.thread_id,
            assistant_id=ids.system_assistant_id(self._plan.graph_id),
            graph_id=self._plan.graph_id,
            version=self._plan.version,
            kwargs=serialize.encode(kwargs),
            snapshot=snapshot,
            effects=thread.record.effects(snapshot),
        )
        return Run.of(self._plan, task, recorder, Clock(), children)

    async def _exclusively(
        self, thread: Thread, run: Run, waits: Waits | None = None
    ) -> tuple[Outcome, Exception | None]:
        if thread.busy:
            raise Conflict(f"Thread {thread.thread_id} is running: wait for that run to end")
        thread.busy = True
        try:
            if waits is None:
                ended = await perform(run)
            else:
                ended = await self._perform_and_wait(thread, run, waits)
            await run.recorder.settled()
            return ended
        finally:
            thread.busy = False
            thread.close()

    async def _perform_and_wait(
        self, thread: Thread, run: Run, waits: Waits
    ) -> tuple[Outcome, Exception | None]:
        self._waits[thread.thread_id] = waits
        try:
            outcome, error = await perform(run)
            while outcome.status == "waiting":
                await run.recorder.settled()
                await waits.until_one_is_over(outcome.waits)
                run = _woken(thread, run)
                outcome, error = await perform(run)
            return outcome, error
        finally:
            del self._waits[thread.thread_id]
            await waits.close()

    def signal(self, thread_id: str, name: str, value: Any = None) -> None:
        """Give `value`, any JSON, to what waits for `name` on the thread, or will.

        Safe to call from any thread. Raises Conflict where no run is open.
        """
        if (waits := self._waits.get(thread_id)) is None:
            raise Conflict(f"Thread {thread_id} has no open run to signal: start one first")
        waits.signal(name, value)

    def _output(self, values: dict[str, Any]) -> dict[str, Any]:
        keys = self._plan.output_keys
        return values if keys is None else {k: v for k, v in values.items() if k in keys}

    async def aget_state(self, thread_id: str, *, checkpoint_id: str | None = None) -> State:
        """The thread's newest state, or that of a checkpoint; empty if there is none."""
        return self._state(self._threads.get(thread_id), checkpoint_id)

    async def aget_history(self, thread_id: str) -> list[State]:
        """The thread's states, newest first."""
        thread = self._threads.get(thread_id)
        return [self._state(thread, each.checkpoint_id) for each in thread.record.history()]

    async def aupdate_state(
        self,
        thread_id: str,
        values: Any,
        *,
        as_node: str | None = None,
        checkpoint_id: str | None = None,
    ) -> State:
        """Write `values` as if `as_node`, by default the last to run, had returned them."""
        thread = self._threads.get(thread_id)
        configurable = {"checkpoint_id": checkpoint_id} if checkpoint_id is not None else {}
        kwargs = {
            "values": values,
            "as_node": as_node,
            "config": {"configurable": configurable},
        }
        _, error = await self._exclusively(
            thread, self._task("update_state", thread, kwargs, _Recorder(thread))
        )
        if error is not None:
            raise error
        return self._state(thread)

    def _state(self, thread: Thread, checkpoint_id: str | None = None) -> State:
        snapshot = thread.record.snapshot(checkpoint_id)
        if snapshot is None:
            return State(
                values={}, next=(), interrupts=(), metadata={}, created_at=None,
                checkpoint_id=checkpoint_id, parent_id=None,
            )  # fmt: skip
        run = self._task("run", thread, {}, _Recorder(thread))
        graph = GraphState(run, self._plan)
        graph.restore(snapshot)
        graph.schedule(snapshot.writes)
        channels = graph.channels
        if checkpoint_id is None:
            channels = pending_writes.state(channels, graph.tasks)
        undone = [task for task in graph.tasks if task.result is None]
        return State(
            values=private_copy(channels.values()),
            next=tuple(task.name for task in undone),
            interrupts=tuple(asked for task in undone for asked in task.interrupts),
            metadata=serialize.decode(snapshot.metadata),
            created_at=snapshot.created_at,
            checkpoint_id=snapshot.checkpoint_id,
            parent_id=snapshot.parent_id,
        )

    def run(self, input: Any, **options: Any) -> RunResult:
        return _sync(self.arun(input, **options))

    def resume(self, thread_id: str, value: Any, **options: Any) -> RunResult:
        return _sync(self.aresume(thread_id, value, **options))

    def get_state(self, thread_id: str, **options: Any) -> State:
        return _sync(self.aget_state(thread_id, **options))

    def get_history(self, thread_id: str) -> list[State]:
        return _sync(self.aget_history(thread_id))

    def update_state(self, thread_id: str, values: Any, **options: Any) -> State:
        return _sync(self.aupdate_state(thread_id, values, **options))


def _woken(thread: Thread, run: Run) -> Run:
    """The run as it goes on after a wait, from where it stands if that is of its own making."""
    task, record = run.task, thread.record
    head = record.snapshot()
    if head is not None and serialize.decode(head.metadata).get("run_id") == task.run_id:
        task = attrs.evolve(task, snapshot=head, resuming=True)
    elif task.snapshot is not None:
        task = attrs.evolve(task, snapshot=record.snapshot(task.snapshot.checkpoint_id))
    effects = record.effects(task.snapshot) + record.memos(task.run_id)
    task = attrs.evolve(task, epoch=task.epoch + 1, effects=effects)
    return Run.of(run.plan, task, run.recorder, run.clock, run.children)


async def _run_child(plan: Plan, child: Child) -> bytes:
    """How a run ended that another has started, as the plane tells it."""
    result = await Local(plan).arun(
        serialize.decode(child.input),
        config=serialize.decode(child.config),
        context=serialize.decode(child.context) or None,
    )
    error = None if result.error is None else serialize.decode(masked(result.error))
    if result.status == "interrupted":
        error = CHILD_INTERRUPTED
    return serialize.encode({"status": result.status, "output": result.output, "error": error})


def _command(command: Command[Any] | None) -> dict[str, Any] | None:
    if command is None:
        return None
    targets = [
        {"node": each.node, "input": each.arg} if isinstance(each, Send) else each
        for each in command.targets
    ]
    return {"update": command.update, "goto": targets, "resume": command.resume}


def _sync(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, in a loop of its own; a notebook's running loop waits for it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[T | BaseException] = []
    aside = threading.Thread(target=lambda: results.append(_caught(work)))
    aside.start()
    aside.join()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def _caught(work: Coroutine[Any, Any, T]) -> T | BaseException:
    try:
        return asyncio.run(work)
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        return error
