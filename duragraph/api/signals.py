"""Signals: what clients tell the run of a thread that waits for it, or will."""

from typing import Annotated

import attrs
from msgspec import Meta

from duragraph.api.idempotency import once
from duragraph.api.io import Call
from duragraph.errors import Conflict
from duragraph.models import NULL, Json
from duragraph.pg import waits
from duragraph.waiting import LONGEST_NAME


@attrs.frozen
class Signal:
    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    value: Json = NULL


@attrs.frozen
class Signalled:
    run_id: str
    """Of the run that has it, or will once it asks for it."""


async def send(call: Call, thread_id: str, *, body: Signal) -> Signalled:
    """To the thread's open run. Raises NotFound, and Conflict if there is none to take it."""
    sent = await _send(call, thread_id, body)
    call.deps.dispatcher.look()
    return sent


@once
async def _send(call: Call, thread_id: str, body: Signal) -> Signalled:
    async with call.tenant() as conn, conn.transaction():
        receiver = await waits.signal(
            conn, call.organization_id, thread_id, name=body.name, payload=body.value
        )
    if receiver is None:
        raise Conflict(
            f"Thread {thread_id} has no open run.", hint="Start the run that waits for the signal."
        )
    if not receiver.taken:
        raise Conflict(
            f"The run has {waits.MOST_KEPT} signals that it did not ask for yet.",
            hint="Signal what it waits for, or wait until it has asked.",
        )
    return Signalled(receiver.run_id)
