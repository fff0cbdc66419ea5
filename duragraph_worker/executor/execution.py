"""Runs one graph of a run, the root or a subgraph: supersteps until nothing is left.

Owns the order of record and frames. What a superstep recorded is put in one go with the frames
that show it, so both reach the plane in one batch or not at all.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from duragraph.protocol import EVENT_MODE, Snapshot, Write
from duragraph_worker import serialize
from duragraph_worker.errors import (
    GraphInterrupt,
    GraphRecursionError,
    GraphWait,
    ParentCommand,
    masked,
)
from duragraph_worker.executor import calling, pending_writes, subgraphs, writes
from duragraph_worker.executor.agenda import NodeTask, in_order
from duragraph_worker.executor.channels import Update
from duragraph_worker.executor.checkpoints import ROOT, Place
from duragraph_worker.executor.context import Context
from duragraph_worker.executor.event_streaming import EventStreamingFrames
from duragraph_worker.executor.frames import Frames
from duragraph_worker.executor.graph_state import GraphState
from duragraph_worker.executor.run import Run
from duragraph_worker.plan import START, Node, Plan


class Execution(GraphState):
    """Open it with `enter`, or with `restore` and `go_on`; then `drive` it."""

    def __init__(
        self, run: Run, plan: Plan, place: Place = ROOT, *, above: "Execution | None" = None
    ) -> None:
        super().__init__(run, plan, place)
        of_run = EventStreamingFrames if EVENT_MODE in run.modes else Frames
        self.frames = of_run(run, place.ns)
        self._above = above
        self._children: dict[str, Execution] = {}
        self._snapshots: dict[str, Snapshot] = {}
        """Where subgraphs stood, by namespace."""
        self._first_step = self.checkpoints.step
        self._quiet = False
        """What comes next was shown by an earlier attempt."""
        self._armed = True
        """Breakpoints hold; not in the superstep that a run takes up again."""
        self._failing = self._replaying = False

    # opening

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self._snapshots = {each.ns: each for each in subgraphs.below(snapshot)}
        self._first_step = self.checkpoints.step

    def take_below(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Know those of `snapshots` that are below this graph."""
        own = f"{self.place.ns}|"
        self._snapshots |= {ns: each for ns, each in snapshots.items() if ns.startswith(own)}

    def go_on(self, recorded: Iterable[Write] = (), *, armed: bool, quiet: bool) -> None:
        """Take up the tasks where `recorded` left them."""
        self._armed, self._quiet = armed, quiet
        if quiet and self.run.task.resuming and self.agenda.first_step is not None:
            self._first_step = self.agenda.first_step
        self.schedule(recorded)

    def retry(self) -> None:
        """Go on after a node failed: only what isn't finished runs again."""
        for task in self.tasks:
            if task.result is None:
                task.updates, task.goto, task.error, task.waits = [], [], None, ()

    def replay(self) -> None:
        """Let finished tasks run again, with the answers they had."""
        self._replaying = True

    def fork(self) -> None:
        self._snapshots = {}
        super().fork()

    def show_values(self) -> None:
        if self.frames.wants("values") and not self._quiet:
            self._values()

    # running

    async def drive(self) -> None:
        """Run supersteps until nothing is left to run.

        Raises GraphInterrupt at a question or breakpoint, GraphRecursionError, and whatever a
        node raised.
        """
        breaks = self.run.kwargs if not self.place.ns else None
        limit = self.run.recursion_limit
        self.agenda.first_step = self._first_step
        while True:
            self._show_checkpoint()
            self._forget_results()
            if breaks is not None and self._breaks(breaks.interrupt_after, self.agenda.ran):
                self._break()
            if self.checkpoints.step > self._first_step + limit + 1:
                raise GraphRecursionError(
                    f"Recursion limit of {limit} reached without hitting a "
                    "stop condition. You can increase the limit by setting the "
                    "`recursion_limit` config key."
                )
            if not self.tasks:
                return
            names = [task.name for task in self.tasks]
            if breaks is not None and self._breaks(breaks.interrupt_before, names):
                self._break()
            await self._superstep()
            self._advance()
            await self._paced()

    def _forget_results(self) -> None:
        if self._replaying:
            for task in self.tasks:
                task.updates, task.goto, task.result, task.replayed = [], [], None, False
        self._replaying = False

    def _breaks(self, at: list[str] | str | None, names: list[str]) -> bool:
        if not at or not self._armed:
            return False
        return any(name != START and (at == "*" or name in at) for name in names)

    def _break(self) -> None:
        self.frames.breakpoint()
        raise GraphInterrupt

    async def _superstep(self) -> None:
        state = self._input_json()
        if not self._quiet:
            for task in self.tasks:
                self.frames.started(task, self.checkpoints.step, task.arg or state)
            for task in self.tasks:
                if task.result is not None:
                    self.frames.finished(task, self.checkpoints.step)
        due = [task for task in self.tasks if task.result is None and not self._waits(task)]
        self._quiet = False
        try:
            if len(due) == 1:
                await self._attend(due[0])
            elif due:
                await self._together(due)
        except Exception:  # the run's outcome; what its siblings did is kept for the next run
            self._keep_pending()
            raise
        if asked := tuple(i for t in self.tasks if t.result is None for i in t.interrupts):
            self._keep_pending()
            self._show_pending()
            raise GraphInterrupt(asked)
        if waits := tuple(each for t in self.tasks if t.result is None for each in t.waits):
            self._keep_pending()
            raise GraphWait(waits)

    def _waits(self, task: NodeTask) -> bool:
        """Whether an earlier attempt of this run asked and nobody has answered since."""
        answers = self.run.answers
        answered = answers.value is not None or any(i.id in answers.by_id for i in task.interrupts)
        return self._quiet and bool(task.interrupts) and not answered

    def _input_json(self) -> bytes:
        """The state as task frames and interrupts show it; empty if nobody looks."""
        return self.channels.json() if self.frames.inputs else b""

    async def _together(self, due: list[NodeTask]) -> None:
        jobs = [asyncio.create_task(self._attend(task, turn=True)) for task in due]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_EXCEPTION)
            failures = [
                job for job in jobs if job.done() and not job.cancelled() and job.exception()
            ]
            self._failing = bool(failures)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        if failures:
            failures[0].result()

    async def _attend(self, task: NodeTask, *, turn: bool = False) -> None:
        """Run the task and keep what became of it. Raises what its node raised.

        With `turn` its siblings begin before its end is shown, as in LangGraph.
        """
        try:
            try:
                await self._work(task)
            finally:
                if turn:
                    await asyncio.sleep(0)
        except GraphInterrupt as stop:
            task.interrupts, task.error = stop.interrupts, None
            self._keep(task)
            self.frames.interrupted(task, self.checkpoints.step, self.channels.json(self._outputs))
        except GraphWait as stop:
            task.suspend(stop.waits, self.run.task.run_id, stop.shown)
            self._keep(task)
        except asyncio.CancelledError:
            if self._failing:
                task.error = "CancelledError()"
                self._keep(task)
            raise
        except Exception as error:
            task.error, task.result = repr(error), None
            task.updates, task.goto = [], []
            self._keep(task)
            self.frames.failed(task, self.checkpoints.step, masked(error))
            raise
        else:
            task.error = None
            self._keep(task)
            self.frames.finished(task, self.checkpoints.step)

    async def _work(self, task: NodeTask) -> None:
        if task.name == START:
            keys = self.plan.input_keys
            task.goto = list(self.agenda.start_goto)
            chosen = frozenset(keys) if keys is not None else None
            writes.take_input(task, self.agenda.start or b"null", self.channels, chosen)
            return
        node = self.plan.nodes[task.name]
        if self.frames.messages:
            self.frames.known(self.channels.values())
            self.run.messages_seen.update(task.shown_in(self.run.task.run_id))
        if node.subgraph is not None:
            node = attrs.evolve(node, call=self._graph_call(task, node, node.subgraph))
        returned = await calling.call(
            self.plan,
            node,
            task,
            channels=self.channels,
            context=lambda tries: self._context(task, tries),
            clock=self.run.clock,
        )
        writes.take(task, returned, self.channels, node)
        self.agenda.check(task.goto, by=f"Node {task.name!r}")
        if self.frames.messages:
            self.frames.returned(task, self._message_metadata(task))

    def _context(self, task: NodeTask, tries: int) -> Context:
        metadata = b""
        if self.frames.messages:
            tags = self.run.config.get("tags")
            more = {"checkpoint_ns": task.ns, **({"tags": tags} if tags else {})}
            metadata = self._message_metadata(task, **more)
        return Context(
            self.run,
            task,
            self.frames,
            checkpoint_id=self.checkpoints.checkpoint_id or "",
            scheduled=self.checkpoints.scheduled,
            tries=tries,
            metadata=metadata,
            anchor=self._anchor,
        )

    async def _anchor(self) -> None:
        """An effect needs the checkpoint its task starts at on record, whatever the durability."""
        self.anchor()
        await self.run.recorder.settled()

    def anchor(self) -> None:
        """Record the checkpoints that this one and the graphs above stand at."""
        if self._above is not None:
            self._above.anchor()
        self.store()

    # subgraphs

    def _graph_call(self, task: NodeTask, node: Node, plan: Plan) -> Any:
        async def call(_seen: Any, _injected: Mapping[str, Any]) -> Any:
            child = self._children.get(task.ns)
            if child is None:
                child = self._children[task.ns] = self._child(task, node, plan)
            else:
                child.retry()
            try:
                with child.frames.lifetime(task):
                    await child.drive()
            except ParentCommand as jump:
                return attrs.evolve(jump.command, graph=None)
            return child.output(node.output)

        return call

    def _child(self, task: NodeTask, node: Node, plan: Plan) -> "Execution":
        here, step = self.checkpoints.checkpoint_id or "", self.checkpoints.step
        place = subgraphs.place(self.place, task, checkpoint_id=here, step=step)
        child = Execution(self.run, plan, place, above=self)
        if (snapshot := self._snapshots.get(task.ns)) is not None:
            child.restore(snapshot)
            child.take_below(self._snapshots)
            quiet = self.run.task.resuming or task.waited == self.run.task.run_id
            child.go_on(snapshot.writes, armed=True, quiet=quiet)
            child.show_values()
        else:
            state = task.arg if task.arg is not None else self.channels.json()
            child.enter(subgraphs.given(state, node.input))
        return child

    # the record

    def _keep(self, task: NodeTask) -> None:
        if self.run.durability != "exit":
            self.put_write(task)

    def _keep_pending(self) -> None:
        if self.run.durability != "exit":
            self.put_pending_writes()

    def _advance(self) -> None:
        done = in_order(self.tasks)
        updates = [update for task in done for update in task.updates]
        # With `exit` the state before is still to be recorded, should this one fail.
        after = self.channels.copy() if self.run.durability == "exit" else self.channels
        after.apply(updates)
        self.channels = after
        self.agenda.advance(done)
        self._children.clear()
        self._snapshots.clear()
        if not self.place.ns:
            self.run.answers.clear()
        self._armed = True
        self.checkpoint("loop")
        if self.frames.wants("values") and self._visible(updates):
            self._values()

    async def _paced(self) -> None:
        if self.run.durability == "sync":
            await self.run.recorder.settled()
        else:
            await self.run.recorder.room()

    def close(self) -> None:
        """With `exit` durability: record where the graph has come to."""
        for child in self._children.values():
            child.close()
        super().close()

    # what is shown

    def _show_checkpoint(self) -> None:
        if not self.frames.checkpoints or self._quiet:
            return
        if (shown := self.checkpoints.shown()) is not None:
            state = self.channels.json()
            self.frames.checkpoint(shown, state=state, tasks=self.tasks, subgraphs=self._graphs)

    def _visible(self, updates: list[Update]) -> bool:
        outputs = self._outputs
        return any(outputs is None or update.channel in outputs for update in updates)

    def _values(self) -> None:
        whole = self._outputs is None and self.checkpoints.stored and self.channels.clean
        self.frames.stands_at(self.checkpoints.shown)
        self.frames.values(
            self.channels.json(self._outputs),
            checkpoint_id=self.checkpoints.stored_id if whole else None,
        )

    def _show_pending(self) -> None:
        if self.place.ns or not self.frames.wants("values"):
            return
        if self._visible(pending_writes.updates(self.tasks)):
            self.frames.values(pending_writes.state(self.channels, self.tasks).json(self._outputs))

    def _message_metadata(self, task: NodeTask, **streamed: Any) -> bytes:
        """As frames of messages carry it; those that stream say a little more."""
        of_node = self.plan.nodes[task.name].metadata
        own = task.metadata(self.checkpoints.step)
        return serialize.encode({**self.run.told, **of_node, **own, **streamed})
