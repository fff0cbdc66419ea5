"""What workers read and do under a lease: a thread's checkpoints, erasures, copies."""

import msgspec
import pytest

from duragraph import ids, protocol
from duragraph.protocol import (
    ChannelWrite,
    Checkpoint,
    CheckpointQuery,
    CopyThread,
    EraseRuns,
    Frame,
    Scheduled,
    Snapshot,
)

FIRST, SECOND, THIRD, BELOW = (f"00000000-0000-7000-8000-00000000000{n}" for n in range(1, 5))


def checkpoint(at, parent=None, *, channels=(), versions=None, **fields):
    known = {"ns": "", "source": "loop", "step": 0, "created_at": "2026-01-02T03:04:05+00:00"}
    written = {channel.channel: at for channel in channels}
    return Checkpoint(
        at,
        parent,
        next=[],
        channels=list(channels),
        versions={**(versions or {}), **written},
        **{**known, **fields},
    )


@pytest.fixture
async def task(plane, hand):
    await plane.start_run(ids.new_id())
    return await hand.task()


@pytest.fixture
def ask(plane, hand, task):
    """Send a worker's message; its answer, or the status of its refusal."""

    async def send(path, message, type=None):
        url = f"/api/v1/workers/{hand.worker_id}/{path}"
        answer = await plane.call("POST", url, data=protocol.pack(message))
        if answer.status != 200:
            return answer.status
        return protocol.unpack(answer.body, type) if type else None

    return send


@pytest.fixture
def query(ask, task):
    async def found(**fields):
        return await ask(
            "checkpoints", CheckpointQuery(task.run_id, task.epoch, **fields), list[Snapshot]
        )

    return found


def appended(at, *elements, base=None, depth=0):
    value = b"[" + b",".join(elements) + b"]"
    return ChannelWrite("log", value, base_id=base, depth=depth, codec=at[-1:].encode())


HISTORY = [
    checkpoint(
        FIRST, channels=[appended(FIRST, b"1")], metadata=b'{"source":"input","run_id":"r1"}'
    ),
    checkpoint(
        SECOND,
        FIRST,
        channels=[appended(SECOND, b"2", base=FIRST, depth=1), ChannelWrite("n", b"2")],
        metadata=b'{"source":"loop","run_id":"r2"}',
        opaque=b"\0kept",
    ),
    checkpoint(BELOW, ns="sub", root_id=SECOND, channels=[ChannelWrite("m", b"1")]),
    checkpoint(
        THIRD,
        SECOND,
        channels=[],
        versions={"log": SECOND, "n": SECOND},
        metadata=b'{"run_id":"r3"}',
    ),
]


async def test_a_run_reads_its_threads_checkpoints_whole(hand, task, query):
    assert await query() == []
    await hand.report(task, checkpoints=HISTORY)
    (head,) = await query()
    assert (head.checkpoint_id, head.parent_id) == (THIRD, SECOND)
    assert head.values == {"log": b"[1,2]", "n": b"2"}
    assert (head.codecs, head.depths) == ({"log": [b"1", b"2"]}, {"log": 1})
    (second,) = await query(checkpoint_id=SECOND)
    assert (second.opaque, second.children) == (b"\0kept", [])


async def test_checkpoints_are_found_by_graph_age_and_metadata(hand, task, query):
    await hand.report(task, checkpoints=HISTORY)

    async def listed(**fields):
        return [each.checkpoint_id for each in await query(**fields)]

    assert await listed(limit=9) == [THIRD, SECOND, FIRST]
    assert await listed(limit=9, ns=None) == [BELOW, THIRD, SECOND, FIRST]
    assert await listed(ns="sub") == [BELOW]
    assert await listed(before=THIRD) == [SECOND]
    assert await listed(before=THIRD, limit=9) == [SECOND, FIRST]
    assert await listed(limit=9, metadata=b'{"source":"input"}') == [FIRST]
    assert await listed(checkpoint_id=BELOW) == []


async def test_without_the_lease_there_is_no_answer(plane, hand, task, ask):
    await hand.report(task, checkpoints=HISTORY)
    other = await plane.worker("g")
    stale = CheckpointQuery(task.run_id, task.epoch - 1)
    assert await ask("checkpoints", stale) == 409
    assert await ask("erasures", EraseRuns(task.run_id, task.epoch - 1, ["r1"])) == 409
    copy = CopyThread(task.run_id, task.epoch - 1, task.thread_id, ids.new_id())
    assert await ask("copies", copy) == 409
    foreign = f"/api/v1/workers/{other.worker_id}/checkpoints"
    held = protocol.pack(CheckpointQuery(task.run_id, task.epoch))
    assert (await plane.call("POST", foreign, data=held)).status == 409
    await hand.finish(task, batch=2)
    assert await ask("checkpoints", CheckpointQuery(task.run_id, task.epoch)) == 409
    assert len((await plane.post(f"/threads/{task.thread_id}/history", {"limit": 9})).json) == 3


