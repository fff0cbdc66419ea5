"""Following a whole thread: every run's frames and ends, once and in order, wherever they are."""

import asyncio

import pytest

from duragraph.deps import DEPS
from duragraph.ids import new_id
from duragraph.pg import DEFAULT_ORGANIZATION
from duragraph.protocol import Frame
from duragraph.streams import ALL

pytestmark = pytest.mark.timeout(30)


class Reader:
    """Reads a thread on one plane; `seen` holds `(ms, seq, run_id, what)`, an end as its status."""

    def __init__(self, plane, thread_id, after=None):
        self.streams = plane.app[DEPS].streams
        self._ids = DEFAULT_ORGANIZATION, thread_id
        self._after = after
        self.seen = []
        self._changed = asyncio.Condition()

    async def __aenter__(self):
        self._stands = self.streams.subscribe_thread(*self._ids)
        follower = self._stands.__enter__()
        self._task = asyncio.create_task(self._read(follower))
        return self

    async def __aexit__(self, *exc):
        self._task.cancel()
        await asyncio.wait([self._task])
        self._stands.__exit__(None, None, None)

    async def _read(self, follower):
        async for batch in self.streams.follow_thread(follower, after=self._after):
            new = [(batch.ms, seq, batch.run_id, int(data)) for seq, _, data in batch.numbered()]
            if batch.ended:
                new.append((*batch.mark, batch.run_id, batch.status))
            async with self._changed:
                self.seen += new
                self._changed.notify_all()

    async def ends(self, count):
        """All that was seen once so many runs have ended."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(
                lambda: sum(isinstance(what, str) for *_, what in self.seen) == count
            )
        marks = [(ms, seq) for ms, seq, _, _ in self.seen]
        assert marks == sorted(set(marks))
        return [what for *_, what in self.seen]


async def run_of(hand, thread_id, *numbers):
    """A run with these frames, to its end."""
    await hand.plane.start_run(thread_id)
    await hand.finish(await hand.task(), frames=frames(*numbers))


def frames(*numbers):
    return [Frame("custom", str(n).encode()) for n in numbers]


async def test_a_thread_is_followed_before_it_exists_and_through_all_its_runs(plane):
    hand, thread = await plane.worker("g"), new_id()
    async with Reader(plane, thread) as reader:
        await run_of(hand, thread, 1, 2)
        await run_of(hand, thread, 3)
        assert await reader.ends(2) == [1, 2, "success", 3, "success"]
        await hand.plane.start_run(thread)
        task = await hand.task()
        await hand.report(task, frames=frames(4))
        await plane.post(f"/threads/{thread}/runs/{task.run_id}/cancel")
        assert await reader.ends(3) == [1, 2, "success", 3, "success", 4, "interrupted"]


async def test_from_any_mark_comes_what_is_behind_it(plane):
    hand, thread = await plane.worker("g"), new_id()
    for numbers in (1, 2), (), (3,):
        await run_of(hand, thread, *numbers)
    async with Reader(plane, thread) as reader:
        whole = await reader.ends(3)
        seen = reader.seen
    assert whole == [1, 2, "success", "success", 3, "success"]
    for n, (ms, seq, *_) in enumerate(seen[:-1], 1):
        async with Reader(plane, thread, (ms, seq)) as reader:
            assert await reader.ends(whole[n:].count("success")) == whole[n:]
    async with Reader(plane, thread, (seen[0][0], ALL)) as reader:
        assert await reader.ends(2) == whole[3:]


async def test_from_now_on_nothing_is_replayed(plane):
    hand, thread = await plane.worker("g"), new_id()
    await run_of(hand, thread, 1)
    await hand.plane.start_run(thread)
    task = await hand.task()
    await hand.report(task, frames=frames(2))
    now = await plane.app[DEPS].streams.thread_mark(DEFAULT_ORGANIZATION, thread)
    async with Reader(plane, thread, now) as reader:
        await hand.finish(task, batch=2, frames=frames(3))
        await run_of(hand, thread, 4)
        assert await reader.ends(2) == [3, "success", 4, "success"]


async def test_runs_in_line_come_in_their_turn_and_those_cancelled_before_it_never(plane):
    hand, thread = await plane.worker("g"), new_id()
    async with Reader(plane, thread) as reader:
        first, second, third = [await hand.plane.start_run(thread) for _ in range(3)]
        await plane.post(f"/threads/{thread}/runs/{second}/cancel")
        for n in 1, 2:
            await hand.finish(await hand.task(), frames=frames(n))
        assert await reader.ends(2) == [1, "success", 2, "success"]
        assert [run_id for _, _, run_id, _ in reader.seen] == [first, first, third, third]


async def test_an_update_of_state_is_an_end_without_frames(plane):
    hand, thread = await plane.worker("g"), new_id()
    await run_of(hand, thread, 1)
    async with Reader(plane, thread) as reader:
        update = asyncio.create_task(plane.post(f"/threads/{thread}/state", {"values": {}}))
        await hand.finish(await hand.task())
        await update
        assert await reader.ends(2) == [1, "success", "success"]


async def test_planes_tell_each_other_of_threads_and_may_forget_to(start_plane):
    """Whatever NATS carries is only sooner: of what it loses, the log tells within a second."""
    one, other = await start_plane(), await start_plane()
    hand, thread = await one.worker("g"), new_id()
    streams = other.app[DEPS].streams
    async with Reader(other, thread) as reader:
        expected = []
        for n in range(1, 21):
            await run_of(hand, thread, n)
            expected += [n, "success"]
        assert await reader.ends(20) == expected
        bus = other.app[DEPS].dispatcher._bus
        bus._batch = lambda _: None
        await run_of(hand, thread, 21)
        bus._batch = streams.arrived
        await run_of(hand, thread, 22)
        expected += [21, "success", 22, "success"]
        assert await reader.ends(22) == expected
        bus._batch = lambda _: None
        await run_of(hand, thread, 23)
        assert await reader.ends(23) == [*expected, 23, "success"]


async def test_what_comes_again_is_seen_once(plane):
    hand, thread = await plane.worker("g"), new_id()
    streams, past = plane.app[DEPS].streams, []
    arrived = streams.arrived

    def with_all_that_was(batch):
        past.append(batch)
        for each in (batch, *past):
            arrived(each)

    streams.arrived = with_all_that_was
    async with Reader(plane, thread) as reader:
        expected = []
        for n in range(3):
            await hand.plane.start_run(thread)
            task = await hand.task()
            for batch in 1, 2, 3:
                await hand.report(task, batch=batch, frames=frames(batch))
            await hand.finish(task, batch=4)
            expected += [1, 2, 3, "success"]
            assert await reader.ends(n + 1) == expected


async def test_two_organizations_threads_of_one_name_dont_meet(plane):
    hand, thread = await plane.worker("g"), new_id()
    streams = plane.app[DEPS].streams
    with streams.subscribe_thread(new_id(), thread) as stranger:
        async with Reader(plane, thread) as reader:
            await run_of(hand, thread, 1)
            await reader.ends(1)
        assert stranger.heard == (0, 0)
