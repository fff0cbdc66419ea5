"""Commands of the event-streaming protocol: start a run, answer what it asks, look at it.

An answer is `success` or `error` in the protocol's own shape, with HTTP 200: what went wrong is
the command's matter, not the request's. `sockets.py` carries the same commands.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from duragraph.api.event_streaming import runs, states
from duragraph.api.event_streaming.envelope import (
    Answer,
    Command,
    CommandError,
    Failure,
    Success,
    read,
    refusal,
)
from duragraph.api.io import Call, Reply, Unread
from duragraph.errors import Busy, DuraGraphError, Invalid, Refused, Unavailable
from duragraph.models import Json

ONLY_SOCKETS = "Subscriptions belong to a WebSocket; POST to …/stream/events instead."
METHODS: dict[str, Callable[[Call, str, Json], Awaitable[dict[str, Any]]]] = {
    "run.start": runs.start,
    "input.respond": runs.respond,
    "state.fork": runs.fork,
    "state.get": states.state,
    "state.listCheckpoints": states.checkpoints,
    "agent.getTree": states.tree,
}


async def send(
    call: Call, thread_id: str, *, body: Annotated[bytes, Unread(Command, Failure)]
) -> Reply[Answer]:
    """Carry out one command."""
    try:
        command = read(call, body)
    except Invalid as error:
        return Reply(refusal(body, error), status=400)
    return Reply(await answer(call, thread_id, command))


async def answer(call: Call, thread_id: str, command: Command) -> Answer:
    """What becomes of the command. Raises Busy, Unavailable: it may be sent again."""
    carry_out = METHODS.get(command.method)
    if command.method.startswith("subscription."):
        return Failure(command.id, "not_supported", ONLY_SOCKETS)
    if carry_out is None:
        unknown = f"Unknown protocol command: {command.method}"
        return Failure(command.id, "unknown_command", unknown)
    try:
        return Success(command.id, await carry_out(call, thread_id, command.params))
    except CommandError as error:
        return Failure(command.id, error.code, str(error))
    except (Busy, Unavailable):
        raise
    except (Invalid, Refused) as error:
        return Failure(command.id, "invalid_argument", error.message)
    except DuraGraphError as error:
        return Failure(command.id, "unknown_error", error.message)
