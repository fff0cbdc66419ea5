"""What a report must be beyond its types, so that whoever reads it back always can.

Only what the columns' own types don't refuse stands here. Payloads are not parsed, but for the
small lists that a thread's state is made of.
"""

import re

import msgspec
from msgspec import Raw

from duragraph.errors import Invalid
from duragraph.pg.states import Planned
from duragraph.protocol import ChannelWrite, Checkpoint, Frame, Outcome, Report, Scheduled
from duragraph.waiting import Wait

_is_id = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


class _Error(msgspec.Struct):
    error: str
    message: str


_tasks = msgspec.json.Decoder(list[Planned]).decode
_interrupts = msgspec.json.Decoder(list[Raw]).decode
_interrupts_by_task = msgspec.json.Decoder(dict[str, list[Raw]]).decode
_error = msgspec.json.Decoder(_Error).decode


def inspect(report: Report) -> None:
    """Raises Invalid, saying what a reader could not take."""
    _check(_is_id(report.run_id), "A run id must be a UUID in lower case.")
    for frame in report.frames:
        _frame(frame)
    try:
        for checkpoint in report.checkpoints:
            _checkpoint(checkpoint)
        for scheduled in report.scheduled:
            _scheduled(scheduled)
        for write in report.writes:
            if write.interrupts is not None:
                _interrupts(write.interrupts)
        if report.outcome is not None:
            _outcome(report.outcome)
    except msgspec.DecodeError as error:
        raise Invalid("A report holds JSON of another shape.", hint=str(error)) from None


def inspect_ids(*ids: str | None) -> None:
    """Raises Invalid for what is no id; None is none."""
    for each in ids:
        _check(each is None or _is_id(each), "An id must be a UUID in lower case.")


def _frame(frame: Frame) -> None:
    """In the log a frame is a line, its event ends at a tab, and `@` marks a reference."""
    event, data = frame.event, frame.data
    _check(
        not ("\n" in event or "\r" in event or "\t" in event or b"\n" in data or b"\r" in data),
        "A frame must be one line, without a tab in its event.",
    )
    if frame.checkpoint_id is None:
        _check(data[:1] != b"@", "A frame's data must be JSON.")
    else:
        _check(_is_id(frame.checkpoint_id), "A frame must name its checkpoint by a UUID.")


def _checkpoint(checkpoint: Checkpoint) -> None:
    for version in set(checkpoint.versions.values()):
        _check(_is_id(version), "A channel's version must be a UUID in lower case.")
    _parts(checkpoint.channels)
    if checkpoint.tasks != b"[]":
        _tasks(checkpoint.tasks)


def _scheduled(scheduled: Scheduled) -> None:
    _check(_is_id(scheduled.checkpoint_id), "A checkpoint id must be a UUID in lower case.")
    _parts(scheduled.channels)
    _tasks(scheduled.tasks)


def _parts(writes: list[ChannelWrite]) -> None:
    for write in writes:
        _check(_is_part(write), "Only an array, of a depth above 0, is appended to another part.")


def _is_part(write: ChannelWrite) -> bool:
    if write.base_id is None:
        return write.depth == 0
    return write.depth > 0 and write.value[:1] == b"[" and write.value[-1:] == b"]"


def _outcome(outcome: Outcome) -> None:
    if outcome.interrupts != b"{}":
        _interrupts_by_task(outcome.interrupts)
    if outcome.error is not None:
        _error(outcome.error)
    _check(
        (outcome.status == "waiting") == bool(outcome.waits),
        "Who waits must say for what, and nobody else.",
    )
    for wait in outcome.waits:
        _wait(wait)
    told = {(wait.checkpoint_id, wait.key) for wait in outcome.waits}
    _check(len(told) == len(outcome.waits), "What a run waits for must differ in its keys.")


def _wait(wait: Wait) -> None:
    _check(_is_id(wait.checkpoint_id), "A checkpoint id must be a UUID in lower case.")
    _check(wait.kind != "sleep" or wait.seconds is not None, "A sleep must say how long.")
    _check(wait.kind != "signal" or wait.name, "A signal must have a name.")


def _check(holds: object, problem: str) -> None:
    if not holds:
        raise Invalid(problem)
