"""`Idempotency-Key`: the same request again makes nothing new and gets the same answer."""

import asyncio

import pytest

from duragraph import ids
from duragraph.api import ROUTES
from duragraph.protocol import Frame

pytestmark = pytest.mark.timeout(30)

RUN = {"assistant_id": "g", "input": {}}
VALUES = Frame("values", b'{"a":1}')


@pytest.fixture
async def thread(plane):
    return (await plane.post("/threads", {})).json["thread_id"]


def under(key):
    return {"headers": {"Idempotency-Key": key}}


def creating(thread):
    """`{path: body}` of all that honours a key and answers with what it made."""
    return {
        "/assistants": {"graph_id": "g"},
        "/threads": {"metadata": {"a": 1}},
        "/runs": RUN,
        "/runs/batch": [RUN, RUN],
        f"/threads/{thread}/copy": None,
        f"/threads/{thread}/runs": RUN,
        "/runs/crons": {"schedule": "0 0 1 1 *", "assistant_id": "g"},
        f"/threads/{thread}/runs/crons": {"schedule": "0 0 1 1 *", "assistant_id": "g"},
    }


SIGNALS = {"/threads/{thread_id}/signals"}
"""What it makes cannot be read; see `test_signals.py`."""
LIVE = {"/runs/stream", "/runs/wait", "/threads/{thread_id}/runs/stream"} | {
    "/threads/{thread_id}/runs/wait"
}


def test_every_create_honours_a_key():
    made = {path.replace("T", "{thread_id}") for path in creating("T")}
    assert {route.path for route in ROUTES if route.once} == made | LIVE | SIGNALS


async def test_the_same_request_makes_one_thing_and_is_answered_the_same(plane, hand, thread):
    for n, (path, body) in enumerate(creating(thread).items()):
        first, again = [await plane.post(path, body, **under(f"key-{n}")) for _ in range(2)]
        assert first.status == again.status == 200, (path, first.body, again.body)
        assert first.body == again.body, path
        assert first.headers.get("Content-Location") == again.headers.get("Content-Location")
        other = await plane.post(path, body, **under(f"other-{n}"))
        assert other.body != first.body, path


async def test_the_answer_stays_what_it_was(plane, hand, thread):
    first = await plane.post(f"/threads/{thread}/runs", RUN, **under("k"))
    await hand.finish(await hand.task())
    await plane.delete(f"/threads/{thread}")
    assert (await plane.post(f"/threads/{thread}/runs", RUN, **under("k"))).body == first.body


async def test_equal_requests_at_once_make_one_run(start_plane, thread, owner):
    planes = [await start_plane(), await start_plane()]
    await planes[0].worker("g")
    requests = (planes[n % 2].post(f"/threads/{thread}/runs", RUN, **under("k")) for n in range(30))
    answers = await asyncio.gather(*requests)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert await owner.fetchval("select count(*) from run") == 1


async def test_a_run_that_its_own_request_made_is_no_reason_to_reject(plane, hand, thread):
    body = RUN | {"multitask_strategy": "reject"}
    first, again = [
        await plane.post(f"/threads/{thread}/runs", body, **under("k")) for _ in range(2)
    ]
    assert (again.status, again.body) == (200, first.body)
    assert (await plane.post(f"/threads/{thread}/runs", body, **under("l"))).status == 409


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_in_place_of_others_does_not_take_its_own(plane, hand, thread, strategy):
    body = RUN | {"multitask_strategy": strategy}
    first, again = [
        await plane.post(f"/threads/{thread}/runs", body, **under("k")) for _ in range(2)
    ]
    assert again.body == first.body
    assert (await hand.task()).run_id == first.json["run_id"]


async def test_another_request_under_the_key_is_a_conflict(plane, hand, thread, owner):
    path = f"/threads/{thread}/runs"
    assert (await plane.post(path, RUN, **under("k"))).status == 200
    for other, body in ((path, RUN | {"input": 1}), (f"{path}/wait", RUN), ("/runs", RUN)):
        answer = await plane.post(other, body, **under("k"))
        assert (answer.status, answer.json["code"]) == (409, "conflict")
        assert "key" in answer.json["hint"]
    assert await owner.fetchval("select count(*) from run") == 1


