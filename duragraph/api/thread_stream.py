"""A thread as Server-Sent Events: its runs one after another, and the updates of its state.

Ids ascend over the whole thread. A run's end and an update take the number after the last
frame, so what is added here is numbered as the log is.
"""

import re
from collections.abc import AsyncIterator
from typing import Literal

import attrs

from duragraph import codec
from duragraph.api import sse
from duragraph.api.io import Call, EventStream
from duragraph.errors import Invalid
from duragraph.frames import ALL, Batch, Mark
from duragraph.pg import states

Mode = Literal["run_modes", "lifecycle", "state_update"]

_event_id = re.compile(r"(\d{1,18})(?:-(?:(\d{1,18})|\*))?", re.ASCII).fullmatch


@attrs.frozen
class StreamQuery:
    """The official clients say `stream_mode`, the reference reads `stream_modes`."""

    stream_mode: list[Mode] | None = None
    stream_modes: list[Mode] | None = None

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset((self.stream_mode or []) + (self.stream_modes or [])) or frozenset(
            {"run_modes"}
        )


async def join(call: Call, thread_id: str, *, query: StreamQuery) -> EventStream:
    """Frames behind Last-Event-ID, or those to come; for ever. The thread need not exist yet."""
    modes = query.modes
    last_event_id = call.request.headers.get("Last-Event-ID") or None
    after = None if last_event_id in {None, "-"} else _mark(str(last_event_id))
    streams = call.deps.streams
    with streams.subscribe_thread(call.organization_id, thread_id) as follower:
        if last_event_id != "-":
            now = await streams.thread_mark(call.organization_id, thread_id)
            after = now if after is None else min(after, now)
        batches = streams.follow_thread(follower, after=after)
        return await sse.stream(call, _told(call, batches, modes), {}, _keep(modes))


def _mark(last_event_id: str) -> Mark:
    """`ms-seq`; `ms` and `ms-*` are before all of that millisecond. Raises Invalid."""
    given = _event_id(last_event_id)
    if given is None:
        raise Invalid(
            "Invalid last-event-id: must be a valid Redis stream ID",
            hint="Send the id of the last frame seen, or `-` for all that is kept.",
        )
    return int(given[1]), min(int(given[2] or 0), ALL)


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
                    conn, batch.organization_id, batch.thread_id, batch.run_id
                )
            if state is not None:
                update = codec.dumps({"state": state, "thread_id": batch.thread_id})
                yield _longer(batch, "state_update", update)


def _longer(batch: Batch, event: str, data: bytes) -> Batch:
    return attrs.evolve(batch, last_seq=batch.last_seq + 1, frames=[*batch.frames, (event, data)])
