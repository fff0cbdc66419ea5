"""What planes on one database tell each other through NATS."""

import asyncio


async def test_a_drain_asked_of_one_plane_ends_the_polls_at_another(start_plane):
    one, other = await start_plane(), await start_plane()
    hand = await other.worker("steps")
    poll = asyncio.ensure_future(hand.poll())
    async with asyncio.timeout(10):
        # Planes hear of each other within a second; until then a drain is known to one alone.
        while not poll.done():
            answer = await one.post(f"/api/v1/workers/{hand.worker_id}/drain")
            assert answer.status == 200
            await asyncio.wait([poll], timeout=0.2)
    assert poll.result().tasks == []