async def test_a_request_that_failed_leaves_its_key_free(plane, hand):
    thread_id = ids.new_id()
    path = f"/threads/{thread_id}/runs"
    assert (await plane.post(path, RUN, **under("k"))).status == 404
    await plane.post("/threads", {"thread_id": thread_id})
    assert (await plane.post(path, RUN, **under("k"))).status == 200


async def test_a_crash_before_the_commit_leaves_neither_key_nor_run(plane, hand, thread, owner):
    path = f"/threads/{thread}/runs"
    async with owner.transaction():
        await owner.execute("select from thread for update")
        request = asyncio.create_task(plane.post(path, RUN, **under("k")))
        waiting = (
            "select pid from pg_stat_activity where wait_event_type = 'Lock' "
            "and datname = current_database() and query like '%organization_id, thread_id%'"
        )
        async with asyncio.timeout(10):
            while not (pid := await owner.fetchval(waiting)):
                await owner.execute("select pg_stat_clear_snapshot()")
        await owner.execute("select pg_terminate_backend($1)", pid)
        assert (await request).status == 503
    assert await owner.fetchval("select count(*) from idempotency_key") == 0
    assert (await plane.post(path, RUN, **under("k"))).status == 200
    assert await owner.fetchval("select count(*) from run") == 1


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("stateful", [True, False])
async def test_a_stream_sent_again_is_joined_from_its_start(plane, hand, thread, stateful, ended):
    path = f"/threads/{thread}/runs/stream" if stateful else "/runs/stream"
    first = asyncio.create_task(plane.post(path, RUN, **under("k")))
    task = await hand.task()
    await hand.report(task, frames=[Frame("metadata", b"{}"), VALUES])
    if not ended:
        again = asyncio.create_task(plane.post(path, RUN, **under("k")))
    await hand.finish(task, batch=2, frames=[VALUES])
    whole = await first
    answer = await (plane.post(path, RUN, **under("k")) if ended else again)
    assert whole.body.count(b"event:") == 3
    assert answer.body == whole.body
    for name in ("Location", "Content-Location"):
        assert answer.headers[name].partition("?")[0] == whole.headers[name].partition("?")[0]


@pytest.mark.parametrize("stateful", [True, False])
async def test_a_wait_sent_again_gets_the_same_value(plane, hand, thread, stateful):
    path = f"/threads/{thread}/runs/wait" if stateful else "/runs/wait"
    first, second = [asyncio.create_task(plane.post(path, RUN, **under("k"))) for _ in range(2)]
    await hand.finish(await hand.task(), frames=[VALUES])
    third = await plane.post(path, RUN, **under("k"))
    answers = [await first, await second, third]
    assert [answer.json for answer in answers] == [{"a": 1}] * 3
    assert len({answer.headers["Location"] for answer in answers}) == 1


async def test_a_stream_of_a_run_deleted_since_says_so(plane, hand, thread):
    path = f"/threads/{thread}/runs"
    sent = asyncio.create_task(plane.post(f"{path}/stream", RUN, **under("k")))
    task = await hand.task()
    await hand.finish(task)
    await sent
    assert (await plane.delete(f"{path}/{task.run_id}")).status == 204
    assert b"Run not found" in (await plane.post(f"{path}/stream", RUN, **under("k"))).body


async def test_keys_are_bounded(plane, hand):
    for key in ("", "k" * 256, "a key", "\u00fc"):
        answer = await plane.post("/threads", {}, **under(key))
        assert (answer.status, answer.json["code"]) == (422, "invalid"), key
        assert "255" in answer.json["hint"]
    assert (await plane.post("/threads", {}, **under("k" * 255))).status == 200


async def test_old_keys_are_forgotten(start_plane, owner):
    plane = await start_plane(idempotency_seconds=0.01, sweep_seconds=0.01)
    first = await plane.post("/threads", {}, **under("k"))
    async with asyncio.timeout(10):
        while await owner.fetchval("select count(*) from idempotency_key"):
            pass
    assert (await plane.post("/threads", {}, **under("k"))).body != first.body
