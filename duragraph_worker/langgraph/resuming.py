"""How a run goes on: whether a resume answers what waits, and what of an earlier attempt stands.

Of several answers to one question, queued behind each other, the first counts; the others end
with `UnknownInterruptError` and leave the thread as it was. An attempt that takes over from a
lost one neither repeats its frames nor passes the place where the run had stopped.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.constants import START
from langgraph.errors import UnknownInterruptError
from langgraph.types import PregelTask, StateSnapshot

from duragraph.protocol import Snapshot, Task, Write
from duragraph_worker import serialize
from duragraph_worker.langgraph.given import Given, Kwargs
from duragraph_worker.langgraph.task_writes import TaskWrites
from duragraph_worker.langgraph.terms import INTERRUPT, Compiled, Namespace, checkpoint_id

Nodes: TypeAlias = str | Sequence[str] | None

_HEX_ID = 32


def is_map(resume: Any) -> bool:
    """Whether the answers are by interrupt id."""
    return isinstance(resume, dict) and all(map(_is_interrupt_id, resume))


def leaves_no_trace(kwargs: Kwargs) -> bool:
    """Whether LangGraph records nothing as a run begins: it only goes on, or answers by id."""
    command = kwargs.command
    if command is None:
        return kwargs.input is None
    return is_map(command.resume) and command.update is None and command.goto is None


def _is_interrupt_id(key: Any) -> bool:
    return isinstance(key, str) and len(key) == _HEX_ID and set(key) <= set("0123456789abcdef")


async def check(graph: Compiled, config: RunnableConfig, kwargs: Kwargs) -> None:
    """Raises UnknownInterruptError for an answer that came too late."""
    if kwargs.command is None or kwargs.command.resume is None or not kwargs.resumes:
        return
    resume = kwargs.command.resume
    meant = [
        (task_id, interrupt_id)
        for task_id, ids in kwargs.resumes.items()
        for interrupt_id in ids
        if not is_map(resume) or interrupt_id in resume
    ]
    if not meant:
        return
    due = {task.id: task for task in (await graph.aget_state(config)).tasks}
    if not any(_waits(due.get(task_id), interrupt_id) for task_id, interrupt_id in meant):
        raise UnknownInterruptError(
            f"Unknown or already-consumed interrupt: {meant[0][1]}", reason="not_pending"
        )


def _waits(task: PregelTask | None, interrupt_id: str) -> bool:
    """A task without a record may ask again what it asked in a run that was rolled back."""
    if task is None or task.result is not None:
        return False
    return not task.interrupts or any(asked.id == interrupt_id for asked in task.interrupts)


async def stopped(graph: Compiled, config: RunnableConfig, given: Given) -> bool:
    """Whether the run had come to a question or a breakpoint where its record ends."""
    task, kwargs = given.task, given.kwargs
    if task.snapshot is None:
        return False
    asked = {write.task_id for write in task.snapshot.writes if _asked(write, task.run_id)}
    if not (asked or task.resuming):
        return False
    state = await graph.aget_state(config)
    if asked:
        return all(task.id in asked or task.result is not None for task in state.tasks)
    if not state.next or (state.metadata or {}).get("source") not in ("input", "loop"):
        return False
    before = kwargs.interrupt_before or graph.interrupt_before_nodes
    after = kwargs.interrupt_after or graph.interrupt_after_nodes
    return _breaks(before, state.next) or (
        bool(after) and _breaks(after, await _ran(graph, config, state))
    )


async def _ran(graph: Compiled, config: RunnableConfig, state: StateSnapshot) -> list[str]:
    """The nodes of the superstep that ended with `state`."""
    if state.parent_config is None:
        return []
    configurable = {**config["configurable"], **state.parent_config["configurable"]}
    before = await graph.aget_state({**config, "configurable": configurable})
    return [task.name for task in before.tasks]


def _breaks(at: Nodes, names: Iterable[str]) -> bool:
    return bool(at) and any(n != START and (at == "*" or n in (at or ())) for n in names)


class _Counted:
    """LangGraph adds a limit to the step at which a graph begins.

    At first that is the run's own graph, where the steps before count; later they are subgraphs,
    which count for themselves.
    """

    limit: int
    spent: int

    def __radd__(self, step: int) -> int:
        spent, self.spent = self.spent, 0
        return step + self.limit - spent


def step_limit(limit: int, *, spent: int) -> int:
    """The recursion limit of a run that goes on after `spent` supersteps.

    Of the type of `limit`: LangGraph tells by it a limit that nobody has set.
    """
    made = type("StepLimit", (_Counted, type(limit)), {"limit": limit, "spent": spent})
    return cast("int", made(limit))


class Quiet:
    """What comes first after a takeover was shown by the attempt before: it is left out.

    So are the questions that tasks ask once more because they were lost, or wait beside others.
    """

    def __init__(self, given: Given) -> None:
        task, start = given.task, given.task.snapshot
        known = [start, *start.children] if start is not None else []
        goes_on = task.resuming or given.kwargs.goes_on
        begun = [_parts(each.ns) for each in known if goes_on and _begun(each, task)]
        self._goes_on_from: dict[Namespace, str | None] = {
            ns[:depth]: None for ns in begun for depth in range(len(ns) + 1)
        }
        """By namespace the checkpoint that it goes on from, once that is known."""
        self._asked = {
            (_parts(each.ns), interrupt_id)
            for each in known
            for write in each.writes
            for interrupt_id in _asked(write, task.run_id)
        }

    @property
    def asked(self) -> set[str]:
        """The ids of the questions that the run has shown."""
        return {interrupt_id for _, interrupt_id in self._asked}

    def hides(self, ns: Namespace, mode: str, chunk: Any) -> bool:
        """Whether the part repeats what was shown."""
        if self._asked and (asks := _questions(mode, chunk)):
            return all((ns, interrupt_id) in self._asked for interrupt_id in asks)
        if ns not in self._goes_on_from:
            return False
        hidden = self._repeats(ns, mode, chunk)
        if not hidden and mode in ("values", "checkpoints", "updates"):
            del self._goes_on_from[ns]
        return hidden

    def _repeats(self, ns: Namespace, mode: str, chunk: Any) -> bool:
        origin = self._goes_on_from[ns]
        match mode:
            case "values" | "checkpoints":
                if mode == "checkpoints":
                    self._goes_on_from[ns] = origin or checkpoint_id(chunk["config"])
                return origin is None
            case "debug" if chunk["type"] == "checkpoint":
                return origin == checkpoint_id(chunk["payload"]["config"])
            case "debug":
                return bool(chunk["type"] == "task")
            case "tasks":
                return "result" not in chunk
            case "updates":
                return bool((chunk.get("__metadata__") or {}).get("cached"))
        return False


def _parts(ns: str) -> Namespace:
    return tuple(ns.split("|")) if ns else ()


def _begun(snapshot: Snapshot, task: Task) -> bool:
    """Whether anything there is of the task's run."""
    made_by = serialize.decode(snapshot.metadata).get("run_id")
    writers = (TaskWrites.load(write).run_id for write in snapshot.writes if write.opaque)
    return task.resuming or made_by == task.run_id or task.run_id in writers


def _asked(write: Write, run_id: str) -> list[str]:
    """The ids of what a task has asked in a run.

    A `@task` shows no question: it is shown where the task that called it passes it on.
    """
    if write.interrupts is None or write.result is not None:
        return []
    task = TaskWrites.load(write)
    if task.run_id != run_id or task.called:
        return []
    return [each["id"] for each in msgspec.json.decode(write.interrupts)]


def _questions(mode: str, chunk: Any) -> list[str]:
    """The ids of the interrupts that a part shows as they are asked."""
    match mode:
        case "values" | "updates" if isinstance(chunk, dict):
            asked = chunk.get(INTERRUPT, ())
        case "tasks":
            asked = chunk.get("interrupts", ())
        case "debug" if chunk["type"] == "task_result":
            asked = chunk["payload"]["interrupts"]
        case _:
            return []
    return [each["id"] if isinstance(each, dict) else each.id for each in asked]
