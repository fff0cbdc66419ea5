"""Runs a `plan.Plan` for a `protocol.Task`; the same locally and on a worker.

Owns how a run begins - input, command, going on, time travel, takeover - and how it ends. Knows
no network: progress goes into a `record.Recorder`.
"""

import asyncio
from typing import Any

import msgspec

from duragraph.protocol import PENDING_TASK, RUN_TASK, Outcome, Snapshot, Task
from duragraph_worker import serialize
from duragraph_worker.errors import (
    EmptyInputError,
    GraphInterrupt,
    GraphWait,
    InvalidUpdateError,
    ParentCommand,
    UnknownInterruptError,
    masked,
    trace,
)
from duragraph_worker.executor import resuming, writes
from duragraph_worker.executor.agenda import dump_goto
from duragraph_worker.executor.execution import Execution
from duragraph_worker.executor.run import Answers, Clock, Run, goto
from duragraph_worker.executor.updating import update_state
from duragraph_worker.executor.waiting import NO_CHILDREN, Children, reported
from duragraph_worker.executor.writes import RunCommand
from duragraph_worker.plan import Plan
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach

_NULL = b"null"
RESUMING = "__pregel_resuming"
"""How LangGraph's RemoteGraph says in a config that its parent goes on: the input is old."""


async def execute(
    plan: Plan,
    task: Task,
    recorder: Recorder,
    *,
    clock: Clock | None = None,
    children: Children = NO_CHILDREN,
    plane: Reach | None = None,
) -> Outcome:
    """Run `task` to its end, its progress put, but not all of it acknowledged.

    It may end waiting; the task is then given out again, with the effect that it waited for.
    Report the outcome behind it: a checkpoint and its completion then commit together. A node's
    exception becomes an outcome. Cancelled, it records where it is if only `exit` durability
    had kept that back, and raises CancelledError. Raises record.Fenced.
    """
    run = Run.of(plan, task, recorder, clock or Clock(), children)
    run.plane = plane
    outcome, _ = await perform(run)
    return outcome


async def perform(run: Run) -> tuple[Outcome, Exception | None]:
    """See `execute`: the outcome, and the exception behind it."""
    root = Execution(run, run.plan)
    error: Exception | None = None
    try:
        if run.task.kind == "update_state":
            interrupted = await update_state(root)
        else:
            await _run(root)
            interrupted = bool(root.tasks)
        outcome = Outcome("success", interrupted=interrupted)
    except GraphInterrupt:
        outcome = _interrupted(root)
    except GraphWait as stop:
        outcome = Outcome("waiting", waits=reported(stop.waits))
    except asyncio.CancelledError:
        root.close()
        raise
    except ParentCommand:
        error = InvalidUpdateError("There is no parent graph")
    except Exception as raised:  # noqa: BLE001 - a node may raise anything: it is the outcome
        error = raised
    if error is not None:
        outcome = _failed(root, error)
    root.close()
    return outcome, error


async def _run(root: Execution) -> None:
    run = root.run
    run.load_context()
    events = root.frames.events
    if events is not None and not _waited(run, run.task.snapshot):
        events.graph_started(bytes(run.kwargs.input))
    _begin(root)
    await root.drive()
    if events is not None:
        events.graph_ended(root.output_json())


def _interrupted(root: Execution) -> Outcome:
    asked = [
        (task.id, writes.interrupts_json(task.interrupts))
        for task in root.tasks
        if task.interrupts and task.result is None
    ]
    left = any(task.result is None for task in root.tasks)
    return Outcome("success", interrupted=left, interrupts=serialize.join_object(asked))


def _failed(root: Execution, error: Exception) -> Outcome:
    told = masked(error)
    if root.run.task.kind == "run":
        root.frames.error(told)
    refused = isinstance(error, UnknownInterruptError)
    return Outcome("error", error=told, trace=trace(error), refused=refused)


def _begin(root: Execution) -> None:
    run, snapshot = root.run, root.run.task.snapshot
    kwargs, data = run.kwargs, bytes(run.kwargs.input)
    if snapshot is not None and snapshot.ns:
        raise ValueError(f"Checkpoint {snapshot.checkpoint_id} is a subgraph's: name the root's")
    if snapshot is not None:
        root.restore(snapshot)
    if run.task.resuming and snapshot is not None:
        _take_over(root, snapshot)
    elif snapshot is not None and (kwargs.command is not None or data == _NULL or _resumes(run)):
        _go_on(root, snapshot)
    elif kwargs.command is not None:
        update = serialize.join_object(
            (key, serialize.encode(value)) for key, value in writes.pairs(kwargs.command.update)
        )
        targets = goto(kwargs.command.goto)
        if update == b"{}" and not targets:
            raise EmptyInputError("Received no input for __start__")
        root.enter(update, targets)
    elif data == _NULL:
        raise EmptyInputError("Received no input for __start__")
    else:
        root.enter(data)


