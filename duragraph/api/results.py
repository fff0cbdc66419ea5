"""What `wait` and `join` answer: one JSON value, from a run's frames or from its thread."""

from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from msgspec import Raw

from duragraph import codec
from duragraph.api.io import Call
from duragraph.errors import Gone
from duragraph.frames import Batch
from duragraph.models import EMPTY, Thread
from duragraph.pg import threads

_ASKED = b'"__interrupt__":'
"""The last key of a `values` frame at an interrupt."""


async def of(call: Call, thread_id: str | None, batches: AsyncIterator[Batch]) -> bytes:
    """The error; else the last values; else what the thread holds, `{}` without one to ask.

    Values at an interrupt carry all interrupts of the run.
    """
    values = error = None
    asked: list[Raw] = []
    interrupts = b""
    with suppress(Gone):  # the thread still holds what the log does not
        async for batch in batches:
            for _, event, data in batch.numbered():
                if event == "values" and (found := _asked(data)):
                    values = data
                    asked += found
                elif event == "values" and not asked:
                    values = data
                elif event == "error":
                    error = data
                elif event == "updates" and data.startswith(b'{"__interrupt__":[{'):
                    interrupts = data
    if error is not None:
        return failed(error)
    if values and asked:
        return values.rpartition(_ASKED)[0] + _ASKED + codec.dumps(asked) + b"}"
    if values or interrupts or thread_id is None:
        return values or interrupts or b"{}"
    async with call.tenant() as conn:
        thread = await threads.get(conn, call.organization_id, thread_id)
    return b"{}" if thread is None else _held(thread)


def failed(error: bytes) -> bytes:
    """The answer for a run that ended with `{error, message}`."""
    return b'{"__error__":%b}' % error


def _asked(values: bytes) -> list[Raw]:
    """The interrupts at the end of a `values` frame; later frames show the superstep half done."""
    if _ASKED not in values:
        return []
    try:
        return msgspec.json.decode(values.rpartition(_ASKED)[2][:-1], type=list[Raw])
    except msgspec.DecodeError:  # a key of the user's own, further inside
        return []


def _held(thread: Thread) -> bytes:
    """A finished run's result, from its thread: joined late, or streamed without values."""
    if thread.status == "error" and thread.error is not None:
        return failed(bytes(thread.error))
    if thread.status == "interrupted" and thread.interrupts != EMPTY:
        by_task = msgspec.json.decode(thread.interrupts, type=dict[str, list[Raw]])
        return codec.dumps({"__interrupt__": [i for some in by_task.values() for i in some]})
    return b"{}" if thread.values is None else bytes(thread.values)
