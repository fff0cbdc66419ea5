"""Followers that come from anywhere, want anything or read nothing."""

import asyncio

import aiohttp
import pytest

from duragraph import ids
from duragraph.protocol import ChannelWrite, Checkpoint, Frame

pytestmark = pytest.mark.timeout(30)

IN_TIME = 5


async def begun(hand):
    """A task, and its run's path."""
    thread = (await hand.plane.post("/threads", {})).json["thread_id"]
    body = {"assistant_id": "g", "input": {}}
    assert (await hand.plane.post(f"/threads/{thread}/runs", body)).status == 200
    task = await asyncio.wait_for(hand.task(), IN_TIME)
    return task, f"/threads/{thread}/runs/{task.run_id}"


async def following(plane, path, last_event_id):
    """A stream's response, once it has begun."""
    request = plane.http.get(f"{path}/stream", headers={"Last-Event-ID": last_event_id})
    response = await asyncio.wait_for(request.__aenter__(), IN_TIME)
    assert response.status == 200
    return response


async def rest(response):
    return (await asyncio.wait_for(response.read(), IN_TIME)).decode()


def frames(*numbers):
    return [Frame("custom", str(n).encode()) for n in numbers]


async def first_id(plane, path):
    """The id of the first frame."""
    response = await following(plane, path, "0")
    try:
        async for line in response.content:
            if line.startswith(b"id: "):
                return line.decode()[4:].strip()
    finally:
        response.close()


GARBAGE = (
    "garbage", "", "-", "1", "1-", "-1", "0-0", "1-1-1", "٣-٣", "1e3-1", "0x1-1", " ",
    "9" * 5000 + "-1", "1-" + "9" * 5000, "{ms}-99", "{ms}-2147483647", "{ms}-4294967296",
    "{ms}-" + "9" * 5000, "99999999999999-1",
)  # fmt: skip


async def test_after_any_last_event_id_comes_what_follows(plane, hand):
    task, path = await begun(hand)
    await hand.report(task, frames=frames(1))
    ms = (await first_id(plane, path)).partition("-")[0]
    begins = (following(plane, path, given.replace("{ms}", ms)) for given in GARBAGE)
    responses = await asyncio.gather(*begins)
    await hand.finish(task, batch=2, frames=frames(2))
    for given, response in zip(GARBAGE, responses, strict=True):
        assert "data: 2" in await rest(response), given


async def test_a_run_deleted_while_followed_ends_its_streams(plane, hand):
    _, path = await begun(hand)
    response = await following(plane, path, "0")
    assert (await plane.delete(path)).status == 204
    await rest(response)


async def test_frames_of_a_rolled_back_checkpoint_are_still_in_the_log(plane, hand):
    task, path = await begun(hand)
    at = ids.checkpoint_id()
    state = Checkpoint(at, None, "", "loop", 0, "", [], [ChannelWrite("a", b"1")], {"a": at})
    await hand.report(task, checkpoints=[state], frames=[Frame("values", b'{"a":1}', at)])
    assert (await plane.post(f"{path}/cancel?action=rollback")).status == 202
    response = await following(plane, f"/runs/{task.run_id}", "0")
    assert "event: values\r\ndata: {}" in await rest(response)


FOLLOWERS = 300
"""Each takes two files of this process, of which a plain user often has 1,024."""


async def test_hundreds_of_followers_get_every_frame(plane, hand):
    task, path = await begun(hand)
    async with aiohttp.ClientSession(plane.url, connector=aiohttp.TCPConnector(limit=0)) as http:
        many = await asyncio.gather(
            *(http.get(f"{path}/stream", headers={"Last-Event-ID": "0"}) for _ in range(FOLLOWERS))
        )
        for batch in range(1, 6):
            await hand.report(task, batch=batch, frames=frames(batch))
        await hand.finish(task, batch=6)
        bodies = await asyncio.gather(*map(rest, many))
    for body in bodies:
        assert [line for line in body.split("\r\n") if line.startswith("data")] == [
            f"data: {n}" for n in range(1, 6)
        ]


async def test_who_reads_nothing_slows_no_one_and_still_gets_all(plane, hand):
    task, path = await begun(hand)
    idle, busy = [await following(plane, path, "0") for _ in range(2)]
    text = b'"' + b"x" * 500_000 + b'"'
    reading = asyncio.create_task(rest(busy))
    for batch in range(1, 31):
        await hand.report(task, batch=batch, frames=[Frame("custom", text)])
    await hand.finish(task, batch=31)
    assert (await reading).count("event: custom") == 30
    assert (await rest(idle)).count("event: custom") == 30


@pytest.mark.parametrize("ending", ["stream", "join"])
async def test_what_opens_during_a_shutdown_is_cut(plane, hand, ending):
    _, path = await begun(hand)
    await plane.app.shutdown()
    with pytest.raises(aiohttp.ClientError):
        async with plane.http.get(f"{plane.url}{path}/{ending}") as response:
            await asyncio.wait_for(response.read(), IN_TIME)
