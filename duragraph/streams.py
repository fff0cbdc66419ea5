"""Following runs: subscribe, replay from the log, then live.

The log decides; what is pushed here only saves the reading. A gap, an overflow or a lost
message all end in the same place: read the log again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog

from duragraph import pg
from duragraph.bus import Bus
from duragraph.errors import DuraGraphError
from duragraph.frames import Batch
from duragraph.models import TERMINAL
from duragraph.pg import Pool, events

log = structlog.get_logger(__name__)

BUFFERED_BYTES = 1 << 20
"""What a follower may have waiting; beyond it drops them and reads the log at its own pace."""
WATCH_SECONDS = 1.0


class Follower:
    """One reader's bounded buffer of live batches."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._lost = False
        self._wake = asyncio.Event()
        self.seq = 0
        """The last frame handed to the reader."""
        self.heard = 0
        """The last frame heard of, buffered or read."""
        self.heard_end = False

    def push(self, batch: Batch) -> None:
        if self._lost:
            return
        self.heard, self.heard_end = batch.last_seq, batch.ended
        self._bytes += batch.size
        if self._bytes > BUFFERED_BYTES and self._batches:
            self.reread()
            return
        self._batches.append(batch)
        self._wake.set()

    def reread(self) -> None:
        """Forget what is buffered: the log has it."""
        self._batches.clear()
        self._bytes = 0
        self._lost = True
        self._wake.set()

    async def next(self) -> Batch | None:
        """The next live batch; None when the log must be read."""
        await self._wake.wait()
        if self._lost or not self._batches:
            self._lost = False
            self._wake.clear()
            return None
        batch = self._batches.popleft()
        self._bytes -= batch.size
        if not self._batches:
            self._wake.clear()
        return batch


class Streams:
    """All followers of this plane."""

    def __init__(self, pool: Pool, bus: Bus) -> None:
        self._pool = pool
        self._bus = bus
        self._followers: dict[str, set[Follower]] = {}
        self.closing = False
        """The plane is draining: what its streams end of is no disconnect."""

    @contextmanager
    def subscribe(self, run_id: str) -> Iterator[Follower]:
        """Stand before the run is created: a matched run can end before its creator resumes."""
        follower = Follower()
        self._followers.setdefault(run_id, set()).add(follower)
        self._bus.follow(run_id)
        try:
            yield follower
        finally:
            followers = self._followers[run_id]
            followers.discard(follower)
            if not followers:
                del self._followers[run_id]
                self._bus.unfollow(run_id)

    async def follow(
        self, run_id: str, follower: Follower, *, after: int = 0, fresh: bool = False
    ) -> AsyncIterator[Batch]:
        """Every frame above `after`, once and in order, until the run has ended.

        `fresh`: the follower stood before the run was created, so nothing needs replaying.
        Ends at once for a run that does not exist. Raises Unavailable.
        """
        follower.seq = after
        replay = not fresh
        while True:
            if replay:
                async for batch in self._replay(run_id, follower):
                    yield batch
                    if batch.ended:
                        return
            live = await follower.next()
            replay = live is None
            if live is None or live.last_seq < follower.seq:
                continue
            if live.first_seq > follower.seq + 1:
                replay = True
                continue
            batch = live.since(follower.seq)
            follower.seq = live.last_seq
            yield batch
            if batch.ended:
                return

    async def _replay(self, run_id: str, follower: Follower) -> AsyncIterator[Batch]:
        """From the log to its end; an `ended` batch if the run is over by then."""
        while True:
            async with pg.acquire(self._pool) as conn:
                progress = (await events.progress(conn, [run_id])).get(run_id)
                stored = await events.after(conn, run_id, follower.seq)
            if progress is None:
                yield Batch(run_id, 0, follower.seq, (), ended=True)
                return
            for row in stored:
                batch = Batch(run_id, progress.ms, row.last_seq, row.frames).since(follower.seq)
                follower.seq = row.last_seq
                yield batch
            if follower.seq >= progress.last_seq:
                if progress.status in TERMINAL:
                    yield Batch(run_id, progress.ms, follower.seq, (), ended=True)
                return

    def publish(self, batch: Batch) -> None:
        """After COMMIT: to local followers, and to planes that said that they follow."""
        self.arrived(batch)
        self._bus.publish(batch)

    def arrived(self, batch: Batch) -> None:
        """A batch that another plane committed."""
        for follower in self._followers.get(batch.run_id, ()):
            follower.push(batch)

    async def watch(self) -> None:
        """Once a second look at all followed runs: a lost *last* message shows no gap."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._followers:
                continue
            try:
                async with pg.acquire(self._pool) as conn:
                    progress = await events.progress(conn, list(self._followers))
            except DuraGraphError as error:
                log.warning("can't look after streams", error=str(error))
                continue
            for run_id, followers in self._followers.items():
                known = progress.get(run_id)
                for follower in followers:
                    over = known is None or known.status in TERMINAL
                    last_seq = 0 if known is None else known.last_seq
                    unheard = last_seq > max(follower.heard, follower.seq)
                    if unheard or (over and not follower.heard_end):
                        follower.reread()
