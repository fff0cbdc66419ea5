"""What runs wait for, holding no lease meanwhile, and the child runs that they start.

Part of the worker protocol, see `protocol.py`.
"""

from typing import Annotated, Literal

import attrs
from msgspec import Meta

MOST_SECONDS = 100 * 366 * 86400.0
"""The longest that a run may wait at a time."""
LONGEST_NAME = 255
"""Characters that the name of a signal has at most."""
TIMED_OUT = ":timed-out"
"""What the key of an effect ends with that tells of a signal which did not come in time."""
CHILD_INTERRUPTED = {"error": "ChildInterrupted", "message": "The run stopped at an interrupt."}
"""What a parent is told of a child that asks a person."""


@attrs.frozen
class Wait:
    """What a task of a run waits for, holding no lease meanwhile.

    When it is over the plane records an `Effect` of the same checkpoint and key, and the run
    is claimable again: one wait that is over is enough. The effect's result is for a `sleep`
    null; for a `signal` its payload; for a `run`, a child's, `{"status", "output", "error"}`:
    its status, the values of its thread as clients see them, and `{"error", "message"}` or null.
    What still waits at the next report is told again: by the same checkpoint and key it is the
    same wait, and goes on as it was. What is not told again is waited for no more.
    """

    checkpoint_id: str
    key: str
    """Built as `Effect.key` is."""
    kind: Literal["sleep", "signal", "run"]
    seconds: Annotated[float, Meta(ge=0, le=MOST_SECONDS)] | None = None
    """From its first report on. Of a sleep its length. A signal that has not come by then is
    over, too: its effect has the key `key + TIMED_OUT` and the result null."""
    name: str | None = None
    """Of the signal."""
    run_id: str | None = None
    """Of the child."""


@attrs.frozen
class StartChild:
    """`POST /workers/{id}/children`: a run of another assistant on a temporary thread of its own.

    The same run, checkpoint and key give the same child, over attempts too, so that it may be
    asked for again. It is cancelled when its parent ends before it. To learn how it ends, wait
    for it.
    """

    run_id: str
    epoch: int
    checkpoint_id: str
    key: str
    """Built as `Effect.key` is; its `Wait` has the same, and the same checkpoint."""
    assistant_id: str
    """Or a graph's id."""
    input: bytes = b"null"
    config: bytes = b"{}"
    context: bytes = b"{}"


@attrs.frozen
class ChildStarted:
    run_id: str
    thread_id: str
