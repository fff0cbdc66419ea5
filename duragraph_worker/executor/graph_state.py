"""The state of one graph of a run, at a checkpoint: channels, what runs next, and their record.

Owns how a state is taken up, changed and recorded. Runs nothing: see `execution.py`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from duragraph.protocol import RUN_TASK, Snapshot, Write
from duragraph_worker.command import Command
from duragraph_worker.executor import pending_writes, subgraphs, writes
from duragraph_worker.executor.agenda import Agenda, Goto, NodeTask, Topology, load_goto
from duragraph_worker.executor.channels import Channels
from duragraph_worker.executor.checkpoints import ROOT, Checkpoints, Place, Source
from duragraph_worker.executor.run import Run
from duragraph_worker.executor.writes import RunCommand
from duragraph_worker.plan import START, Plan


class GraphState:
    """Empty at first; `enter` or `restore` it."""

    def __init__(self, run: Run, plan: Plan, place: Place = ROOT) -> None:
        self.run, self.plan, self.place = run, plan, place
        self._topology = Topology.of(plan)
        self._graphs = frozenset(n for n, node in plan.nodes.items() if node.subgraph is not None)
        self._outputs = frozenset(plan.output_keys) if plan.output_keys is not None else None
        self.checkpoints = Checkpoints(run, place)
        self.channels = Channels(plan, None)
        self.agenda = Agenda(self._topology)
        self.tasks: list[NodeTask] = []

    # taking up

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of `snapshot` and the tasks it left undone."""
        self.channels = Channels(self.plan, snapshot)
        self.agenda = Agenda.load(self._topology, snapshot.opaque)
        self.checkpoints.take_up(snapshot)

    def enter(self, data: bytes, goto: Iterable[Goto] = ()) -> None:
        """Begin with the input `data`, JSON; what was left undone before is given up."""
        self.agenda.discard()
        self.agenda.start, self.agenda.start_goto, self.agenda.ran = data, list(goto), []
        self.agenda.first_step = self.checkpoints.step
        self.checkpoint("input")

    def schedule(self, recorded: Iterable[Write] = ()) -> None:
        """Know the tasks that the checkpoint leaves to run, as `recorded` left them."""
        at = self.checkpoints
        if at.checkpoint_id is not None:
            self.tasks = self.agenda.tasks(at.checkpoint_id, self.place.ns, at.step)
        by_task = {write.task_id: write for write in recorded}
        for task in self.tasks:
            if task.id in by_task:
                writes.load(task, by_task[task.id], self.channels)

    def command(self, command: RunCommand) -> None:
        """Apply a run's own update and jumps to the state taken up."""
        task = NodeTask(RUN_TASK, START, ("", START), (), "")
        writes.take(task, Command(update=command.update), self.channels)
        self.channels.apply(task.updates)
        self.agenda.jump(load_goto(command.targets), by="The run's command")

    def fork(self) -> None:
        """Branch off the checkpoint taken up: its tasks run again, under ids of their own."""
        self.agenda.first_step = self.checkpoints.step
        self.checkpoint("fork")

    # giving

    def output_json(self) -> bytes:
        return self.channels.json(self._outputs)

    def output(self, names: Mapping[str, str] | None) -> dict[str, Any]:
        """What a subgraph's node returns."""
        values = self.channels.values()
        if self._outputs is not None:
            values = {key: value for key, value in values.items() if key in self._outputs}
        return subgraphs.returned(values, names)

    # recording

    def checkpoint(self, source: Source) -> None:
        """The state as it is now becomes a checkpoint; the tasks after it are known."""
        self.checkpoints.extend(source)
        self.schedule()
        if self.run.durability != "exit":
            self.store()

    def store(self) -> None:
        """Record the checkpoint, unless it is on record."""
        tasks = self.tasks
        if len(tasks) > 1:
            # Clients find them in the order of the graph; what is sent there comes first.
            order = list(self.plan.nodes)
            tasks = sorted(tasks, key=lambda t: -1 if t.pushed else order.index(t.name))
        self.checkpoints.store(self.channels, self.agenda, tasks, self._graphs)

    def put_write(self, task: NodeTask) -> None:
        put, checkpoint_id = self.run.recorder.put, self.checkpoints.checkpoint_id or ""
        put(writes.dump(task, checkpoint_id=checkpoint_id, ns=self.place.ns))

    def put_pending_writes(self) -> None:
        at = self.checkpoints.checkpoint_id or ""
        write = pending_writes.record(self.channels, self.tasks, checkpoint_id=at, ns=self.place.ns)
        if write is not None:
            self.run.recorder.put(write)

    def close(self) -> None:
        """With `exit` durability: record where the graph has come to."""
        if self.run.durability != "exit":
            return
        self.store()
        for task in self.tasks:
            if task.result is not None or task.error is not None or task.interrupts or task.waits:
                self.put_write(task)
        self.put_pending_writes()
