"""Following runs and threads: subscribe, replay from the log, then live.

The log decides; what is pushed here only saves the reading. A gap, an overflow or a lost
message all end in the same place: read the log again.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import structlog

from duragraph import pg
from duragraph.bus import Bus
from duragraph.errors import DuraGraphError, Gone
from duragraph.frames import ALL, Batch, Mark, thread_topic
from duragraph.models import TERMINAL
from duragraph.pg import Pool, events
from duragraph.pg.events import Progress

log = structlog.get_logger(__name__)

BUFFERED_BYTES = 1 << 20
"""What a follower may have waiting; beyond it drops them and reads the log at its own pace."""
WATCH_SECONDS = 1.0
GONE = "Read the thread's state instead, and follow from there on."
ERASED: Mark = (sys.maxsize, 0)


class Follower:
    """One reader's bounded buffer of live batches."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._lost = False
        self._wake = asyncio.Event()
        self.at: Mark = (0, 0)
        """The last frame handed to the reader."""
        self.heard: Mark = (0, 0)
        """The last frame heard of, buffered or read; an end is behind ALL."""
        self.created_at: str | None = None
        """Of the run that the last replay of a thread came to."""

    def push(self, batch: Batch) -> None:
        if self._lost:
            return
        self.knows((batch.ms, ALL if batch.ended else batch.last_seq))
        self._bytes += batch.size
        if self._bytes > BUFFERED_BYTES and self._batches:
            self.reread()
            return
        self._batches.append(batch)
        self._wake.set()

    def knows(self, mark: Mark) -> None:
        self.heard = max(self.heard, mark)

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

    def subscribe_thread(
        self, organization_id: str, thread_id: str
    ) -> AbstractContextManager[Follower]:
        """To all runs of a thread, which need not exist yet."""
        return self.subscribe(thread_topic(organization_id, thread_id))

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Follower]:
        """To a run: subscribe before it is made, since it can end before its creator goes on."""
        follower = Follower(topic)
        self._followers.setdefault(topic, set()).add(follower)
        self._bus.follow(topic)
        try:
            yield follower
        finally:
            followers = self._followers[topic]
            followers.discard(follower)
            if not followers:
                del self._followers[topic]
                self._bus.unfollow(topic)

    async def follow(
        self, run_id: str, follower: Follower, *, after: int = 0, fresh: bool = False
    ) -> AsyncIterator[Batch]:
        """Every frame above `after`, once and in order, until the run has ended.

        `fresh`: the follower stood before the run was created, so nothing needs replaying.
        Raises Gone (also where the run is erased meanwhile), Unavailable.
        """
        follower.at = (0, after)
        replay = not fresh
        while True:
            if replay:
                async for batch in self._replay(run_id, follower):
                    follower.at = batch.ms, batch.last_seq
                    yield batch
                    if batch.ended:
                        return
            live = await follower.next()
            seq = follower.at[1]
            replay = live is None or live.first_seq > seq + 1
            if live is None or replay or live.last_seq < seq:
                continue
            follower.at = live.ms, live.last_seq
            yield live.since(seq)
            if live.ended:
                return

    async def follow_thread(
        self, follower: Follower, *, after: Mark | None
    ) -> AsyncIterator[Batch]:
        """Every frame behind `after`, and the end of every run, once and in order; for ever.

        None: all that is kept. Raises Gone, Unavailable.
        """
        follower.at = after or (0, 0)
        async for batch in self._replay_thread(follower, kept_only=after is None):
            yield batch
        while True:
            live = await follower.next()
            if live is not None and (live.ms == 0 or live.mark <= follower.at):
                continue
            ms, seq = follower.at
            if live is not None and live.ms == ms and live.first_seq <= seq + 1:
                follower.at = live.mark
                yield live.since(seq)
                continue
            # What comes first of another run does not tell whether there was one between.
            async for batch in self._replay_thread(follower):
                yield batch

    async def thread_mark(self, organization_id: str, thread_id: str) -> Mark:
        """Where a thread's log stands now. Raises Unavailable."""
        async with pg.acquire(self._pool) as conn:
            marks = await events.marks(conn, [(organization_id, thread_id)])
        return marks.get((organization_id, thread_id), (0, 0))

    async def check(self, run: Progress, seq: int) -> None:
        """Raises Gone if the run had frames above `seq` that are no longer kept; Unavailable."""
        if seq >= run.last_seq:
            return
        async with pg.acquire(self._pool) as conn:
            if not await events.kept(conn, run.run_id, seq):
                raise Gone(hint=GONE)

    async def check_thread(self, organization_id: str, thread_id: str, mark: Mark) -> None:
        """The same of what comes next on a thread."""
        async with pg.acquire(self._pool) as conn:
            runs = await events.runs_after(conn, organization_id, thread_id, mark, None)
        for run in runs[:1]:
            await self.check(run, mark[1] if run.ms == mark[0] else 0)

    async def _replay(self, run_id: str, follower: Follower) -> AsyncIterator[Batch]:
        """From the log to its end; an `ended` batch if the run is over by then."""
        async with pg.acquire(self._pool) as conn:
            run = (await events.progress(conn, [run_id])).get(run_id)
        if run is None:
            raise Gone("The run was erased.")
        follower.knows(run.mark)
        async for batch in self._recorded(run, follower.at[1]):
            yield batch

    async def _replay_thread(
        self, follower: Follower, *, kept_only: bool = False
    ) -> AsyncIterator[Batch]:
        """From the log to its end. `kept_only` passes over runs whose frames are gone."""
        organization_id, _, thread_id = follower.topic.partition("/")
        while True:
            async with pg.acquire(self._pool) as conn:
                marks = await events.marks(conn, [(organization_id, thread_id)])
                runs = await events.runs_after(
                    conn, organization_id, thread_id, follower.at, follower.created_at
                )
            follower.knows(marks.get((organization_id, thread_id), (0, 0)))
            for run in runs:
                ms, seq = follower.at
                try:
                    async for batch in self._recorded(run, seq if run.ms == ms else 0):
                        follower.at = batch.mark
                        yield batch
                except Gone:
                    if not kept_only or run.ms == follower.at[0]:
                        raise
                    follower.at = run.ms, run.last_seq + 1
                follower.at = max(follower.at, (run.ms, 0))
                follower.created_at = run.created_at
            if len(runs) < events.RUNS_A_READ:
                return

    async def _recorded(self, run: Progress, seq: int) -> AsyncIterator[Batch]:
        """The run's frames above `seq`, to where it stands; its end, if it is over. Raises Gone."""
        while seq < run.last_seq:
            async with pg.acquire(self._pool) as conn:
                stored = await events.after(conn, run.run_id, seq)
            if not stored or stored[0].first_seq > seq + 1:
                raise Gone(hint=GONE)
            for row in stored:
                yield run.batch(row).since(seq)
                seq = row.last_seq
        if run.status in TERMINAL:
            yield run.end()

    def publish(self, batch: Batch) -> None:
        """After COMMIT: to local followers, and to planes that said that they follow."""
        self.arrived(batch)
        self._bus.publish(batch)

    def arrived(self, batch: Batch) -> None:
        """A batch that another plane committed."""
        for topic in batch.topics:
            for follower in self._followers.get(topic, ()):
                follower.push(batch)

    async def watch(self) -> None:
        """Once a second look at all that is followed: a lost *last* message shows no gap."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._followers:
                continue
            try:
                marks = await self._marks(list(self._followers))
            except DuraGraphError as error:
                log.warning("can't look after streams", error=str(error))
                continue
            for topic, followers in self._followers.items():
                for follower in followers:
                    if topic in marks and marks[topic] > follower.heard:
                        follower.reread()

    async def _marks(self, topics: Sequence[str]) -> dict[str, Mark]:
        """Where these runs and threads stand; behind everything if a run was erased."""
        runs = [topic for topic in topics if "/" not in topic]
        threads = [(org, thread) for org, _, thread in (t.partition("/") for t in topics) if thread]
        marks = dict.fromkeys(runs, ERASED)
        async with pg.acquire(self._pool) as conn:
            progress = await events.progress(conn, runs) if runs else {}
            standing = await events.marks(conn, threads) if threads else {}
        marks |= {run_id: run.mark for run_id, run in progress.items()}
        return marks | {thread_topic(*ids): mark for ids, mark in standing.items()}