async def test_what_is_no_id_is_refused(ask, task):
    assert await ask("checkpoints", CheckpointQuery("run", 1)) == 422
    assert await ask("checkpoints", CheckpointQuery(task.run_id, 1, before="then")) == 422
    assert await ask("copies", CopyThread(task.run_id, task.epoch, "a", "b")) == 422


async def test_what_follows_a_checkpoint_may_come_after_it(plane, hand, task):
    await hand.report(task, checkpoints=HISTORY[:1])
    state = (await plane.get(f"/threads/{task.thread_id}/state")).json
    assert (state["next"], state["values"]) == ([], {"log": [1]})
    listed = b'[{"id":"t1","name":"node","path":["__pregel_pull","node"]}]'
    late = Scheduled(FIRST, ["node"], listed, [ChannelWrite("m", b"7")])
    await hand.report(task, batch=2, scheduled=[late])
    state = (await plane.get(f"/threads/{task.thread_id}/state")).json
    assert (state["next"], state["values"]) == (["node"], {"log": [1], "m": 7})
    assert [each["name"] for each in state["tasks"]] == ["node"]


@pytest.mark.parametrize("value", [b"[1,2]", b'"text"', b"null", b'{"a":1}'])
async def test_a_state_that_is_no_object_is_shown_alone(plane, hand, task, value):
    state = checkpoint(FIRST, channels=[ChannelWrite("__root__", value)])
    await hand.finish(task, checkpoints=[state], frames=[Frame("values", value, FIRST)])
    thread, shown = f"/threads/{task.thread_id}", msgspec.json.decode(value)
    assert (await plane.get(f"{thread}/state")).json["values"] == shown
    assert (await plane.get(thread)).json["values"] == shown
    assert [s["values"] for s in (await plane.post(f"{thread}/history", {})).json] == [shown]
    assert (await plane.get(f"{thread}/runs/{task.run_id}/join")).json == shown
    replayed = await plane.get(
        f"{thread}/runs/{task.run_id}/stream", headers={"last-event-id": "-1"}
    )
    assert b"data: " + value in replayed.body


async def test_erased_runs_leave_the_thread_at_what_is_left(hand, task, ask, query, owner):
    await hand.report(task, checkpoints=HISTORY)
    await ask("erasures", EraseRuns(task.run_id, task.epoch, ["r3", "r2"]))
    assert [each.checkpoint_id for each in await query(limit=9)] == [FIRST]
    assert (await query())[0].values == {"log": b"[1]"}
    parts = await owner.fetch("select version::text, channel from channel_value")
    assert {tuple(part) for part in parts} == {(FIRST, "log"), (BELOW, "m")}


async def test_a_copy_has_the_id_that_it_is_given(plane, hand, task, ask):
    await hand.report(task, checkpoints=HISTORY)
    target = ids.new_id()
    copy = CopyThread(task.run_id, task.epoch, task.thread_id, target)
    await ask("copies", copy)
    states = [(await plane.get(f"/threads/{t}/state")).json for t in (task.thread_id, target)]
    assert states[0]["values"] == states[1]["values"] == {"log": [1, 2], "n": 2}
    assert await ask("copies", copy) == 409
    missing = CopyThread(task.run_id, task.epoch, ids.new_id(), ids.new_id())
    assert await ask("copies", missing) == 404


async def test_what_a_subgraph_remembers_from_call_to_call_outlives_a_cut(plane, hand, task, owner):
    """One whose namespace names no task, though its newest checkpoint is under an older one."""
    of_a_task = checkpoint(ids.new_id(), ns="sub:task", root_id=SECOND)
    await hand.finish(task, checkpoints=[of_a_task, *HISTORY])
    body = {"thread_ids": [task.thread_id], "strategy": "keep_latest"}
    assert (await plane.post("/threads/prune", body)).json == {"pruned_count": 1}
    left = await owner.fetch("select checkpoint_id::text from checkpoint order by 1")
    assert [each[0] for each in left] == [THIRD, BELOW]
