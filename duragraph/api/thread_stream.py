"""A thread as Server-Sent Events: its runs one after another, and the updates of its state.

Ids ascend over the whole thread. A run's end and an update take the number after the last
frame, so what is added here is numbered as the log is.
"""

from collections.abc import AsyncIterator
from typing import Literal

import attrs

from duragraph import codec
from duragraph.api import cursors, sse
from duragraph.api.access import threads as access
from duragraph.api.io import Call, EventStream
from duragraph.frames import Batch, Mark
from duragraph.pg import states

Mode = Literal["run_modes", "lifecycle", "state_update"]


@attrs.frozen
class StreamQuery:
    """The official clients say `stream_mode`, the reference reads `stream_modes`."""

    stream_mode: list[Mode] | None = None
    stream_modes: list[Mode] | None = None
    last_event_id: str | None = None
    """Where the header of that name is not sent: browsers' EventSource can't."""

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset((self.stream_mode or []) + (self.stream_modes or [])) or frozenset(
            {"run_modes"}
        )


async def join(call: Call, thread_id: str, *, query: StreamQuery) -> EventStream:
    """Frames behind the event id given, or those to come; for ever.

    The thread need not exist yet. Raises Gone.
    """
    streams, modes = call.deps.streams, query.modes
    with streams.subscribe_thread(call.organization_id, thread_id) as follower:
        after = await _begin(call, thread_id, cursors.given(call, query.last_event_id))
        begins = cursors.BEGINNING if after is None else cursors.shown(after)
        path = f"/threads/{thread_id}/stream"
        headers = {"Location": cursors.location(path, begins, stream_mode=sorted(modes))}
        batches = access.watched(call, thread_id, streams.follow_thread(follower, after=after))
        return await sse.stream(call, _told(call, batches, modes), headers, _keep(modes))


async def _begin(call: Call, thread_id: str, event_id: str | None) -> Mark | None:
    """The mark to go on behind; None: all that is kept. Raises Gone, Invalid."""
    if event_id == cursors.BEGINNING:
        return None
    mark = None if event_id is None else cursors.in_thread(event_id)
    now = await call.deps.streams.thread_mark(call.organization_id, thread_id)
    if mark is None or mark >= now:
        return now
    await call.deps.streams.check_thread(call.organization_id, thread_id, mark)
    return mark


def _keep(modes: frozenset[Mode]) -> sse.Keep:
    def keep(event: str) -> bool:
        if event == "state_update":
            return event in modes
        return "run_modes" in modes or ("lifecycle" in modes and event == "metadata")

    return keep


async def _told(
    call: Call, batches: AsyncIterator[Batch], modes: frozenset[Mode]
) -> AsyncIterator[Batch]:
    """With a last frame for what ends: a run, or an update of the state."""
    async for batch in batches:
        if not batch.ended:
            yield batch
        elif batch.kind == "run":
            done = codec.dumps({"status": "run_done", "run_id": batch.run_id})
            yield _longer(batch, "metadata", done)
        elif batch.status == "success" and "state_update" in modes:
            async with call.tenant() as conn:
                state = await states.made_by(
                    conn,
                    call.deps.parts,
                    batch.organization_id,
                    batch.thread_id,
                    batch.run_id,
                )
            if state is not None:
                update = codec.dumps({"state": state, "thread_id": batch.thread_id})
                yield _longer(batch, "state_update", update)


def _longer(batch: Batch, event: str, data: bytes) -> Batch:
    return attrs.evolve(batch, last_seq=batch.last_seq + 1, frames=[*batch.frames, (event, data)])
