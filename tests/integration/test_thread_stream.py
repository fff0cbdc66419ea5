"""`GET /threads/{id}/stream`: whatever happens on a thread, each frame once and in order."""

import asyncio
import json
import re

import pytest

from duragraph import ids
from duragraph.ids import new_id
from duragraph.protocol import ChannelWrite, Checkpoint, Frame

pytestmark = pytest.mark.timeout(30)

FRAME = re.compile(rb"event: (.*)\r\ndata: (.*)\r\nid: (\d+)-(\d+)\r\n\r\n")


class Stream:
    """An open thread stream, read as far as asked."""

    def __init__(self, response):
        self._response = response
        self._body = b""

    async def frames(self, count):
        """`(event, data, id)` of the next frames."""
        async with asyncio.timeout(10):
            while len(FRAME.findall(self._body)) < count:
                chunk = await self._response.content.readany()
                assert chunk, "it ended"
                self._body += chunk
        found = FRAME.findall(self._body)[:count]
        self._body = self._body[self._body.index(b"id: %b-%b\r\n\r\n" % found[-1][2:]) :]
        self._body = self._body.partition(b"\r\n\r\n")[2]
        return [
            (e.decode(), json.loads(d), f"{ms.decode()}-{seq.decode()}") for e, d, ms, seq in found
        ]

    async def data(self, count):
        return [data for _, data, _ in await self.frames(count)]

    def close(self):
        self._response.close()


@pytest.fixture
async def follow(plane):
    """Open a thread's stream; closed after the test."""
    opened = []

    async def follow(thread, query="", last_event_id=None):
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        response = await plane.http.get(f"/threads/{thread}/stream{query}", headers=headers)
        assert response.status == 200
        opened.append(response)
        return Stream(response)

    yield follow
    for response in opened:
        response.close()


async def run_of(hand, thread, *numbers):
    """A run with these frames after its first; returns its id."""
    run_id = await hand.plane.start_run(thread)
    await hand.finish(await hand.task(), frames=[started(run_id), *map(custom, numbers)])
    return run_id


def started(run_id):
    return Frame("metadata", json.dumps({"run_id": run_id, "attempt": 1}).encode())


def custom(number):
    return Frame("custom", str(number).encode())


def done(run_id):
    return {"status": "run_done", "run_id": run_id}


async def test_it_opens_before_the_thread_exists_and_outlives_its_runs(hand, follow):
    thread = new_id()
    stream = await follow(thread)
    for n in 1, 2:
        run_id = await run_of(hand, thread, n)
        begins, frame, ends = await stream.frames(3)
        assert [begins[1]["run_id"], frame[1], ends[1]] == [run_id, n, done(run_id)]
        assert ends[0] == "metadata"


async def test_without_an_id_only_what_is_to_come_is_told(hand, follow):
    thread = new_id()
    await run_of(hand, thread, 1)
    stream = await follow(thread)
    run_id = await run_of(hand, thread, 2)
    assert (await stream.data(3))[1:] == [2, done(run_id)]


async def test_from_every_id_comes_the_rest(hand, follow):
    thread = new_id()
    for n in 1, 2:
        await run_of(hand, thread, n)
    whole = await (await follow(thread, last_event_id="-")).frames(6)
    assert [data for _, data, _ in whole][1::3] == [1, 2]
    for n, (_, _, event_id) in enumerate(whole[:-1], 1):
        assert await (await follow(thread, last_event_id=event_id)).frames(6 - n) == whole[n:]
    assert await (await follow(thread, last_event_id="0")).frames(6) == whole
    ms = whole[3][2].partition("-")[0]
    for all_of_it in ms, f"{ms}-*", f"{ms}-0":
        assert await (await follow(thread, last_event_id=all_of_it)).frames(3) == whole[3:]


