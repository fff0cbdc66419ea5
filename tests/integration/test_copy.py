"""Threads copied, weighed and cut to their newest state."""

import re

import asyncpg
import msgspec
import pytest

from duragraph import ids
from duragraph.pg import erasure
from duragraph.protocol import ChannelWrite, Checkpoint, Effect, Outcome, Write

SOURCE = "11111111-1111-1111-1111-111111111111"
UNKNOWN = "22222222-2222-2222-2222-222222222222"
TABLES = ("checkpoint", "channel_value", "step_write", "effect")


def step(parent=None, *, root=None, ns="", next=(), versions=(), parts=()):
    """A checkpoint that writes the `ChannelWrite`s of `parts`."""
    own = ids.checkpoint_id(parent and parent.checkpoint_id)
    return Checkpoint(
        own,
        parent and parent.checkpoint_id,
        ns,
        "loop",
        0,
        "2026-11-20T08:00:00.000001+00:00",
        list(next),
        list(parts),
        dict(versions) | {part.channel: own for part in parts},
        metadata=msgspec.json.encode({"thread_id": SOURCE, "n": len(parts)}),
        root_id=root,
    )


def grown(parent, value):
    """The list `log` of `parent`, with one more element."""
    base = parent.versions["log"]
    part = ChannelWrite("log", msgspec.json.encode([value]), base_id=base, depth=value)
    return step(parent, versions=parent.versions, parts=[part])


@pytest.fixture
async def history(plane, hand):
    """A thread at an interrupt, with a growing list, a subgraph and an effect; oldest first."""
    body = {"assistant_id": "g", "input": {}, "if_not_exists": "create", "metadata": {"m": 1}}
    assert (await plane.post(f"/threads/{SOURCE}/runs", body)).status == 200
    task = await hand.task()
    first = step(parts=[ChannelWrite("log", b"[0]"), ChannelWrite("other", b"1")])
    second, third = (second := grown(first, 1)), grown(second, 2)
    last = step(
        third,
        next=["ask"],
        versions=third.versions,
        parts=[ChannelWrite("other", b'{"deep":[1.50]}')],
    )
    at = last.checkpoint_id
    below = step(root=at, ns="ask:t", parts=[ChannelWrite("inner", b"0")])
    newest = step(below, root=at, ns="ask:t", parts=[ChannelWrite("inner", b"1")])
    asked = b'[{"id":"i","value":"sure?"}]'
    await hand.report(
        task,
        checkpoints=[first, second, third, last, below, newest],
        writes=[
            Write(first.checkpoint_id, "", "t0", result=b"{}"),
            Write(at, "", "t", interrupts=asked, opaque=b'{"answers":[]}'),
        ],
        effects=[Effect(at, "k", b'"done"'), Effect(first.checkpoint_id, "k", b'"old"')],
        outcome=Outcome("success", interrupted=True, interrupts=b'{"t":' + asked + b"}"),
    )
    return [first, second, third, last, below, newest]


async def copy(plane, thread_id=SOURCE):
    answer = await plane.post(f"/threads/{thread_id}/copy")
    assert answer.status == 200, answer.body
    return answer.json


async def states(plane, thread_id):
    answer = await plane.post(f"/threads/{thread_id}/history", {"limit": 100})
    assert answer.status == 200, answer.body
    return answer.json


async def rows(database_url, thread_id):
    connection = await asyncpg.connect(database_url)
    query = "select count(*) from {} where thread_id = $1"
    counts = [await connection.fetchval(query.format(t), thread_id) for t in TABLES]
    await connection.close()
    return dict(zip(TABLES, counts, strict=True))


async def test_a_copy_has_all_of_the_history(plane, history, database_url):
    before = (await plane.get(f"/threads/{SOURCE}")).json
    made = await copy(plane)
    own = made["thread_id"]
    assert made["metadata"] == before["metadata"]
    assert (made["status"], made["config"], made["interrupts"]) == ("idle", {}, {})
    assert b'{"deep":[1.50]}' in (await plane.get(f"/threads/{own}")).body
    theirs = msgspec.json.encode(await states(plane, SOURCE)).decode()
    assert await states(plane, own) == msgspec.json.decode(theirs.replace(SOURCE, own))
    assert await rows(database_url, own) == await rows(database_url, SOURCE)
    assert (await plane.get(f"/threads/{own}/runs")).json == []


