"""When the database took each result of a LangGraph task, judged against when bodies began.

Triggers note every result as its row comes, whether or not the row stays: a result that a later
attempt overwrites is seen too.
"""

from collections.abc import Collection, Iterable

import asyncpg
import attrs

from tests.crash.stories import Told
from tests.crash.witness import Began

NOTES = """
    create table noted (
        thread_id text not null, ns text not null, step integer, task_id text,
        at double precision not null default extract(epoch from clock_timestamp()));
    create function note_write() returns trigger security definer language plpgsql as $$ begin
        insert into noted (thread_id, ns, task_id) values (new.thread_id, new.ns, new.task_id);
        return new; end $$;
    create function note_checkpoint() returns trigger security definer language plpgsql as $$ begin
        insert into noted (thread_id, ns, step) values (new.thread_id, new.ns, new.step);
        return new; end $$;
    create trigger noted after insert or update on step_write for each row
        when (new.result is not null and new.error is null and new.interrupts is null)
        execute function note_write();
    create trigger noted after insert on checkpoint for each row when (new.source = 'loop')
        execute function note_checkpoint()"""
NOTED = "select thread_id, ns, step, task_id, at from noted"


@attrs.frozen
class Acknowledged:
    """The earliest moment, in seconds since the epoch, by task and by superstep."""

    tasks: dict[str, float]
    """By task id: its result was recorded."""
    steps: dict[tuple[str, str, int], float]
    """By thread, namespace and number: the superstep's checkpoint was recorded."""

    def of(self, began: Began) -> float | None:
        """When what began was acknowledged, or None if it never was."""
        step = began.thread_id, began.parent_ns, began.step
        found = self.tasks.get(began.task_id), self.steps.get(step)
        return min((at for at in found if at is not None), default=None)


async def take_notes(database_url: str) -> None:
    """From now on."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(NOTES)
    finally:
        await connection.close()


async def acknowledged(database_url: str) -> Acknowledged:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(NOTED)
    finally:
        await connection.close()
    found = Acknowledged({}, {})
    for row in sorted(rows, key=lambda row: -row["at"]):
        if row["task_id"] is not None:
            found.tasks[row["task_id"]] = row["at"]
        else:
            found.steps[row["thread_id"], row["ns"], row["step"]] = row["at"]
    return found


def check_nothing_acknowledged_began_again(
    log: Iterable[Began], acknowledged: Acknowledged
) -> None:
    again = [b for b in log if (at := acknowledged.of(b)) is not None and b.at > at]
    assert not again, (len(again), again[:3])


def check_all_that_began_was_acknowledged(
    log: Iterable[Began],
    acknowledged: Acknowledged,
    told: Collection[Told] = (),
    undisturbed: Collection[Told] = (),
) -> None:
    """In the end, however often it had to begin.

    What is below a task counts only if that is on record itself: an attempt that is lost before
    its first checkpoint leaves tasks that no later attempt knows, and what they had begun below.
    Nor does what has no result of its own in the undisturbed story of its graph: it asks what
    nobody answers, fails, or hands what it made to the graph above.
    """
    graphs = {run_id: each.graph for each in (*told, *undisturbed) for run_id in each.run_ids}
    calm = {run_id for each in undisturbed for run_id in each.run_ids}
    never = [
        ((graphs.get(b.run_id), b.names, b.step), b)
        for b in log
        if acknowledged.tasks.keys() >= b.above and acknowledged.of(b) is None
    ]
    without_result = {place for place, b in never if b.run_id in calm}
    lost = [b for place, b in never if place not in without_result]
    assert not lost, (len(lost), lost[:3])