def _waited(run: Run, snapshot: Snapshot | None) -> bool:
    """Whether the run has waited here, and its followers have seen what led there."""
    return snapshot is not None and any(
        writes.waited(write) == run.task.run_id
        for write in snapshot.writes
        if write.task_id not in (RUN_TASK, PENDING_TASK)
    )


def _resumes(run: Run) -> bool:
    return bool(run.config["configurable"].get(RESUMING))


def _take_over(root: Execution, snapshot: Snapshot) -> None:
    """Go on where an earlier attempt at this run was lost."""
    run = root.run
    mine = serialize.decode(snapshot.metadata).get("run_id") == run.task.run_id
    if (command := _commanded(root, snapshot)) is not None and command.run_id == run.task.run_id:
        _bring_answers(run, command.resume, snapshot)
    root.go_on(snapshot.writes, armed=mine, quiet=True)


def _go_on(root: Execution, snapshot: Snapshot) -> None:
    """Continue a thread, maybe with a command, maybe from an older checkpoint."""
    run, given = root.run, root.run.kwargs.command
    before = _commanded(root, snapshot)
    resume = given.resume if given is not None else None
    addressed = "checkpoint_id" in run.config["configurable"]
    travels = addressed and resume is None
    mine = before is not None and before.run_id == run.task.run_id
    if not mine:
        resuming.check(root, snapshot)
    if given is not None and not mine:
        _command(root, snapshot, before, keep=not travels)
    _bring_answers(run, resume, snapshot)
    _refuse_ambiguity(run.answers, snapshot)
    waited = _waited(run, snapshot)
    if not travels:
        root.go_on(snapshot.writes, armed=False, quiet=waited)
        if addressed and all(task.result is not None for task in root.tasks):
            # The thread has moved past this checkpoint: its tasks are what is wanted again.
            root.replay()
    elif waited or _fresh(run, snapshot):
        root.go_on(snapshot.writes, armed=False, quiet=waited)
    else:
        root.fork()
        root.go_on(armed=False, quiet=False)
    root.show_values()


def _fresh(run: Run, snapshot: Snapshot) -> bool:
    """Whether nobody but this run went on from a checkpoint that was made to go on from."""
    made_to = serialize.decode(snapshot.metadata).get("source") in ("update", "fork")
    return made_to and (run.task.attempt > 1 or not snapshot.writes)


def _bring_answers(run: Run, resume: Any, snapshot: Snapshot) -> None:
    run.answers = Answers.of(resume, run.task.run_id)
    if run.task.run_id in _answered_by(snapshot):
        run.answers.value = None


def _commanded(root: Execution, snapshot: Snapshot) -> RunCommand | None:
    """Apply the command recorded with the checkpoint, if there is one."""
    for write in snapshot.writes:
        if write.task_id == RUN_TASK:
            command = RunCommand.load(write)
            root.command(command)
            return command
    return None


def _command(root: Execution, snapshot: Snapshot, before: RunCommand | None, *, keep: bool) -> None:
    """Apply the run's command; with `keep`, record it with the checkpoint it acts on."""
    run, given = root.run, root.run.kwargs.command
    if given is None:
        return
    update, targets = list(writes.pairs(given.update)), goto(given.goto)
    if not update and not targets and given.resume is None:
        raise EmptyInputError("Received empty Command input")
    new = RunCommand(run.task.run_id, update, dump_goto(targets), given.resume)
    root.command(new)
    if keep:
        both = new.after(before)
        changed = root.channels.json(key for key, _ in both.update)
        run.recorder.put(both.dump(checkpoint_id=snapshot.checkpoint_id, values=changed))


def _refuse_ambiguity(answers: Answers, snapshot: Snapshot) -> None:
    if answers.value is None:
        return
    pending = {
        asked["id"]
        for write in snapshot.writes
        if write.interrupts is not None and write.result is None
        for asked in msgspec.json.decode(write.interrupts)
    }
    if len(pending) > 1:
        raise RuntimeError(resuming.SEVERAL)


def _answered_by(snapshot: Snapshot) -> set[str | None]:
    """The runs whose one resume value some task has used."""
    runs = {writes.answered_by(write) for write in snapshot.writes if write.task_id != RUN_TASK}
    return runs.union(*map(_answered_by, snapshot.children))
