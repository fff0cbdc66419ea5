"""A checkpointer's reads: from a task's snapshot, from what its attempt put, else of the plane.

Knows where the graph of each namespace stands, and what is the newest there without asking: below
a task that the attempt itself has scheduled nothing can be on record but what it has put.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol

from duragraph.protocol import MOST_CHECKPOINTS, CheckpointQuery, Snapshot, Task
from duragraph_worker.langgraph import serialize
from duragraph_worker.langgraph.checkpoints import Recorded
from duragraph_worker.langgraph.task_writes import TaskWrites
from duragraph_worker.langgraph.upkeep import Upkeep
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

_RESUMING = "__pregel_resuming"


class Reading(Upkeep):
    """What an attempt knows of its thread."""

    def __init__(
        self, task: Task, recorder: Recorder, reach: Reach, *, serde: SerializerProtocol | None
    ) -> None:
        super().__init__(task, recorder, reach, serde=serde)
        self._known: dict[str, Recorded] = {}
        """Those taken from the record, and the newest put of each namespace, by id."""
        self._at: dict[str, Recorded] = {}
        """Where the graph of each namespace stands."""
        self._newest: dict[str, Recorded] = {}
        """By namespace, where that is known without asking."""
        self._put: set[str] = set()
        """The checkpoints of this attempt."""
        self._writes: defaultdict[str, dict[str, TaskWrites]] = defaultdict(dict)
        """By checkpoint and task."""
        self._tasks: set[str] = set()
        """Those that this attempt has scheduled, by id."""
        self._fresh = task.snapshot is None
        """Nothing was on record before the run."""
        if task.snapshot is not None:
            self._start(task.snapshot)

    def _start(self, snapshot: Snapshot) -> None:
        """Know where the run starts, and the subgraphs at work there."""
        self._at[""] = at = self._take(snapshot)
        if self._task.resuming or not _addressed(self._task):
            self._newest[""] = at
        for child in snapshot.children:
            self._at[child.ns] = recorded = self._take(child)
            if _task_ids(child.ns):
                self._newest[child.ns] = recorded

    def _take(self, snapshot: Snapshot) -> Recorded:
        recorded = Recorded.load(snapshot, self.serde)
        self._writes[recorded.checkpoint_id] = recorded.writes
        self._known[recorded.checkpoint_id] = recorded
        return recorded

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint by its id, or a namespace's newest. Raises Fenced."""
        ns, checkpoint_id = self._address(config)
        if checkpoint_id is not None:
            recorded = self._known.get(checkpoint_id)
            if recorded is None or recorded.ns != ns:
                found = await self._ask(ns=ns, checkpoint_id=checkpoint_id)
                recorded = found[0] if found else None
        else:
            recorded = await self._find_newest(ns)
            self._keep_input(config, recorded)
        if recorded is None:
            return None
        self._at.setdefault(ns, recorded)
        return recorded.tuple(self._task.thread_id, self.serde)

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
                keep=limit == 1,
            )
            for recorded in page:
                yield recorded.tuple(self._task.thread_id, self.serde)
            if len(page) < wanted:
                return
            left, older = left and left - len(page), page[-1].checkpoint_id

    def forget(self) -> None:
        self._fresh = False
        for known in (self._known, self._newest, self._at, self._writes, self._tasks):
            known.clear()

    def _leave(self, checkpoint_id: str) -> None:
        """Hold a checkpoint no longer: it is asked for if it is read."""
        self._known.pop(checkpoint_id, None)
        self._writes.pop(checkpoint_id, None)

    async def _find_newest(self, ns: str) -> Recorded | None:
        """Below a task of this attempt nothing is on record but what the attempt has put."""
        new = self._fresh or not self._tasks.isdisjoint(_task_ids(ns))
        if ns in self._newest or new:
            return self._newest.get(ns)
        found = await self._ask(ns=ns)
        return found[0] if found else None

    async def _ask(self, *, keep: bool = True, **query: Any) -> list[Recorded]:
        """From the record, with all that this attempt put on it."""
        if self._put:
            await self._settle()
        asked = CheckpointQuery(self._task.run_id, self._task.epoch, **query)
        found = await self._reach.checkpoints(asked)
        return [self._take(each) if keep else Recorded.load(each, self.serde) for each in found]

    def _keep_input(self, config: RunnableConfig, newest: Recorded | None) -> None:
        """Have a subgraph begin that an earlier attempt had not begun yet.

        LangGraph takes all below the superstep that a run goes on with as begun, and leaves out
        the input of one that remembers earlier runs.
        """
        configurable = config["configurable"]
        above = [*configurable.get("checkpoint_map", {}).values()]
        if not (above and configurable.get(_RESUMING)) or above[-1] in self._put:
            return
        parent = self._known.get(above[-1])
        if parent is None or parent.run_id != self._task.run_id:
            return
        if newest is None or parent.checkpoint_id not in newest.above:
            configurable[_RESUMING] = False

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


def _task_ids(ns: str) -> list[str]:
    """Of the tasks that a namespace is below; none for a subgraph with a memory of its own."""
    return [part.partition(":")[2] for part in ns.split("|") if ":" in part]


class _Configurable(msgspec.Struct):
    checkpoint_id: str | None = None


class _Config(msgspec.Struct):
    configurable: _Configurable = msgspec.field(default_factory=_Configurable)


class _Kwargs(msgspec.Struct):
    config: _Config = msgspec.field(default_factory=_Config)


_load = msgspec.json.Decoder(_Kwargs).decode


def _addressed(task: Task) -> bool:
    """Whether the run starts at a checkpoint that its client named."""
    kwargs = _load(task.kwargs)
    return kwargs.config.configurable.checkpoint_id is not None
