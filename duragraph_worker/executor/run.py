"""One execution's circumstances, shared by its graph and all subgraphs.

What the task asks for, where progress goes, which answers and effects are known, and the clock.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec

from duragraph import ids, protocol
from duragraph_worker import serialize, state
from duragraph_worker.executor.agenda import Goto, Push
from duragraph_worker.executor.memos import Memos
from duragraph_worker.executor.waiting import NO_CHILDREN, Children
from duragraph_worker.plan import Plan
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

RECURSION_LIMIT = 10_007
"""LangGraph's default."""
_HEX_ID = 32


@attrs.frozen
class Clock:
    """Where time, checkpoint ids and the jitter of retries come from."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    checkpoint_id: Callable[[str | None], str] = ids.checkpoint_id
    jitter: Callable[[], float] = random.random


class _Command(msgspec.Struct):
    update: Any = None
    goto: Any = None
    resume: Any = None


class Kwargs(msgspec.Struct):
    """What a run's `kwargs` hold for the executor; the rest is the plane's."""

    input: msgspec.Raw = msgspec.Raw(b"null")
    command: _Command | None = None
    config: dict[str, Any] | None = None
    context: Any = None
    stream_mode: list[str] | str | None = None
    interrupt_before: list[str] | str | None = None
    interrupt_after: list[str] | str | None = None
    durability: str | None = None
    checkpoint_during: bool | None = None
    subgraphs: bool = False
    resumes: dict[str, list[str]] = {}
    """The interrupts, by task, that waited when the resume was asked for."""
    strict_resume: bool = False

    @property
    def modes(self) -> frozenset[str]:
        modes = ["values"] if self.stream_mode is None else self.stream_mode
        return frozenset([modes] if isinstance(modes, str) else modes)

    @property
    def resolved_durability(self) -> str:
        return self.durability or ("exit" if self.checkpoint_during is False else "async")


@attrs.define(eq=False)
class Answers:
    """What a run brought to the interrupts it found: one value, or values by interrupt id."""

    run_id: str = ""
    by_id: dict[str, Any] = attrs.field(factory=dict)
    value: Any = None
    """None when there is none, or when it has been used."""

    @classmethod
    def of(cls, resume: Any, run_id: str) -> "Answers":
        if isinstance(resume, dict) and all(map(_is_interrupt_id, resume)):
            return cls(run_id, resume)
        return cls(run_id, value=resume)

    def clear(self) -> None:
        self.by_id, self.value = {}, None


def _is_interrupt_id(key: str) -> bool:
    return len(key) == _HEX_ID and all(c in "0123456789abcdef" for c in key)


@attrs.define(eq=False)
class Run:
    """See the module."""

    plan: Plan
    task: protocol.Task
    recorder: Recorder
    clock: Clock
    children: Children
    kwargs: Kwargs
    config: dict[str, Any]
    """As nodes see it; `configurable` names run and thread."""
    metadata: dict[str, Any]
    """Of the run, as frames and checkpoints carry it."""
    modes: frozenset[str]
    durability: str
    context: Any = None
    answers: Answers = attrs.field(factory=Answers)
    effects: dict[str, bytes] = attrs.field(factory=dict)
    messages_seen: set[str] = attrs.field(factory=set)
    """Ids of messages that clients need not be shown as complete."""
    asked: set[str] = attrs.field(factory=set)
    """Ids of interrupts that have had their event."""
    plane: Reach | None = None
    """What else it may ask of the plane, if there is one."""
    memos: Memos = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.memos = Memos(self.task.run_id, self.effects, self.recorder)

    @classmethod
    def of(
        cls,
        plan: Plan,
        task: protocol.Task,
        recorder: Recorder,
        clock: Clock,
        children: Children = NO_CHILDREN,
    ) -> "Run":
        """Raises msgspec.ValidationError for kwargs of another shape."""
        kwargs = msgspec.json.decode(task.kwargs, type=Kwargs)
        given = kwargs.config or {}
        of_run = {"graph_id": task.graph_id, "assistant_id": task.assistant_id}
        configurable = {
            **(given.get("configurable") or {}),
            "run_id": task.run_id,
            "thread_id": task.thread_id,
            **of_run,
        }
        metadata = {
            **of_run,
            **(given.get("metadata") or {}),
            **serialize.decode(task.metadata or b"{}"),
            "run_attempt": task.attempt,
            "run_id": task.run_id,
        }
        return cls(
            plan=plan,
            task=task,
            recorder=recorder,
            clock=clock,
            children=children,
            kwargs=kwargs,
            config={**given, "configurable": configurable},
            metadata=metadata,
            modes=kwargs.modes,
            durability=kwargs.resolved_durability,
            context=kwargs.context,
            effects={effect.key: effect.result for effect in task.effects},
        )

    def load_context(self) -> None:
        """Turn the context into its declared type. Raises ValueError if it doesn't fit."""
        revive = None if self.context is None else state.reviver(self.plan.context_type)
        if revive is None:
            return
        try:
            self.context = revive(self.context)
        except (TypeError, msgspec.ValidationError) as error:
            raise ValueError(f"The run's context does not fit the graph's: {error}") from error

    @property
    def told(self) -> dict[str, Any]:
        """The metadata of streamed messages and events."""
        return {**self.metadata, "thread_id": self.task.thread_id}

    @property
    def recursion_limit(self) -> int:
        """Supersteps that the run may take. Raises ValueError for what is no such number."""
        limit = self.config.get("recursion_limit", RECURSION_LIMIT)
        if not isinstance(limit, int) or limit < 1:
            raise ValueError(f"recursion_limit must be at least 1, not {limit!r:.50}")
        return limit


def goto(given: Any) -> list[Goto]:
    """A command's `goto` from its JSON: node, `{node, input}`, or a list. Raises TypeError."""
    if given is None:
        return []
    targets: list[Goto] = []
    for target in given if isinstance(given, list) else [given]:
        if isinstance(target, str):
            targets.append(target)
        elif isinstance(target, dict) and isinstance(target.get("node"), str):
            targets.append(Push(target["node"], serialize.encode(target.get("input"))))
        else:
            raise TypeError(f"goto takes a node or {{node, input}}, not {target!r:.200}")
    return targets
