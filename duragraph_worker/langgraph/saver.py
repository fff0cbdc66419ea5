"""LangGraph's checkpointer, bound to one attempt: what it puts goes to the attempt's recorder.

Reads are answered from the task's snapshot and from what this attempt put; only what neither
can tell is asked of the plane. Whoever reads the graph's stream tells it three things:
`scheduled` at each part of mode "checkpoints", in the order of the stream, says what is to run
next, and waits while the record lags; `values` gives a part of mode "values" as JSON, with the
checkpoint that is recorded with these very values, if there is one: its frame can be a reference,
and is put behind that checkpoint; `pending` records, where a run stops amid a superstep, the
state with what its finished tasks wrote. Ask for "checkpoints" always, with `subgraphs=True`.

All of it runs on the loop that made it; the sync methods are for graphs at work in other threads.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from duragraph.protocol import (
    MOST_CHECKPOINTS,
    ROOT_CHANNEL,
    CheckpointQuery,
    Scheduled,
    Snapshot,
    Task,
    Write,
)
from duragraph_worker.langgraph import serialize, stands
from duragraph_worker.langgraph.stands import Stand
from duragraph_worker.langgraph.task_writes import Shown, TaskWrites
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

RUN_TASK = "00000000-0000-0000-0000-000000000000"
"""The task under which LangGraph records a run's own command."""
PENDING_TASK = "00000000-0000-0000-0000-000000000001"
"""The task under which a superstep's pending writes are recorded, applied to the state."""

Durability = Literal["sync", "async", "exit"]
Visible = Callable[[str], Shown | None]
"""By namespace the channels that clients see (`stream_channels_asis`); None if not known."""
T = TypeVar("T")


