"""What a graph runs next: triggered nodes, half-met joins, sends. Plain data, no execution.

Owns the order of tasks, their ids and paths, and the bytes that a checkpoint keeps of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import attrs
import msgspec

from duragraph_worker import serialize
from duragraph_worker.command import Send
from duragraph_worker.errors import Interrupt, InvalidUpdateError, OpenWait
from duragraph_worker.executor.channels import Update
from duragraph_worker.plan import END, START, Join, Plan

PULL, PUSH = "__pregel_pull", "__pregel_push"


@attrs.frozen
class Push:
    """A `Send` on its way: `arg` is JSON, so that it reads the same before and after a crash."""

    node: str
    arg: bytes

    @classmethod
    def of(cls, send: Send[Any]) -> "Push":
        return cls(send.node, serialize.encode(send.arg))


Goto = str | Push


def digest(*parts: object) -> str:
    """32 hex digits that are the same for the same parts, on every machine."""
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def dashed(hex: str) -> str:
    return f"{hex[:8]}-{hex[8:12]}-{hex[12:16]}-{hex[16:20]}-{hex[20:]}"


@attrs.define(eq=False)
class NodeTask:
    """One node to run in a superstep, and what became of it."""

    id: str
    name: str
    path: tuple[Any, ...]
    triggers: tuple[str, ...]
    ns: str
    """The namespace of the task itself: `node:id`, under its graph's."""
    arg: bytes | None = None
    """What a `Send` carries; other tasks see the state."""
    updates: list[Update] = attrs.field(factory=list)
    goto: list[Goto] = attrs.field(factory=list)
    result: bytes | None = None
    """The update as clients see it, once the task is finished."""
    error: str | None = None
    interrupts: tuple[Interrupt, ...] = ()
    """What it asked last, answered or not."""
    answers: dict[str, list[Any]] = attrs.field(factory=dict)
    """By part of the body, "" but for tools that ask."""
    answered_by: str | None = None
    """The run whose one resume value is among the answers."""
    replayed: bool = False
    """Its result comes from the record."""
    waits: tuple[OpenWait, ...] = ()
    """What it waits for."""
    waited: str | None = None
    """The run in which it waited before."""
    shown: Mapping[str, int] = attrs.field(factory=dict)
    """What its body had shown by then: emitted values by digest, messages by id."""

    def metadata(self, step: int) -> dict[str, Any]:
        """As streams and subgraphs tell of the task, in LangGraph's words."""
        return {
            "langgraph_step": step,
            "langgraph_node": self.name,
            "langgraph_triggers": self.triggers,
            "langgraph_path": self.path,
            "langgraph_checkpoint_ns": self.ns,
        }

    @property
    def pushed(self) -> bool:
        return bool(self.path[0] == PUSH)

    def suspend(self, waits: tuple[OpenWait, ...], run_id: str, shown: Mapping[str, int]) -> None:
        """Let its body go until something is over."""
        before = self.shown_in(run_id)
        self.shown = {**before, **{w: max(n, before.get(w, 0)) for w, n in shown.items()}}
        self.waits, self.waited, self.interrupts, self.error = waits, run_id, (), None

    def shown_in(self, run_id: str) -> Mapping[str, int]:
        """What the run's followers have seen of its body; another run's see it anew."""
        return self.shown if self.waited == run_id else {}


@attrs.frozen
class Topology:
    """A plan's edges, looked at from where they begin."""

    edges: dict[str, tuple[str, ...]]
    joins: dict[str, tuple[Join, ...]]
    triggers: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, plan: Plan) -> "Topology":
        edges: defaultdict[str, list[str]] = defaultdict(list)
        joins: defaultdict[str, list[Join]] = defaultdict(list)
        triggers = {name: [f"branch:to:{name}"] for name in plan.nodes}
        edges[START].extend(plan.entry)
        for source, target in plan.edges:
            edges[source].append(target)
        for join in plan.joins:
            for source in join.sources:
                joins[source].append(join)
            if join.target != END:
                triggers[join.target].append(_key(join))
        return cls(
            {source: tuple(targets) for source, targets in edges.items()},
            {source: tuple(each) for source, each in joins.items()},
            {name: tuple(sorted(each)) for name, each in triggers.items()} | {START: (START,)},
        )


