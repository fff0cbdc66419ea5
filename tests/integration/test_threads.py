"""Threads over HTTP: create, find, change, delete."""

import asyncio

import pytest

UNKNOWN = "11111111-1111-1111-1111-111111111111"


async def make(plane, **body):
    answer = await plane.post("/threads", body)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_new_thread_is_idle_and_empty(plane):
    made = await make(plane, metadata={"a": 1, "run_id": "dropped"})
    now = made["created_at"]
    assert made == {
        "thread_id": made["thread_id"],
        "created_at": now,
        "updated_at": now,
        "state_updated_at": now,
        "metadata": {"a": 1},
        "status": "idle",
        "config": {},
        "values": None,
        "error": None,
        "interrupts": {},
    }
    assert now.endswith("+00:00")
    assert (await plane.get(f"/threads/{made['thread_id']}")).json == made


async def test_a_taken_id_is_a_conflict_unless_told_otherwise(plane):
    made = await make(plane, thread_id=UNKNOWN)
    answer = await plane.post("/threads", {"thread_id": UNKNOWN})
    assert (answer.status, answer.json["detail"]) == (
        409,
        f"Thread with ID {UNKNOWN} already exists",
    )
    assert await make(plane, thread_id=UNKNOWN, if_exists="do_nothing") == made


async def test_update_merges_metadata(plane):
    made = await make(plane, metadata={"a": 1, "b": {"c": 1}})
    path = f"/threads/{made['thread_id']}"
    updated = (await plane.patch(path, {"metadata": {"b": {"d": 2}}})).json
    assert updated["metadata"] == {"a": 1, "b": {"d": 2}}
    assert updated["updated_at"] > made["updated_at"]
    assert updated["state_updated_at"] == made["state_updated_at"]
    assert (await plane.patch(path, {"metadata": None})).json["metadata"] == updated["metadata"]
    minimal = await plane.patch(path, {"metadata": {"e": 1}}, headers={"Prefer": "return=minimal"})
    assert (minimal.status, minimal.body) == (204, b"")
    assert (await plane.get(path)).json["metadata"]["e"] == 1


async def test_search_filters_sorts_and_selects(plane):
    ids = [(await make(plane, metadata={"n": n, "odd": n % 2}))["thread_id"] for n in range(3)]

    async def found(**body):
        return [row["metadata"]["n"] for row in (await plane.post("/threads/search", body)).json]

    assert await found() == [2, 1, 0]
    assert await found(metadata={"odd": 0}) == [2, 0]
    assert await found(ids=ids[:2]) == [1, 0]
    assert await found(ids=[]) == []
    assert await found(status="busy") == []
    assert await found(sort_by="created_at", sort_order="asc", limit=2) == [0, 1]
    rows = (await plane.post("/threads/search", {"select": ["thread_id", "status"]})).json
    assert rows[0] == {"thread_id": ids[2], "status": "idle"}
    assert (await plane.post("/threads/count", {"metadata": {"odd": 0}})).json == 2


async def extracted(plane, **paths):
    answer = await plane.post("/threads/search", {"select": ["status"], "extract": paths})
    assert answer.status == 200, answer.body
    (row,) = answer.json
    assert row.keys() == {"status", "extracted"}
    return row["extracted"]


async def test_search_extracts_by_path(plane):
    await make(
        plane, metadata={"list": [1, {"k": "v", "0": "no"}], "de-ep": {"x": [10, 20]}, "n": None}
    )
    found = await extracted(
        plane,
        whole="metadata.de-ep",
        inner="metadata.list[1].k",
        last="metadata.de-ep.x[-1]",
        first="metadata.de-ep.x[-2]",
        odd="metadata..list[01]",
    )
    assert found == {
        "whole": {"x": [10, 20]},
        "inner": "v",
        "last": 20,
        "first": 10,
        "odd": {"k": "v", "0": "no"},
    }


@pytest.mark.parametrize(
    "path",
    [
        "metadata.nope.x",
        "metadata.list[9]",
        "metadata.list[-3]",
        "metadata.list.0",
        "metadata.list.k",
        "metadata.list[1][0]",
        "metadata.list[99999999999999999999]",
        "metadata[0]",
        "metadata.n",
        "metadata.n.x",
        "metadata[list]",
        "metadata[0",
        "metadata.list[*]",
        "metadata.*",
        'metadata."list"',
        "metadata.list[1]k",
        "metadata.a\\u0022 == 1",
        "values.x",
        "interrupts.x",
    ],
)
async def test_a_path_that_leads_nowhere_is_null(plane, path):
    await make(plane, metadata={"list": [1, {"k": "v", "0": "no"}], "n": None})
    assert await extracted(plane, a=path) == {"a": None}


@pytest.mark.parametrize(
    "paths",
    [
        {"1a": "metadata.n"},
        {"a-b": "metadata.n"},
        {"é": "metadata.n"},
        {"values": "metadata.n"},
        {"a": ""},
        {"a": "status"},
        {"a": " metadata.n"},
        {"a": "metadata; drop table thread"},
        {f"a{n}": "metadata.n" for n in range(11)},
    ],
)
async def test_other_paths_are_refused(plane, paths):
    answer = await plane.post("/threads/search", {"extract": paths})
    assert (answer.status, answer.json["code"]) == (422, "invalid")


async def test_search_says_in_headers_whether_there_is_more(plane):
    for _ in range(3):
        await make(plane)
    answer = await plane.post("/threads/search", {"limit": 2})
    assert len(answer.json) == 2
    assert answer.headers["X-Pagination-Next"] == "2"
    assert answer.headers["X-Pagination-Total"] == "3"
    answer = await plane.post("/threads/search", {"limit": 2, "offset": 2})
    assert len(answer.json) == 1
    assert "X-Pagination-Next" not in answer.headers
    assert answer.headers["X-Pagination-Total"] == "3"


async def test_delete_erases_the_thread_and_frees_its_id(plane):
    await make(plane, thread_id=UNKNOWN)
    assert (await plane.delete(f"/threads/{UNKNOWN}")).status == 204
    for answer in (
        await plane.get(f"/threads/{UNKNOWN}"),
        await plane.delete(f"/threads/{UNKNOWN}"),
    ):
        assert (answer.status, answer.json["detail"]) == (
            404,
            f"Thread with ID {UNKNOWN} not found",
        )
    await make(plane, thread_id=UNKNOWN)


async def test_deleting_a_busy_thread_ends_its_streams_and_tells_its_worker(plane):
    hand = await plane.worker("echo")
    await make(plane, thread_id=UNKNOWN)
    run = {"assistant_id": "echo", "input": {}}
    async with plane.http.post(f"/threads/{UNKNOWN}/runs/stream", json=run) as stream:
        task = await hand.task()
        assert (await plane.delete(f"/threads/{UNKNOWN}")).status == 204
        async with asyncio.timeout(5):
            await stream.read()
    polled = await hand.poll()
    assert [(c.run_id, c.action) for c in polled.control] == [(task.run_id, "cancel")]
    assert (await hand.finish(task)).verdict in {"cancelled", "fenced"}


async def test_head_answers_as_get_does_and_a_slash_too_many_is_redirected(plane):
    made = await make(plane)
    path = f"/threads/{made['thread_id']}"
    head = await plane.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    moved = await plane.get(f"{path}/?x=1", allow_redirects=False)
    assert (moved.status, moved.headers["Location"]) == (307, f"{path}?x=1")
    assert (await plane.get(f"/api/v1{path}")).json == made