class Saver(BaseCheckpointSaver[int]):
    """The checkpointer of one attempt at `task`."""

    def __init__(
        self,
        task: Task,
        recorder: Recorder,
        reach: Reach,
        *,
        visible: Visible,
        durability: Durability = "async",
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self._task, self._recorder, self._reach = task, recorder, reach
        self._visible, self._durability = visible, durability
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._known: dict[str, Stand] = {}
        """Those taken from the record, and the newest put of each namespace, by id."""
        self._at: dict[str, Stand] = {}
        """Where the graph of each namespace stands."""
        self._newest: dict[str, Stand] = {}
        """By namespace, where that is known without asking."""
        self._put: set[str] = set()
        """The checkpoints of this attempt."""
        self._writes: defaultdict[str, dict[str, TaskWrites]] = defaultdict(dict)
        self._parts: dict[str, Mapping[str, Any]] = {}
        """What was scheduled after checkpoints that are still to be put."""
        if task.snapshot is not None:
            self._start(task.snapshot)

    def _start(self, snapshot: Snapshot) -> None:
        """Know where the run starts, and the subgraphs at work there."""
        at = self._take(snapshot)
        self._at[""] = at
        if self._task.resuming or not _addressed(self._task):
            self._newest[""] = at
        for child in snapshot.children:
            self._at[child.ns] = stand = self._take(child)
            if _of_a_task(child.ns):
                self._newest[child.ns] = stand

    def _take(self, snapshot: Snapshot) -> Stand:
        stand = Stand.load(snapshot, self.serde)
        self._writes[stand.checkpoint_id] = stand.writes
        self._known[stand.checkpoint_id] = stand
        return stand

    # -- what the graph's stream tells ------------------------------------------------

    async def scheduled(self, ns: str, part: Mapping[str, Any]) -> None:
        """`part`: a payload of stream mode "checkpoints". Raises Fenced."""
        checkpoint_id = part["config"]["configurable"]["checkpoint_id"]
        stand = self._known.get(checkpoint_id)
        if stand is None:
            self._parts[checkpoint_id] = part
        else:
            self._schedule(stand, part)
        if not ns:
            await self._recorder.room()

    async def values(self, ns: str, chunk: Any) -> tuple[bytes, str | None]:
        """`chunk` as JSON, and the checkpoint whose recorded values it equals."""
        stand = self._equal(ns, chunk)
        if stand is None:
            # Its checkpoint is put by a task of the loop that is about to start.
            await asyncio.sleep(0)
            stand = self._equal(ns, chunk)
        if stand is None:
            return serialize.dump(chunk), None
        if not isinstance(chunk, Mapping) or ROOT_CHANNEL in stand.cells:
            return stand.cells[ROOT_CHANNEL].json, stand.checkpoint_id
        fields = ((name, stand.cells[name].json) for name in chunk)
        return serialize.join_object(fields), stand.checkpoint_id

    def pending(self, ns: str, values: Any, *, command: bool = False) -> None:
        """Record the state as it stands amid a superstep: `values` with pending writes applied.

        With `command` it is the state that the run's own command made.
        """
        stand = self._at.get(ns)
        if stand is None:
            return
        changed = self._changed(stand, values)
        task_id = RUN_TASK if command else PENDING_TASK
        if changed is None:
            return
        if task_id in stand.writes:
            stand.writes[task_id].result = changed
            self._recorder.put(stand.writes[task_id].dump(checkpoint_id=stand.checkpoint_id, ns=ns))
        else:
            self._recorder.put(Write(stand.checkpoint_id, ns, task_id, result=changed))

    def _equal(self, ns: str, chunk: Any) -> Stand | None:
        stand = self._at.get(ns)
        if stand is None or stand.sealed or RUN_TASK in stand.writes:
            return None
        given = chunk if isinstance(chunk, Mapping) else {ROOT_CHANNEL: chunk}
        if ROOT_CHANNEL in stand.objects:
            given = {ROOT_CHANNEL: chunk}
        objects = stand.objects
        same = given.keys() == objects.keys() and all(v is objects[n] for n, v in given.items())
        return stand if same else None

    def _changed(self, stand: Stand, values: Any) -> bytes | None:
        """The channels whose values differ from those recorded, as a JSON object."""
        given = values if isinstance(values, Mapping) else {ROOT_CHANNEL: values}
        if ROOT_CHANNEL in stand.cells:
            given = {ROOT_CHANNEL: values}
        changed = [
            (name, json)
            for name, value in given.items()
            if (json := serialize.dump(value))
            and (name not in stand.cells or stand.cells[name].json != json)
        ]
        return serialize.join_object(changed) if changed else None

    def _schedule(self, stand: Stand, part: Mapping[str, Any]) -> None:
        """Say what runs after a checkpoint, unless the record says so already."""
        stand.sealed = True
        following = list(part["next"])
        if stand.checkpoint_id not in self._put and following == stand.next:
            return
        stand.next = following
        tasks = [_listed(place, task, stand.sends) for place, task in enumerate(part["tasks"])]
        self._recorder.put(Scheduled(stand.checkpoint_id, following, serialize.dump(tasks)))

    # -- what the graph puts ----------------------------------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002 - the parent tells as much
    ) -> RunnableConfig:
        """Record a checkpoint; with durability `sync`, wait until it is. Raises Fenced."""
        stored = self._record(config, checkpoint, metadata)
        if self._durability == "sync":
            await self._recorder.settled()
        return stored

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Record what a task wrote at the checkpoint that `config` names."""
        self._record_writes(config, writes, task_id, task_path)

    def _record(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> RunnableConfig:
        ns = config["configurable"].setdefault("checkpoint_ns", "")
        base = self._known.get(stands.parent_of(config) or "")
        stand, item = stands.record(
            checkpoint, metadata, config, base=base, shown=self._shown(ns), serde=self.serde
        )
        self._recorder.put(item)
        stand.writes = self._writes[stand.checkpoint_id]
        before = self._at.get(ns)
        if before is not None and before.checkpoint_id in self._put:
            self._known.pop(before.checkpoint_id, None)
            self._writes.pop(before.checkpoint_id, None)
        self._known[stand.checkpoint_id] = self._at[ns] = self._newest[ns] = stand
        self._put.add(stand.checkpoint_id)
        if (part := self._parts.pop(stand.checkpoint_id, None)) is not None:
            self._schedule(stand, part)
        return stands.address(self._task.thread_id, ns, stand.checkpoint_id)

    def _record_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> None:
        configurable = config["configurable"]
        ns, checkpoint_id = configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"]
        recorded = self._writes[checkpoint_id].setdefault(task_id, TaskWrites(task_id))
        recorded.add(writes, task_path, shown=self._shown(ns), serde=self.serde)
        self._recorder.put(recorded.dump(checkpoint_id=checkpoint_id, ns=ns))

    def _shown(self, ns: str) -> Shown:
        shown = self._visible(ns)
        return stands.named_as_visible if shown is None else shown

    # -- what the graph reads ---------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint by its id, or a namespace's newest. Raises Fenced."""
        ns, checkpoint_id = self._address(config)
        if checkpoint_id is not None:
            stand = self._known.get(checkpoint_id)
            if stand is None:
                found = await self._ask(ns=ns, checkpoint_id=checkpoint_id)
                stand = found[0] if found else None
        else:
            stand = await self._find_newest(ns)
        if stand is None:
            return None
        self._at.setdefault(ns, stand)
        return stand.tuple(self._task.thread_id, self.serde)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The thread's, newest first; of every namespace if `config` names none."""
        ns, checkpoint_id = None, None
        if config is not None:
            ns, checkpoint_id = self._address(config)
            ns = ns if "checkpoint_ns" in config["configurable"] else None
        older = before["configurable"].get("checkpoint_id") if before is not None else None
        left = limit
        while left is None or left > 0:
            wanted = MOST_CHECKPOINTS if left is None else min(left, MOST_CHECKPOINTS)
            page = await self._ask(
                ns=ns,
                checkpoint_id=checkpoint_id,
                before=older,
                metadata=serialize.dump(filter or {}),
                limit=wanted,
                keep=False,
            )
            for stand in page:
                yield stand.tuple(self._task.thread_id, self.serde)
            if len(page) < wanted:
                return
            left, older = left and left - len(page), page[-1].checkpoint_id

    async def _find_newest(self, ns: str) -> Stand | None:
        if ns in self._newest or _of_a_task(ns):
            return self._newest.get(ns)
        if not ns and self._task.snapshot is None:
            return None
        found = await self._ask(ns=ns)
        return found[0] if found else None

    async def _ask(self, *, keep: bool = True, **query: Any) -> list[Stand]:
        """From the record, with all that this attempt put on it."""
        if self._put:
            await self._recorder.settled()
        asked = CheckpointQuery(self._task.run_id, self._task.epoch, **query)
        found = await self._reach.checkpoints(asked)
        return [self._take(each) if keep else Stand.load(each, self.serde) for each in found]

    def _address(self, config: RunnableConfig) -> tuple[str, str | None]:
        """Raises ValueError for another thread than the run's."""
        configurable = config["configurable"]
        thread_id = str(configurable["thread_id"])
        if thread_id != self._task.thread_id:
            raise ValueError(
                f"A run reads the checkpoints of its own thread, {self._task.thread_id}, not of "
                f"{thread_id}: ask for others through the API"
            )
        return configurable.get("checkpoint_ns", ""), configurable.get("checkpoint_id") or None

    # -- the same from other threads --------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._wait(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        async def every() -> Sequence[CheckpointTuple]:
            return [
                each async for each in self.alist(config, filter=filter, before=before, limit=limit)
            ]

        return iter(self._wait(every()))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._wait(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self._wait(self.aput_writes(config, writes, task_id, task_path))

    def _wait(self, job: Coroutine[Any, Any, T]) -> T:
        """Raises RuntimeError on the loop's own thread, if the plane must answer first."""
        if threading.get_ident() != self._thread:
            return asyncio.run_coroutine_threadsafe(job, self._loop).result()
        try:
            job.send(None)
        except StopIteration as done:
            return cast("T", done.value)
        job.close()
        raise RuntimeError(
            "This checkpoint must be asked of the plane, which would block the event loop: use "
            "the async methods (ainvoke, aget_state, …) in async nodes"
        )


def _listed(place: int, task: Mapping[str, Any], sends: int) -> dict[str, Any]:
    """As `Checkpoint.tasks` has it."""
    path = ["__pregel_push", place, False] if place < sends else ["__pregel_pull", task["name"]]
    listed = {"id": task["id"], "name": task["name"], "path": path}
    inner = task["state"]
    return {**listed, "ns": inner["configurable"]["checkpoint_ns"]} if inner else listed


def _of_a_task(ns: str) -> bool:
    """Task ids derive from the checkpoint above: such a namespace is new under a new one."""
    return ":" in ns


class _Configurable(msgspec.Struct):
    checkpoint_id: str | None = None


class _Config(msgspec.Struct):
    configurable: _Configurable = msgspec.field(default_factory=_Configurable)


class _Kwargs(msgspec.Struct):
    config: _Config = msgspec.field(default_factory=_Config)


def _addressed(task: Task) -> bool:
    """Whether the run starts at a checkpoint that its client named."""
    kwargs = msgspec.json.decode(task.kwargs, type=_Kwargs)
    return kwargs.config.configurable.checkpoint_id is not None
