"""A thread's events as Server-Sent Events: of all its runs, past and to come, for ever.

Workers send the events of runs that `commands.py` started; those of other runs are made from the
frames of their stream modes.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import attrs
from msgspec import Meta

from duragraph import codec, thread_events
from duragraph.api import sse
from duragraph.api.access import threads as access
from duragraph.api.io import Call, EventStream
from duragraph.errors import Gone, Refused
from duragraph.frames import ALL, Batch, Mark, frame
from duragraph.pg import events
from duragraph.thread_events import PER_MS, Event, RunSummary, Subscription

MOST_FILTERS = 100


@attrs.frozen
class Wanted:
    """Which events: by channel, by namespace and as deep as `depth` below it, behind `since`.

    Channels are values, updates, checkpoints, messages, tools, custom, custom:NAME, lifecycle,
    input and tasks.
    """

    channels: Annotated[list[str], Meta(max_length=MOST_FILTERS)] = attrs.field(factory=list)
    namespaces: Annotated[list[list[str]], Meta(max_length=MOST_FILTERS)] | None = None
    depth: Annotated[int, Meta(ge=0)] | None = None
    since: Annotated[int, Meta(ge=0, lt=2**53)] | None = None

    def subscription(self) -> Subscription:
        """Raises Refused for channels that there are not."""
        if not self.channels:
            raise Refused("channels is required and must be a non-empty array")
        if bad := [name for name in self.channels if not thread_events.is_channel(name)]:
            known = ", ".join(sorted(thread_events.CHANNELS))
            raise Refused(
                f"channels contains unsupported entries: {', '.join(bad[:5])}. "
                f"Allowed: {known}, or any `custom:<name>`."
            )
        namespaces = [tuple(namespace) for namespace in self.namespaces or ()]
        return Subscription(frozenset(self.channels), namespaces, self.depth)


async def stream(call: Call, thread_id: str, *, body: Wanted) -> EventStream:
    """The events behind `since`, or all that are kept; the thread need not exist yet.

    Raises Refused, Gone.
    """
    subscription = body.subscription()
    after = await beginning(call, thread_id, body.since)
    return await sse.written(call, _frames(call, thread_id, subscription, after), {})


async def _frames(
    call: Call, thread_id: str, subscription: Subscription, after: Mark | None
) -> AsyncIterator[bytes]:
    async with aclosing(follow(call, thread_id, after)) as batches:
        try:
            async for batch in batches:
                yield b"".join(
                    frame(event.method, event.json(), str(event.number))
                    for event in batch
                    if subscription.wants(event)
                )
        except Gone as error:
            yield b"event: error\r\ndata: %b\r\n\r\n" % codec.dumps(failure(error))


def failure(error: Exception) -> dict[str, str | None]:
    """The last that is sent on a stream that can't go on."""
    message = error.message if isinstance(error, Gone) else "The stream can't go on."
    return {"type": "error", "id": None, "error": "unknown_error", "message": message}


async def beginning(call: Call, thread_id: str, since: int | None) -> Mark | None:
    """Where to begin behind the number `since`. Raises Gone, Unavailable.

    A run may have more events than a millisecond has numbers, so only the log can tell.
    """
    if since is None:
        return None
    async with call.tenant() as conn:
        ms = await events.run_at(conn, call.organization_id, thread_id, since // PER_MS)
    mark = ms, min(since - thread_events.number((ms, 0)), ALL)
    await call.deps.streams.check_thread(call.organization_id, thread_id, mark)
    return mark


async def follow(
    call: Call, thread_id: str, after: Mark | None
) -> AsyncGenerator[list[Event], None]:
    """The thread's events behind `after`, for ever. Raises Gone, Unavailable."""
    streams = call.deps.streams
    with streams.subscribe_thread(call.organization_id, thread_id) as follower:
        batches = access.watched(call, thread_id, streams.follow_thread(follower, after=after))
        async for batch in batches:
            if batch.kind == "run":
                yield list(thread_events.events(batch, await _summary(call, batch)))


async def _summary(call: Call, batch: Batch) -> RunSummary | None:
    if not thread_events.needs_summary(batch):
        return None
    async with call.tenant() as conn:
        return await events.summary(conn, batch.run_id)
