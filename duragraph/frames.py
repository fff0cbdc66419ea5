"""Frames as they travel once recorded: numbered, and encoded for SSE once for all who follow."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs

from duragraph.event_names import EventName

Mark: TypeAlias = tuple[int, int]
"""`(ms, seq)`: a place in a thread's order of frames. `(0, 0)` is before the first."""
ALL = 2**31 - 1
"""As a mark's number: behind all of that run."""


@attrs.define
class Batch:
    """Consecutive frames of one run, as committed.

    `kind` is the run's. `status`: how it ended; nothing of it comes after.
    """

    organization_id: str
    thread_id: str
    run_id: str
    kind: str
    ms: int
    last_seq: int
    frames: Sequence[tuple[str, bytes]]
    status: str | None = None
    _sse: bytes | None = attrs.field(default=None, init=False)

    @property
    def ended(self) -> bool:
        return self.status is not None

    @property
    def topics(self) -> tuple[str, str]:
        """What its followers may follow: its run, its thread."""
        return self.run_id, thread_topic(self.organization_id, self.thread_id)

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.frames) + 1

    @property
    def mark(self) -> Mark:
        """Where it ends. On its thread a run's end has a number of its own."""
        return self.ms, self.last_seq + self.ended

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.frames)

    def numbered(self) -> Iterable[tuple[int, str, bytes]]:
        for seq, (event, data) in enumerate(self.frames, self.first_seq):
            yield seq, event, data

    def shown(self) -> Iterable[tuple[int, str, bytes]]:
        """`numbered`, without what `thread_events.py` alone shows."""
        return (each for each in self.numbered() if not each[1].startswith(EventName.PREFIX))

    def sse(self) -> bytes:
        """Encoded once for all followers who want every frame."""
        if self._sse is None:
            self._sse = b"".join(frame(e, d, f"{self.ms}-{seq}") for seq, e, d in self.shown())
        return self._sse

    def since(self, seq: int) -> "Batch":
        """Without the frames up to `seq`."""
        if seq < self.first_seq:
            return self
        kept = self.frames[seq - self.first_seq + 1 :]
        return attrs.evolve(self, frames=kept)


def thread_topic(organization_id: str, thread_id: str) -> str:
    """Thread ids are unique in an organization only."""
    return f"{organization_id}/{thread_id}"


def frame(event: str, data: bytes, id: str) -> bytes:
    """One SSE frame, byte for byte as the reference orders it: event, data, id, CRLF."""
    return b"event: %b\r\ndata: %b\r\nid: %b\r\n\r\n" % (event.encode(), data, id.encode())