async def test_a_copy_goes_on_by_itself(plane, hand, history):
    own = (await copy(plane))["thread_id"]
    body = {"assistant_id": "g", "command": {"resume": "yes"}}
    assert (await plane.post(f"/threads/{own}/runs", body)).status == 200
    task = await hand.task()
    assert task.snapshot.checkpoint_id == history[3].checkpoint_id
    assert task.snapshot.values["log"] == b"[0,1,2]"
    assert [write.task_id for write in task.snapshot.writes] == ["t"]
    assert [child.ns for child in task.snapshot.children] == ["ask:t"]
    assert [effect.result for effect in task.effects] == [b'"done"']
    await hand.finish(task, checkpoints=[grown(history[2], 3)])
    assert len(await states(plane, own)) == 5
    assert len(await states(plane, SOURCE)) == 4
    await plane.delete(f"/threads/{SOURCE}")
    assert (await plane.get(f"/threads/{own}/state")).json["values"]["log"] == [0, 1, 2, 3]


async def test_a_busy_thread_is_copied_as_it_stands(plane, hand, history):
    await plane.post(f"/threads/{SOURCE}/runs", {"assistant_id": "g", "command": {"resume": 1}})
    await hand.task()
    made = await copy(plane)
    assert made["status"] == "idle"
    assert made["values"]["log"] == [0, 1, 2]


async def test_there_is_nothing_to_copy_of_a_missing_thread(plane):
    answer = await plane.post(f"/threads/{UNKNOWN}/copy")
    assert (answer.status, answer.json["detail"]) == (409, "Conflict")
    assert (await plane.get(f"/threads/{UNKNOWN}/storage")).status == 404


async def test_storage_is_counted(plane, history):
    found = (await plane.get(f"/threads/{SOURCE}/storage")).json
    channels = found["channel_values"]["by_channel"]
    assert {name: each["versions"] for name, each in channels.items()} == {
        "log": 3,
        "other": 2,
        "inner": 2,
    }
    assert channels["log"]["bytes"] == len("[0]" + "[1]" + "[2]")
    assert (found["checkpoints"]["count"], found["pending_writes"]["count"]) == (6, 2)
    parts = ("checkpoints", "channel_values", "pending_writes")
    assert found["total_bytes"] == sum(found[part]["bytes"] for part in parts)
    made = (await plane.post("/threads", {})).json["thread_id"]
    empty = (await plane.get(f"/threads/{made}/storage")).json
    assert (empty["total_bytes"], empty["channel_values"]["by_channel"]) == (0, {})


async def prune(plane, *thread_ids, **strategy):
    answer = await plane.post("/threads/prune", {"thread_ids": thread_ids} | strategy)
    assert answer.status == 200, answer.body
    return answer.json["pruned_count"]


async def test_prune_deletes_what_there_is(plane, history):
    assert await prune(plane, SOURCE, UNKNOWN, SOURCE) == 1
    assert (await plane.get(f"/threads/{SOURCE}")).status == 404
    assert await prune(plane, SOURCE) == 0
    assert await prune(plane) == 0


@pytest.fixture(params=[1, 2, 500])
def batch(request, monkeypatch):
    """So many rows go at a time."""
    for name in ("CUT", "DROP_PARTS"):
        whole = getattr(erasure, name)
        cut = re.sub("limit (200|500)", f"limit {request.param}", whole)
        monkeypatch.setattr(erasure, name, cut)


