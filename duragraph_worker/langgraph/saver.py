"""LangGraph's checkpointer, bound to one attempt: what it puts goes to the attempt's recorder.

How it reads is `reading.py`'s business. Whoever reads the graph's stream tells it three things:
`scheduled`, as LangGraph emits a part of mode "checkpoints", says what is to run next; `values`
gives a part of mode "values" as JSON, with the checkpoint that is recorded with these very
values, if it is the one that follows: its frame can be a reference, and is put once that is;
`pending` records, where a run stops amid a superstep, the state with what its finished tasks
wrote.

All of it runs on the loop that made it; the sync methods are for graphs at work in other threads.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.types import Durability

from duragraph.protocol import (
    PENDING_TASK,
    ROOT_CHANNEL,
    RUN_TASK,
    Scheduled,
    Task,
    Write,
)
from duragraph_worker.langgraph import checkpoints, message_ids, serialize, terms
from duragraph_worker.langgraph.channels import Channels
from duragraph_worker.langgraph.checkpoints import Recorded
from duragraph_worker.langgraph.outbox import Outbox
from duragraph_worker.langgraph.reading import Reading
from duragraph_worker.langgraph.task_writes import TaskWrites
from duragraph_worker.record import Recorder
from duragraph_worker.serialize import join_object
from duragraph_worker.served import Reach

GraphAt = Callable[[str], object | None]
"""By namespace the compiled graph there; None for one not known."""


class Saver(Reading):
    """The checkpointer of one attempt at `task`."""

    def __init__(
        self,
        task: Task,
        recorder: Recorder,
        reach: Reach,
        *,
        graph_at: GraphAt = lambda _ns: None,
        durability: Durability = "async",
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(task, recorder, reach, serde=serde)
        self._graph_at, self._durability = graph_at, durability
        self._channels: dict[object | None, Channels] = {}
        """By graph."""
        self._arrived = asyncio.Event()
        self._broken: Exception | None = None
        self._outbox = Outbox(recorder)
        self._parts: dict[str, Mapping[str, Any]] = {}
        """What was scheduled after checkpoints that are still to be put, by their ids."""
        self._latest_part: dict[str, str] = {}
        self._order: list[str] = []
        """The root's tasks where it stands, by id."""
        before = task.snapshot.writes if task.snapshot is not None and not self.commanded else []
        self._commanded_before = next((w for w in before if w.task_id == RUN_TASK), None)
        """What an earlier run's command left where this one starts."""
        self._applied = False
        """What the run was given is in the state: LangGraph goes on from there."""
        if self.commanded:
            self._forget_answer(self._at[""])

    def _forget_answer(self, at: Recorded) -> None:
        """An earlier attempt's one resume value must not answer another question."""
        mine = self._task.run_id
        tasks = [each for recorded in self._at.values() for each in recorded.writes.values()]
        if any(t.answered for t in tasks if t.run_id == mine and t.task_id != RUN_TASK):
            at.writes[RUN_TASK].forget_answer()

    # what the graph's stream tells

    def scheduled(self, ns: str, part: Mapping[str, Any]) -> None:
        """What runs after a checkpoint: `part` is a payload of stream mode "checkpoints".

        Best told as it is emitted; whether before or after its checkpoint is put is the same.
        """
        checkpoint_id = terms.checkpoint_id(part["config"])
        task_ids = [task["id"] for task in part["tasks"]]
        self._tasks.update(task_ids)
        if not ns:
            self._applied, self._order = True, task_ids
        recorded = self._known.get(checkpoint_id)
        if recorded is not None:
            self._schedule(recorded, part)
            return
        if self._durability == "exit":
            self._parts.pop(self._latest_part.get(ns, ""), None)
        self._parts[checkpoint_id], self._latest_part[ns] = part, checkpoint_id

    async def until_put(self, checkpoint_id: str) -> None:
        """Wait until a checkpoint that the stream has told of is put; not under `exit`.

        It is put by a task of the loop that begins before the nodes after it do. Raises what an
        earlier one's put raised: LangGraph puts no more after that.
        """
        while checkpoint_id not in self._known and checkpoint_id not in self._put:
            if self._broken is not None:
                raise self._broken
            self._arrived.clear()
            await self._arrived.wait()

    def values(self, ns: str, chunk: Any) -> tuple[bytes, str | None]:
        """`chunk` as JSON, and the checkpoint that is recorded with these very values, if any.

        Its frame can be a reference, put behind that checkpoint: so ask `until_put` first.
        """
        recorded = self._equal(ns, chunk)
        if recorded is None:
            return serialize.dump(chunk), None
        recorded.shown = True
        if ROOT_CHANNEL in recorded.cells:
            return recorded.cells[ROOT_CHANNEL].json, recorded.checkpoint_id
        fields = ((name, recorded.cells[name].json) for name in chunk)
        return join_object(fields), recorded.checkpoint_id

    def release(self) -> None:
        """Put the checkpoint that is held until what runs next and what shows it follow at once."""
        self._outbox.release()

    def passed(self, ns: str) -> None:
        """The stream is past the newest checkpoint: what it shows from now on comes after it."""
        if (recorded := self._at.get(ns)) is not None:
            recorded.shown = True

    def interrupts(self) -> bytes:
        """`{task_id: [{id, value}]}` of the root's tasks that wait for an answer, in order."""
        at, places = self._at.get(""), {each: place for place, each in enumerate(self._order)}
        writes = [] if at is None else [*at.writes.values()]
        writes.sort(key=lambda task: places.get(task.task_id, 0))
        return join_object(
            (task.task_id, task.interrupts)
            for task in writes
            if task.interrupts is not None and task.result is None
        )

    @property
    def commanded(self) -> bool:
        """Whether the run's command is on record where it starts, or that it goes on from there."""
        at = self._at.get("")
        command = at.writes.get(RUN_TASK) if at is not None else None
        return command is not None and command.run_id == self._task.run_id

    @property
    def spent(self) -> int:
        """How many supersteps of the run are on record by earlier attempts."""
        at = self._at.get("")
        return at.step - at.since if at is not None and self._task.resuming else 0

    @property
    def begun(self) -> bool:
        """Whether an earlier attempt has recorded anything where the run starts."""
        mine = self._task.run_id
        return any(t.run_id == mine for at in self._at.values() for t in at.writes.values())

    @property
    def asked(self) -> set[str]:
        """The ids of the interrupts that wait.

        What a subgraph asks is known where it is asked: the task above hears of it later.
        """
        above = {ns.rpartition(":")[2] for ns in self._at}
        return {
            asked.id
            for recorded in self._at.values()
            for task in recorded.writes.values()
            if task.interrupts is not None and task.result is None and task.task_id not in above
            for asked in msgspec.json.decode(task.interrupts, type=list[_Asked])
        }

    @property
    def partial(self) -> list[str]:
        """The namespaces where some tasks have finished of those that run where it stands."""
        return [
            ns
            for ns, recorded in self._at.items()
            if any(t.result is not None for t in recorded.writes.values() if t.task_id != RUN_TASK)
        ]

    def go_on(self) -> None:
        """Record with what is shown first that the run goes on from where its thread stands."""
        if (at := self._newest.get("")) is None or self._durability == "exit":
            return
        writes = at.writes.setdefault(RUN_TASK, TaskWrites(RUN_TASK))
        writes.run_id = self._task.run_id
        self._outbox.hold(writes.dump(checkpoint_id=at.checkpoint_id, ns=""))

    def retract(self) -> None:
        """Take back the run's command if the state can't take it: no later run could start."""
        if self._applied or not self.commanded:
            return
        at, before = self._at[""], self._commanded_before
        del at.writes[RUN_TASK]
        if before is not None and before.opaque:
            at.writes[RUN_TASK] = TaskWrites.load(before)
        self._recorder.put(before or Write(at.checkpoint_id, "", RUN_TASK))

    def pending(self, ns: str, values: Any) -> None:
        """Record for readers the state as it is where a run stops amid a superstep.

        `values`: with what finished tasks wrote, as `aget_state` tells while no id is asked for.
        """
        if (recorded := self._at.get(ns)) is not None and (changed := recorded.changed(values)):
            self._recorder.put(Write(recorded.checkpoint_id, ns, PENDING_TASK, result=changed))

    def _equal(self, ns: str, chunk: Any) -> Recorded | None:
        """A reducer may change a value in place: then only what is shown first is equal."""
        recorded = self._at.get(ns)
        if recorded is None or recorded.shown or recorded.commanded:
            return None
        if recorded.asks(chunk):
            return None
        objects, given = recorded.objects, recorded.by_channel(chunk)
        same = given.keys() == objects.keys() and all(v is objects[n] for n, v in given.items())
        return recorded if same else None

    def _schedule(self, recorded: Recorded, part: Mapping[str, Any]) -> None:
        """Say what runs after a checkpoint, unless the record says so already."""
        made_here, known = recorded.checkpoint_id in self._put, recorded.next
        if not made_here and recorded.commanded:
            # Where the command goes is no part of what the checkpoint itself led to.
            self._record_command(recorded, part["values"])
        elif made_here or known != [t["name"] for t in self._in_order(recorded, part["tasks"])]:
            # One that an earlier attempt made may lack what was to be said after it.
            self._outbox.put(self._said(recorded, part))
        if made_here and recorded is not self._at.get(recorded.ns):
            self._leave(recorded.checkpoint_id)

    def _said(self, recorded: Recorded, part: Mapping[str, Any]) -> Scheduled:
        """What follows a checkpoint, and what it left out of the state."""
        tasks = self._in_order(recorded, part["tasks"])
        recorded.next = [task["name"] for task in tasks]
        channels = recorded.complete(part["values"], self.serde)
        return Scheduled(recorded.checkpoint_id, recorded.next, serialize.dump(tasks), channels)

    def _in_order(self, recorded: Recorded, tasks: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """As `Checkpoint.tasks` has them: what was sent first, then nodes as the graph has them."""
        listed = [_listed(place, task, recorded.sends) for place, task in enumerate(tasks)]
        if len(listed) - recorded.sends > 1:
            places = {
                name: place
                for place, name in enumerate(getattr(self._graph_at(recorded.ns), "nodes", ()))
            }
            listed[recorded.sends :] = sorted(
                listed[recorded.sends :], key=lambda task: places.get(task["name"], 0)
            )
        return listed

    def _record_command(self, recorded: Recorded, values: Any) -> None:
        """The state that the run's own command made of the checkpoint it acts on."""
        writes = recorded.writes[RUN_TASK]
        writes.result = recorded.changed(values)
        self._outbox.put(writes.dump(checkpoint_id=recorded.checkpoint_id, ns=recorded.ns))

    # what the graph puts

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - the parent tells as much
    ) -> RunnableConfig:
        """Record a checkpoint; with durability `sync`, wait until it is. Raises Fenced.

        For one of the root's that waits where the stream says what runs next.
        """
        try:
            stored = self._record(config, checkpoint, metadata)
        except Exception as error:
            self._broken = error
            raise
        finally:
            self._put.add(checkpoint["id"])
            self._arrived.set()
        if self._durability == "sync" and not self._outbox.holds:
            await self._recorder.settled()
        return stored

    def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> Coroutine[Any, Any, None]:
        """Record what a task wrote at the checkpoint that `config` names.

        At the call already, so that the record precedes the parts that show it. What it raises
        is awaited all the same: the caller may be a callback of the loop's, which fails no run.
        """
        try:
            self._record_writes(config, writes, task_id, task_path)
        except Exception as error:  # noqa: BLE001 - raised where LangGraph awaits it
            return _done(error)
        return _done()

    def _record(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> RunnableConfig:
        ns = config["configurable"].setdefault("checkpoint_ns", "")
        base = self._known.get(checkpoints.parent_of(config) or "")
        part = self._parts.pop(checkpoint["id"], None)
        recorded, item = checkpoints.record(
            checkpoint,
            metadata,
            config,
            base=base,
            goes_on=base is not None and (self._task.resuming or base.checkpoint_id in self._put),
            shown=self._channels_of(ns).shown,
            serde=self.serde,
            said=None if part is None else lambda recorded: self._said(recorded, part),
        )
        self.release()
        # What the stream has told of, or is about to: LangGraph waits for the put under `sync`, but
        # where a run stops after a node.
        told = part is not None or self._durability == "sync"
        if not ns and told == (self._durability != "exit"):
            self._outbox.hold(item)
        else:
            self._recorder.put(item)
        recorded.writes = self._writes[recorded.checkpoint_id]
        for each in recorded.writes.values():
            self._outbox.put(each.dump(checkpoint_id=recorded.checkpoint_id, ns=ns))
        before = self._at.get(ns)
        # Where clients look at subgraphs, these may be ahead of what the stream tells of them.
        if before is not None and before.checkpoint_id in self._put and before.next:
            self._leave(before.checkpoint_id)
        self._known[recorded.checkpoint_id] = self._at[ns] = self._newest[ns] = recorded
        self._put.add(recorded.checkpoint_id)
        return checkpoints.address(self._task.thread_id, ns, recorded.checkpoint_id)

    def _record_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> None:
        configurable = config["configurable"]
        ns, checkpoint_id = configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"]
        channels = self._channels_of(ns)
        message_ids.give(channels.of_messages, writes)
        recorded = self._writes[checkpoint_id].setdefault(task_id, TaskWrites(task_id))
        recorded.run_id = self._task.run_id
        recorded.add(writes, task_path, shown=channels.shown, serde=self.serde)
        # A subgraph's first task may be done before its first checkpoint is put.
        if checkpoint_id not in self._parts:
            self._outbox.hold_briefly(recorded.dump(checkpoint_id=checkpoint_id, ns=ns))

    def _channels_of(self, ns: str) -> Channels:
        graph = self._graph_at(ns)
        if graph not in self._channels:
            self._channels[graph] = Channels.of(graph)
        return self._channels[graph]


async def _done(error: Exception | None = None) -> None:
    """What LangGraph awaits where all is done, or has failed, already."""
    if error is not None:
        raise error


def _listed(place: int, task: Mapping[str, Any], sends: int) -> dict[str, Any]:
    """As `Checkpoint.tasks` has it."""
    path = ["__pregel_push", place, False] if place < sends else ["__pregel_pull", task["name"]]
    listed = {"id": task["id"], "name": task["name"], "path": path}
    inner = task["state"]
    return {**listed, "ns": inner["configurable"]["checkpoint_ns"]} if inner else listed


class _Asked(msgspec.Struct):
    id: str
