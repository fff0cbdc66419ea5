"""What can go wrong while a graph runs, and what clients and operators get to see of it.

Names that clients see are LangGraph's. Signals that a node must not swallow derive from
`BaseException`.
"""

import asyncio
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from duragraph.errors import DuraGraphError
from duragraph.waiting import Wait
from duragraph_worker import serialize
from duragraph_worker.command import Command


class GraphRecursionError(RecursionError):
    """The graph ran more supersteps than `config.recursion_limit` allows."""


class InvalidUpdateError(Exception):
    """A node returned, or two nodes wrote, what the state can't take."""


class EmptyInputError(Exception):
    """A run without input on a thread with nothing to go on from."""


class UnknownInterruptError(Exception):
    """A resume answers an interrupt that doesn't wait, or no longer."""


class NodeTimeoutError(TimeoutError):
    """A node took longer than its `timeout`."""


class ChildRunError(Exception):
    """A child run did not succeed; `error` is its `{error, message}` as clients see it."""

    def __init__(self, assistant: str, status: str, error: dict[str, str] | None) -> None:
        told = f": {error['error']}: {error['message']}" if error else ""
        super().__init__(f"The child run of {assistant!r} ended with {status}{told}")
        self.assistant, self.status, self.error = assistant, status, error


class NodeCancelledError(Exception):
    """A node raised `asyncio.CancelledError` although nobody had cancelled it."""


@attrs.frozen
class Interrupt:
    """A question to a person. `id` is 32 hex digits, the same on every re-execution."""

    value: Any
    id: str


class GraphInterrupt(BaseException):
    """The graph stops here; empty `interrupts` mean a breakpoint."""

    def __init__(self, interrupts: tuple[Interrupt, ...] = ()) -> None:
        super().__init__(interrupts)
        self.interrupts = interrupts


@attrs.frozen
class OpenWait:
    """What a body waits for, `since` when by the monotonic clock."""

    wait: Wait
    since: float


class GraphWait(BaseException):
    """The run goes on once one of these is over; nobody holds it until then."""

    def __init__(self, waits: tuple[OpenWait, ...], shown: Mapping[str, int] | None = None) -> None:
        """`shown` counts what the body has shown by then."""
        super().__init__(waits)
        self.waits, self.shown = waits, shown or {}


class ParentCommand(BaseException):
    """A node of a subgraph jumps in the graph above it."""

    def __init__(self, command: Command[Any]) -> None:
        super().__init__(command)
        self.command = command


@contextmanager
def no_exit(what: str) -> Iterator[None]:
    """Around what users wrote: raises RuntimeError where that would end the process."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"{what} called sys.exit({error.code!r})") from error


_TELLING = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    RecursionError,
    TimeoutError,
    InvalidUpdateError,
    EmptyInputError,
    UnknownInterruptError,
    ChildRunError,
    NodeCancelledError,
    DuraGraphError,
)
INTERNAL = "An internal error occurred"
_OWN = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


def masked(error: BaseException, *, telling: tuple[type[BaseException], ...] = ()) -> bytes:
    """`{"error", "message"}` for clients: other types' messages may hold secrets.

    `telling` are more types whose messages clients may see.
    """
    message = str(error) if isinstance(error, _TELLING + telling) else INTERNAL
    # JSON can't hold the halves of characters that a failed decoding leaves in a message.
    told = message.encode(errors="replace").decode()
    return serialize.encode({"error": type(error).__name__, "message": told})


def trace(error: BaseException, *, without: tuple[str, ...] = ()) -> str:
    """The user's own frames and the message, for operators.

    `without`: more folders whose code is not the user's.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*_OWN, *without))
    ]
    told = "".join(traceback.format_list(frames) + traceback.format_exception_only(error))
    return told.encode(errors="replace").decode()