@pytest.mark.parametrize("id", ["99999999999999-1", "{ms}-99", "{ms}-" + "9" * 18])
async def test_an_id_that_is_yet_to_come_is_now(hand, follow, id):
    thread = new_id()
    await run_of(hand, thread, 1)
    ms = (await (await follow(thread, last_event_id="-")).frames(1))[0][2].partition("-")[0]
    stream = await follow(thread, last_event_id=id.replace("{ms}", ms))
    run_id = await run_of(hand, thread, 2)
    assert (await stream.data(3))[1:] == [2, done(run_id)]


@pytest.mark.parametrize("id", ["-1", "zzz", "1-", "1-1-1", "*", "٣-٣", "9" * 5000])
async def test_an_id_of_another_form_is_refused(plane, id):
    answer = await plane.get(f"/threads/{new_id()}/stream", headers={"Last-Event-ID": id})
    assert (answer.status, answer.json["code"]) == (422, "invalid")


@pytest.mark.parametrize("name", ["stream_mode", "stream_modes"])
@pytest.mark.parametrize("value", ["zz", "lifecycle,zz", '["zz"]', "values"])
async def test_a_mode_that_is_none_is_refused(plane, name, value):
    answer = await plane.get(f"/threads/{new_id()}/stream", params={name: value})
    assert (answer.status, answer.json["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "query",
    [
        "?stream_mode=lifecycle",
        "?stream_modes=lifecycle,state_update",
        "?stream_mode=%5B%22lifecycle%22%5D",
        "?stream_mode=lifecycle&stream_mode=state_update",
        "?stream_modes=state_update&stream_mode=lifecycle",
        "?stream_mode=lifecycle&last_event_id=0-0&stream_mode=%5B%22lifecycle%22%5D",
    ],
)
async def test_lifecycle_is_where_runs_begin_and_end(hand, follow, query):
    thread = new_id()
    stream = await follow(thread, query)
    run_id = await run_of(hand, thread, 1, 2)
    assert await stream.data(2) == [{"run_id": run_id, "attempt": 1}, done(run_id)]


async def test_all_modes_at_once_tell_all(hand, follow):
    thread = new_id()
    stream = await follow(thread, "?stream_modes=run_modes,lifecycle,state_update")
    run_id = await run_of(hand, thread, 1)
    assert (await stream.data(3))[1:] == [1, done(run_id)]
    await updated(hand, thread, 5)
    assert (await stream.frames(1))[0][0] == "state_update"


async def updated(hand, thread, value):
    update = asyncio.create_task(
        hand.plane.post(f"/threads/{thread}/state", {"values": {"a": value}})
    )
    at = ids.checkpoint_id()
    wrote = [ChannelWrite("a", str(value).encode())]
    state = Checkpoint(at, None, "", "update", 1, "", [], wrote, {"a": at})
    await hand.finish(await hand.task(), checkpoints=[state])
    assert (await update).status == 200


async def test_an_update_of_state_is_told_to_who_asks_and_numbered_with_the_rest(hand, follow):
    thread = new_id()
    told, untold = await follow(thread, "?stream_mode=state_update"), await follow(thread)
    await run_of(hand, thread, 1)
    await updated(hand, thread, 5)
    run_id = await run_of(hand, thread, 2)
    ((event, data, event_id),) = await told.frames(1)
    assert event == "state_update"
    assert (data["thread_id"], data["state"]["values"]) == (thread, {"a": 5})
    seen = await untold.frames(6)
    assert seen[-1][1] == done(run_id)
    assert place(seen[2][2]) < place(event_id) < place(seen[3][2])
    again = await follow(thread, "?stream_mode=state_update", seen[2][2])
    assert await again.frames(1) == [(event, data, event_id)]


def place(event_id):
    return tuple(map(int, event_id.split("-")))


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_cancelled_run_ends_too(hand, follow, action):
    thread = new_id()
    stream = await follow(thread)
    run_id = await hand.plane.start_run(thread)
    await hand.report(await hand.task(), frames=[started(run_id)])
    await hand.plane.post(f"/threads/{thread}/runs/{run_id}/cancel?action={action}")
    assert (await stream.data(2))[1] == done(run_id)
