"""Whether a resume answers what waits, judged before anything of its run is recorded.

Of several answers to one question, queued behind each other, the first counts; the others end
with `UnknownInterruptError` and leave the thread as it was.
"""

import msgspec

from duragraph.protocol import Snapshot
from duragraph_worker.errors import UnknownInterruptError
from duragraph_worker.executor.graph_state import GraphState
from duragraph_worker.executor.run import Answers

SEVERAL = (
    "When there are multiple pending interrupts, you must specify the interrupt id when "
    "resuming. Docs: https://docs.langchain.com/oss/python/langgraph/interrupts"
    "#handling-multiple-interrupts."
)


def check(root: GraphState, snapshot: Snapshot) -> None:
    """Raises UnknownInterruptError for an answer that came too late.

    Under `strict_resume` also for one that fits no question, or doesn't say which one.
    """
    kwargs = root.run.kwargs
    if kwargs.command is None or kwargs.command.resume is None:
        return
    answers = Answers.of(kwargs.command.resume, root.run.task.run_id)
    waiting = _waiting(root, snapshot)
    by_id = answers.value is None
    meant = [
        (task_id, interrupt_id)
        for task_id, ids in kwargs.resumes.items()
        for interrupt_id in ids
        if not by_id or interrupt_id in answers.by_id
    ]
    if meant and not any(_waits(waiting, *each) for each in meant):
        raise UnknownInterruptError(f"Unknown or already-consumed interrupt: {meant[0][1]}")
    pending = set[str]().union(*(ids for ids in waiting.values() if ids is not None))
    travels = "checkpoint_id" in root.run.config["configurable"] and not pending
    if kwargs.strict_resume and not travels:
        _be_strict(answers, pending, by_id=by_id)


def _be_strict(answers: Answers, pending: set[str], *, by_id: bool) -> None:
    """One value for no interrupt at all is welcome: it resumes from a breakpoint."""
    if not by_id:
        if len(pending) > 1:
            raise UnknownInterruptError(SEVERAL)
        return
    if not answers.by_id:
        raise UnknownInterruptError("The resume map names no interrupt")
    if unknown := sorted(answers.by_id.keys() - pending):
        raise UnknownInterruptError(f"Unknown or already-consumed interrupt: {unknown[0]}")


def _waiting(root: GraphState, snapshot: Snapshot) -> dict[str, set[str] | None]:
    """By task that is due, the questions it stopped at; None if there is no record of any."""
    at, recorded = root.checkpoints, {write.task_id: write for write in snapshot.writes}
    assert at.checkpoint_id is not None
    waiting: dict[str, set[str] | None] = {}
    for task in root.agenda.tasks(at.checkpoint_id, root.place.ns, at.step):
        write = recorded.get(task.id)
        if write is None or (write.result is None and write.interrupts is None):
            waiting[task.id] = None
        elif write.result is None:
            waiting[task.id] = {
                asked["id"] for asked in msgspec.json.decode(write.interrupts or b"[]")
            }
    return waiting


def _waits(waiting: dict[str, set[str] | None], task_id: str, interrupt_id: str) -> bool:
    """A task without a record may ask again what it asked in a run that was rolled back."""
    if task_id not in waiting:
        return False
    ids = waiting[task_id]
    return ids is None or interrupt_id in ids
