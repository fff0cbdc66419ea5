"""Frames as they travel once recorded: numbered, and encoded for SSE once for all who follow."""

from collections.abc import Iterable, Sequence

import attrs


@attrs.define
class Batch:
    """Consecutive frames of one run, as committed. `ended`: nothing comes after."""

    run_id: str
    ms: int
    last_seq: int
    frames: Sequence[tuple[str, bytes]]
    ended: bool = False
    _sse: bytes | None = attrs.field(default=None, init=False)

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.frames) + 1

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.frames)

    def numbered(self) -> Iterable[tuple[int, str, bytes]]:
        for seq, (event, data) in enumerate(self.frames, self.first_seq):
            yield seq, event, data

    def sse(self) -> bytes:
        """Encoded once for all followers who want every frame."""
        if self._sse is None:
            self._sse = b"".join(frame(e, d, f"{self.ms}-{seq}") for seq, e, d in self.numbered())
        return self._sse

    def since(self, seq: int) -> "Batch":
        """Without the frames up to `seq`."""
        if seq < self.first_seq:
            return self
        kept = self.frames[seq - self.first_seq + 1 :]
        return Batch(self.run_id, self.ms, self.last_seq, kept, self.ended)


def frame(event: str, data: bytes, id: str) -> bytes:
    """One SSE frame, byte for byte as the reference orders it: event, data, id, CRLF."""
    return b"event: %b\r\ndata: %b\r\nid: %b\r\n\r\n" % (event.encode(), data, id.encode())
