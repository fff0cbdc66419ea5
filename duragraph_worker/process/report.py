"""Brings what executions record to the plane: one reporter a worker, one request in flight.

What arrives meanwhile is the next batch. A request is repeated until it is answered, with the
same batch numbers, so that the plane can tell a repetition from news. Judges no lease: the
plane's verdicts do.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, NoReturn, assert_never

import attrs

from duragraph.errors import Conflict, DuraGraphError, Invalid, TooLarge
from duragraph.protocol import (
    FENCE_SECONDS,
    ChannelWrite,
    Checkpoint,
    Effect,
    Frame,
    Item,
    Lease,
    Outcome,
    Report,
    Scheduled,
    Verdict,
    Write,
)
from duragraph.usage import Usage
from duragraph_worker import serialize
from duragraph_worker.record import Fenced

LAG_SUPERSTEPS = 8
"""How far supersteps may run ahead of their acknowledgement."""
REQUEST_BYTES = 4 << 20
"""About as much as goes into one request; less once the plane has refused one."""
TURNS = 6
"""Of the loop before a request is made up: what belongs together comes within a few."""
_ITEM_BYTES = 64
_PARTS = {
    Frame: "frames",
    Checkpoint: "checkpoints",
    Scheduled: "scheduled",
    Write: "writes",
    Effect: "effects",
    Usage: "usages",
}

Send = Callable[[list[Report]], Awaitable[list[Verdict]]]

log = logging.getLogger(__name__)


class Recording:
    """One attempt's `Recorder`: holds what was put until the plane has acknowledged it."""

    def __init__(
        self,
        lease: Lease,
        ready: Callable[["Recording"], None],
        *,
        taken: float | None = None,
        fence: float = FENCE_SECONDS,
    ) -> None:
        """`ready` is called when there is something to report.

        The lease is as of `taken` (monotonic, now if None); `fence` seconds after its last
        renewal nothing new starts.
        """
        self.lease = lease
        self.over = False
        """Nothing more of this attempt is reported."""
        self._open = True
        self._failed = False
        self._ready = ready
        self._fence = fence
        self._renewed = monotonic() if taken is None else taken
        self._pending: deque[Item | Outcome] = deque()
        self._flying: list[Item | Outcome] = []
        self._batch = 1
        self._lag = 0
        self._changed = asyncio.Event()

    def put(self, item: Item) -> None:
        if not self._open:
            return
        if isinstance(item, Scheduled) and self._merge(item):
            return
        self._pending.append(item)
        self._lag += isinstance(item, Checkpoint)
        self._ready(self)

    async def room(self) -> None:
        while self._open and not (self._lag < LAG_SUPERSTEPS and self._fresh()):
            await self._change()
        if not self._open:
            raise Fenced

    async def settled(self) -> None:
        while self._open and not (self._all_acknowledged() and self._fresh()):
            await self._change()
        if not self._open:
            raise Fenced

    async def close(self, outcome: Outcome | None) -> None:
        """Report `outcome` behind all that was put, and wait until nothing is left to report."""
        if self._open and outcome is not None:
            self._pending.append(outcome)
            self._ready(self)
        self._open = False
        while not (self.over or self._all_acknowledged()):
            await self._change()

    def renew(self, sent: float) -> None:
        """The lease was renewed by a request sent at `sent` (monotonic)."""
        self._renewed = max(self._renewed, sent)
        self._changed.set()

    def end(self) -> None:
        """The lease is gone: report nothing more, and stop whoever waits."""
        self.over, self._open = True, False
        self._pending.clear()
        self._flying.clear()
        self._changed.set()

    def fail(self, error: bytes) -> None:
        """Report `{error, message}` instead of what the plane refuses; if that too, nothing."""
        if self._failed:
            self.end()
            return
        self._failed, self._open = True, False
        self._flying.clear()
        self._pending.clear()
        self._pending += [Frame("error", error), Outcome("error", error=error)]
        self._changed.set()
        self._ready(self)

    def next_weight(self) -> int:
        """About how many bytes the next batch has at least; 0 when there is none."""
        return _weight(self._pending[0]) if self._pending else 0

    def take(self, room: int) -> tuple[Report, int]:
        """The next batch and its rough bytes: what fits into `room`, but at least one item."""
        total = 0
        while weight := self.next_weight():
            if self._flying and total + weight > room:
                break
            total += weight
            self._flying.append(self._pending.popleft())
        return _report(self.lease, self._batch, self._flying), total

    def put_back(self) -> None:
        """The batch taken last was refused unread: what it held comes first again."""
        self._pending.extendleft(reversed(self._flying))
        self._flying.clear()
        self._ready(self)

    def acknowledge(self) -> None:
        """The batch taken last is recorded."""
        self._batch += 1
        self._lag -= sum(isinstance(item, Checkpoint) for item in self._flying)
        self._flying.clear()
        if self._pending:
            self._ready(self)
        self._changed.set()

    @property
    def flying(self) -> int:
        """How many items the batch taken last has."""
        return len(self._flying)

    def _merge(self, item: Scheduled) -> bool:
        """Complete the checkpoint it belongs to, if that has not left yet."""
        for place in range(len(self._pending) - 1, -1, -1):
            put = self._pending[place]
            if isinstance(put, Checkpoint) and put.checkpoint_id == item.checkpoint_id:
                self._pending[place] = completed(put, item)
                return True
        return False

    def _all_acknowledged(self) -> bool:
        return not (self._pending or self._flying)

    def _fresh(self) -> bool:
        return monotonic() - self._renewed < self._fence

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Reporter:
    """Gathers the recordings' batches into requests. `lost` is told of leases that are gone."""

    def __init__(
        self, send: Send, *, lost: Callable[[Lease], None], fence: float = FENCE_SECONDS
    ) -> None:
        self._send = send
        self._lost = lost
        self._fence = fence
        self._ready: dict[Recording, None] = {}
        self._woken = asyncio.Event()
        self._room = REQUEST_BYTES

    def open(self, lease: Lease, *, taken: float | None = None) -> Recording:
        return Recording(lease, self._enlist, taken=taken, fence=self._fence)

    async def run(self) -> NoReturn:
        """Until cancelled, or until `send` raises what concerns the whole worker (NotFound, …)."""
        while True:
            if not self._ready:
                self._woken.clear()
                await self._woken.wait()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            batch, weight = self._gather()
            if batch:
                await self._deliver(batch, weight)

    def _enlist(self, recording: Recording) -> None:
        self._ready[recording] = None
        self._woken.set()

    def _gather(self) -> tuple[dict[Recording, Report], int]:
        """A batch each of those that have something, longest waiting first, as far as it fits."""
        batch: dict[Recording, Report] = {}
        total = 0
        while self._ready:
            recording = next(iter(self._ready))
            weight = recording.next_weight()
            if batch and total + weight > self._room:
                break
            del self._ready[recording]
            if weight:
                batch[recording], weight = recording.take(self._room - total)
                total += weight
        return batch, total

    async def _deliver(self, batch: dict[Recording, Report], weight: int) -> None:
        sent = monotonic()
        try:
            verdicts = await self._send(list(batch.values()))
        except (TooLarge, Invalid, Conflict) as error:
            self._divide(batch, weight, error)
            return
        except UnicodeEncodeError as error:
            self._divide(batch, weight, Invalid(f"It holds what is no text: {error}."))
            return
        except OverflowError as error:
            self._divide(batch, weight, Invalid(f"It holds a number that is too large: {error}."))
            return
        self._room = min(REQUEST_BYTES, self._room * 2)
        for recording, verdict in zip(batch, verdicts, strict=True):
            if not recording.over:
                self._judge(recording, verdict, sent)

    def _judge(self, recording: Recording, verdict: Verdict, sent: float) -> None:
        if verdict.verdict == "accepted":
            recording.renew(sent)
            recording.acknowledge()
            return
        if verdict.verdict in {"gap", "invalid"}:
            log.error("the plane could not take a batch of this run", extra=attrs.asdict(verdict))
        recording.end()
        self._lost(recording.lease)

    def _divide(self, batch: dict[Recording, Report], weight: int, error: DuraGraphError) -> None:
        """Look by halves for what the plane refuses; fail the run whose single item it is."""
        items = sum(recording.flying for recording in batch)
        if items > 1:
            self._room = weight // 2
            for recording in batch:
                recording.put_back()
            return
        for recording in batch:
            run_id = recording.lease.run_id
            log.error(
                "the plane refuses this run's report", extra={"run_id": run_id, "why": str(error)}
            )
            recording.fail(_failure(weight, error))
            self._lost(recording.lease)