@attrs.define(eq=False)
class Agenda:
    """Opened by a checkpoint, emptied by the superstep after it."""

    topology: Topology
    start: bytes | None = None
    """Input that no superstep has taken in yet."""
    start_goto: list[Goto] = attrs.field(factory=list)
    to: set[str] = attrs.field(factory=set)
    joins: dict[str, set[str]] = attrs.field(factory=dict)
    sends: list[Push] = attrs.field(factory=list)
    ran: list[str] = attrs.field(factory=list)
    """The nodes of the superstep before: who `update_state` speaks for, whom breakpoints follow."""
    update: tuple[str, int] | None = None
    """The run whose update made this, and of which of its supersteps, from 1."""
    first_step: int | None = None
    """Where the run that made this began: its recursion limit counts from there."""

    @classmethod
    def load(cls, topology: Topology, opaque: bytes) -> "Agenda":
        if not opaque:
            return cls(topology)
        kept = msgspec.json.decode(opaque, type=_Kept)
        return cls(
            topology,
            start=bytes(kept.start) or None,
            start_goto=load_goto(kept.start_goto),
            to=set(kept.to) & topology.triggers.keys(),
            joins={key: set(seen) for key, seen in kept.joins.items()},
            sends=[Push(node, bytes(arg)) for node, arg in kept.sends],
            ran=kept.ran,
            update=kept.update,
            first_step=kept.first_step,
        )

    def dump(self) -> bytes:
        return serialize.encode(
            _Kept(
                start=msgspec.Raw(self.start) if self.start is not None else _NO_START,
                start_goto=dump_goto(self.start_goto),
                to=sorted(self.to),
                joins={key: sorted(seen) for key, seen in self.joins.items() if seen},
                sends=[(send.node, msgspec.Raw(send.arg)) for send in self.sends],
                ran=self.ran,
                update=self.update,
                first_step=self.first_step,
            )
        )

    def discard(self) -> None:
        """Forget what would run next; joins that are half met stay so."""
        self.start, self.start_goto = None, []
        self.to.clear()
        self.sends.clear()
        for join in self._met():
            self.joins[_key(join)].clear()

    def check(self, targets: Iterable[Goto], *, by: str) -> None:
        """Raises InvalidUpdateError for a jump to a node that isn't there."""
        nodes = self.topology.triggers.keys() - {START}
        for target in targets:
            name = target if isinstance(target, str) else target.node
            if name != END and name not in nodes:
                known = ", ".join(sorted(nodes))
                raise InvalidUpdateError(f"{by} jumps to {name!r}, which is no node of: {known}")

    def jump(self, targets: Iterable[Goto], *, by: str) -> None:
        """Add targets of a `Command`. Raises InvalidUpdateError as `check` does."""
        self.check(targets, by=by)
        for target in targets:
            if not isinstance(target, str):
                self.sends.append(target)
            elif target != END:
                self.to.add(target)

    def tasks(self, checkpoint_id: str, ns: str, step: int) -> list[NodeTask]:
        """Sends in their order, then triggered nodes by name."""
        at = (checkpoint_id, ns, step)
        if self.start is not None:
            return [self._task(at, START, (PULL, START))]
        pushed = [
            self._task(at, send.node, (PUSH, index, False), send.arg)
            for index, send in enumerate(self.sends)
        ]
        pulled = self.to.union(join.target for join in self._met()) if self.joins else self.to
        return pushed + [self._task(at, name, (PULL, name)) for name in sorted(pulled)]

    def _task(
        self,
        at: tuple[str, str, int],
        name: str,
        path: tuple[Any, ...],
        arg: bytes | None = None,
    ) -> NodeTask:
        task_id = dashed(digest(*at, name, *path))
        triggers = (PUSH,) if path[0] == PUSH else self.topology.triggers[name]
        ns, own = at[1], f"{name}:{task_id}"
        return NodeTask(task_id, name, path, triggers, f"{ns}|{own}" if ns else own, arg)

    def advance(self, tasks: list[NodeTask]) -> None:
        """Follow the edges, joins and jumps of a superstep's tasks, given in order."""
        pulled = {task.name for task in tasks if not task.pushed}
        for join in self._met():
            if join.target in pulled:
                self.joins[_key(join)].clear()
        self.start, self.start_goto, self.update = None, [], None
        self.to, self.sends = set(), []
        self.ran = [task.name for task in tasks]
        for task in tasks:
            self.to.update(self.topology.edges.get(task.name, ()))
            for join in self.topology.joins.get(task.name, ()):
                self.joins.setdefault(_key(join), set()).add(task.name)
            self.jump(task.goto, by=f"Node {task.name!r}")
        self.to.discard(END)

    def _met(self) -> list[Join]:
        if not self.joins:
            return []
        every = {_key(join): join for joins in self.topology.joins.values() for join in joins}
        return [
            join
            for key, join in every.items()
            if join.target != END and self.joins.get(key) == set(join.sources)
        ]


Target = tuple[str, msgspec.Raw]


def dump_goto(targets: Iterable[Goto]) -> list[str | Target]:
    return [t if isinstance(t, str) else (t.node, msgspec.Raw(t.arg)) for t in targets]


def load_goto(targets: Iterable[str | Target]) -> list[Goto]:
    return [t if isinstance(t, str) else Push(t[0], bytes(t[1])) for t in targets]


def in_order(tasks: Iterable[NodeTask]) -> list[NodeTask]:
    """As their updates are applied: triggered nodes by name, then sends in their order."""
    return sorted(tasks, key=lambda task: (task.pushed, task.path[1]))


def _key(join: Join) -> str:
    return f"join:{'+'.join(join.sources)}:{join.target}"


_NO_START = msgspec.Raw()


class _Kept(msgspec.Struct, omit_defaults=True):
    start: msgspec.Raw = _NO_START
    start_goto: list[str | Target] = []
    to: list[str] = []
    joins: dict[str, list[str]] = {}
    sends: list[Target] = []
    ran: list[str] = []
    update: tuple[str, int] | None = None
    first_step: int | None = None