@pytest.mark.usefixtures("batch")
async def test_keep_latest_keeps_the_head_and_what_it_reaches(plane, hand, history, database_url):
    before = (await plane.get(f"/threads/{SOURCE}/state?subgraphs=true")).json
    assert await prune(plane, SOURCE, UNKNOWN, strategy="keep_latest") == 1
    (kept,) = await states(plane, SOURCE)
    assert (kept["parent_checkpoint"], kept["values"]["log"]) == (None, [0, 1, 2])
    assert await rows(database_url, SOURCE) == {
        "checkpoint": 2,
        "channel_value": 5,
        "step_write": 1,
        "effect": 1,
    }
    after = (await plane.get(f"/threads/{SOURCE}/state?subgraphs=true")).json
    assert after["values"] == before["values"]
    assert after["interrupts"] == before["interrupts"]
    await plane.post(f"/threads/{SOURCE}/runs", {"assistant_id": "g", "command": {"resume": 1}})
    task = await hand.task()
    assert task.snapshot.values["log"] == b"[0,1,2]"
    assert [child.values["inner"] for child in task.snapshot.children] == [b"1"]


async def head(database_url):
    connection = await asyncpg.connect(database_url)
    found = await connection.fetchval("select checkpoint_id from thread")
    await connection.close()
    return found and str(found)


async def test_a_run_deleted_after_a_prune_leaves_no_pointer_to_nowhere(
    plane, hand, history, database_url
):
    body = {"assistant_id": "g", "command": {"resume": 1}}
    run = (await plane.post(f"/threads/{SOURCE}/runs", body)).json
    last = grown(history[2], 3)
    await hand.finish(await hand.task(), checkpoints=[last])
    assert await prune(plane, SOURCE, strategy="keep_latest") == 1
    assert await head(database_url) == last.checkpoint_id
    assert (await plane.delete(f"/threads/{SOURCE}/runs/{run['run_id']}")).status == 204
    assert await head(database_url) is None
    assert (await plane.get(f"/threads/{SOURCE}/state")).json["checkpoint"] is None


@pytest.mark.usefixtures("batch")
async def test_a_run_between_two_batches_has_all_that_it_needs(plane, hand, history, monkeypatch):
    prune_batch, tasks = erasure._prune_batch, []

    async def prune_and_start(*args, **options):
        batch = await prune_batch(*args, **options)
        if not tasks:
            body = {"assistant_id": "g", "command": {"resume": 1}}
            assert (await plane.post(f"/threads/{SOURCE}/runs", body)).status == 200
            tasks.append(await hand.task())
        return batch

    monkeypatch.setattr(erasure, "_prune_batch", prune_and_start)
    assert await prune(plane, SOURCE, strategy="keep_latest") == 1
    (task,) = tasks
    assert task.snapshot.values["log"] == b"[0,1,2]"
    await hand.finish(task, checkpoints=[grown(history[2], 3)])
    values = (await plane.get(f"/threads/{SOURCE}/state")).json["values"]
    assert values["log"] == [0, 1, 2, 3]
    assert await prune(plane, SOURCE, strategy="keep_latest") == 1
    assert [each["values"]["log"] for each in await states(plane, SOURCE)] == [[0, 1, 2, 3]]


async def test_a_busy_thread_keeps_its_history_but_may_be_deleted(plane, hand, history):
    body = {"assistant_id": "g", "command": {"resume": 1}}
    await plane.post(f"/threads/{SOURCE}/runs", body)
    task = await hand.task()
    assert await prune(plane, SOURCE, strategy="keep_latest") == 0
    assert len(await states(plane, SOURCE)) == 4
    assert await prune(plane, SOURCE, strategy="delete") == 1
    polled = await hand.poll()
    assert [(c.run_id, c.action) for c in polled.control] == [(task.run_id, "cancel")]


async def test_a_long_history_goes_in_batches(plane, hand, history, database_url, monkeypatch):
    for name in ("DELETE", "SHED"):
        cut = re.sub(r"(offset|limit) (200|500|50)\)", r"\1 1)", getattr(erasure, name))
        monkeypatch.setattr(erasure, name, cut)
    assert (await plane.delete(f"/threads/{SOURCE}")).status == 204
    assert set((await rows(database_url, SOURCE)).values()) == {0}
    assert (await plane.post("/threads", {"thread_id": SOURCE})).status == 200
    assert await states(plane, SOURCE) == []