def _report(lease: Lease, batch: int, items: list[Item | Outcome]) -> Report:
    parts: dict[str, list[Any]] = {}
    outcome = None
    for item in items:
        if isinstance(item, Outcome):
            outcome = item
        else:
            parts.setdefault(_PARTS[type(item)], []).append(item)
    return Report(lease.run_id, lease.epoch, batch, outcome=outcome, **parts)


def completed(put: Checkpoint, item: Scheduled) -> Checkpoint:
    """The checkpoint as it would be had all of it been known as it was put."""
    late = {write.channel: put.checkpoint_id for write in item.channels}
    return attrs.evolve(
        put,
        next=item.next,
        tasks=item.tasks,
        channels=[*put.channels, *item.channels],
        versions={**put.versions, **late},
    )


def _weight(item: Item | Outcome) -> int:
    """About the item's bytes on the wire; never 0."""
    match item:
        case Frame():
            size = len(item.data)
        case Checkpoint():
            size = _channels_weight(item.channels)
            size += len(item.tasks) + len(item.metadata) + len(item.opaque)
        case Write():
            size = len(item.result or b"") + len(item.interrupts or b"") + len(item.opaque)
        case Effect():
            size = len(item.result)
        case Usage():
            size = len(item.model) + len(item.key)
        case Scheduled():
            size = _channels_weight(item.channels) + len(item.tasks)
        case Outcome():
            size = len(item.error or b"") + len(item.trace or "") + len(item.interrupts)
            size += _ITEM_BYTES * len(item.waits)
        case _:
            assert_never(item)
    return _ITEM_BYTES + size


def _channels_weight(writes: list[ChannelWrite]) -> int:
    return sum(len(each.value) + len(each.codec or b"") for each in writes)


def _failure(weight: int, error: DuraGraphError) -> bytes:
    message = f"The plane refuses {weight} bytes of this run's report: {error.message}"
    if isinstance(error, TooLarge):
        message += " Keep large values outside the state and put their addresses into it."
    return serialize.encode({"error": Invalid.code, "message": message})
