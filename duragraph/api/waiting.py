"""Waiting for a run on behalf of the client that asked for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from duragraph.api.io import Call
from duragraph.models import Run


@asynccontextmanager
async def while_connected(call: Call, run: Run, *, cancel: bool) -> AsyncIterator[None]:
    """With `cancel`, the run ends when the peer closes."""
    try:
        yield
    except (asyncio.CancelledError, ConnectionError):
        if cancel:
            await call.deps.dispatcher.abandon(call.organization_id, run.thread_id, run.run_id)
        raise


def in_words(error: bytes) -> str:
    """A run's `{error, message}`, as one line for a reader."""
    told = msgspec.json.decode(error, type=dict[str, str])
    return f"{told['error']}: {told['message']}"
