"""What an attempt puts leaves in order, with what shows it."""

import asyncio

from duragraph.protocol import Frame
from duragraph_worker.langgraph.outbox import TURNS, Outbox
from tests.langgraph.recorder import Kept

FIRST, SECOND, THIRD = (Frame("custom", each) for each in (b"1", b"2", b"3"))


async def turns():
    for _ in range(2 * TURNS):
        await asyncio.sleep(0)


async def test_what_is_held_leaves_first_and_at_once():
    kept = Kept()
    outbox = Outbox(kept)
    outbox.hold(FIRST)
    outbox.put(SECOND)
    await turns()
    assert kept.items == []
    outbox.release()
    outbox.put(THIRD)
    assert kept.items == [FIRST, SECOND, THIRD]


async def test_what_nobody_asks_for_leaves_by_itself():
    kept = Kept()
    outbox = Outbox(kept)
    outbox.hold_briefly(FIRST)
    outbox.put(SECOND)
    assert kept.items == []
    await turns()
    assert kept.items == [FIRST, SECOND]


async def test_what_is_held_after_a_release_waits_for_its_own():
    kept = Kept()
    outbox = Outbox(kept)
    outbox.hold_briefly(FIRST)
    outbox.release()
    outbox.hold(SECOND)
    await turns()
    assert kept.items == [FIRST]
