"""States over HTTP, of what a worker moved by hand recorded; updates by a hidden run."""

import asyncio

import attrs
import msgspec

from duragraph import ids
from duragraph.protocol import (
    PENDING_TASK,
    RUN_TASK,
    ChannelWrite,
    Checkpoint,
    Frame,
    Outcome,
    Write,
)

UNKNOWN = "11111111-1111-1111-1111-111111111111"
AT = "2026-11-20T08:00:00.000001+00:00"


def checkpoint(
    parent=None, *, ns="", root=None, step=0, next=(), tasks=(), versions=(), **channels
):
    """A checkpoint that writes `channels` and keeps the `versions` of others."""
    own = ids.checkpoint_id(parent)
    return Checkpoint(
        checkpoint_id=own,
        parent_id=parent,
        ns=ns,
        source="loop",
        step=step,
        created_at=AT,
        next=list(next),
        channels=[ChannelWrite(name, msgspec.json.encode(v)) for name, v in channels.items()],
        versions=dict(versions) | dict.fromkeys(channels, own),
        tasks=msgspec.json.encode(list(tasks)),
        metadata=msgspec.json.encode({"source": "loop", "step": step}),
        root_id=root,
    )


def task_of(name, id, **more):
    return {"id": id, "name": name, "path": ["__pregel_pull", name], **more}


async def start(plane, hand, thread_id=UNKNOWN):
    """A run on a new thread, in the hand of its worker."""
    body = {"assistant_id": "g", "input": {}, "if_not_exists": "create"}
    assert (await plane.post(f"/threads/{thread_id}/runs", body)).status == 200
    return await hand.task()


async def state(plane, query="", thread_id=UNKNOWN):
    answer = await plane.get(f"/threads/{thread_id}/state{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def history(plane, **body):
    answer = await plane.post(f"/threads/{UNKNOWN}/history", {"limit": 10} | body)
    assert answer.status == 200, answer.body
    return [s["checkpoint_id"] for s in answer.json]


async def test_a_fresh_thread_has_an_empty_state(plane):
    await plane.post("/threads", {"thread_id": UNKNOWN})
    empty = {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": None,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": None,
        "parent_checkpoint_id": None,
    }
    assert await state(plane) == empty
    assert await history(plane) == []
    at = ids.checkpoint_id()
    assert await state(plane, f"/{at}") == empty | {
        "checkpoint": {"thread_id": UNKNOWN, "checkpoint_id": at},
        "checkpoint_id": at,
    }


async def test_a_missing_thread_has_none(plane):
    for answer in (
        await plane.get(f"/threads/{UNKNOWN}/state"),
        await plane.get(f"/threads/{UNKNOWN}/history"),
        await plane.post(f"/threads/{UNKNOWN}/state", {"values": {}}),
    ):
        assert (answer.status, answer.json["detail"]) == (
            404,
            f"Thread with ID {UNKNOWN} not found",
        )


async def test_a_state_joins_the_checkpoint_and_what_its_tasks_left(plane, hand):
    task = await start(plane, hand)
    first = checkpoint(a=1, step=-1)
    planned = [task_of("ask", "t1"), task_of("fail", "t2"), task_of("done", "t3")]
    second = checkpoint(
        first.checkpoint_id,
        next=["ask", "fail", "done"],
        tasks=planned,
        versions=first.versions,
        b="x",
    )
    interrupt = {"id": "i1", "value": "sure?"}
    at = second.checkpoint_id
    await hand.finish(
        task,
        checkpoints=[first, second],
        writes=[
            Write(at, "", "t1", interrupts=msgspec.json.encode([interrupt])),
            Write(at, "", "t2", error="ValueError('boom')"),
            Write(at, "", "t3", result=b'{"big": 1e400}'),
        ],
    )
    answer = await plane.get(f"/threads/{UNKNOWN}/state")
    assert b'"result":{"big": 1e400}' in answer.body, "payloads must pass untouched"
    blank = {"error": None, "interrupts": [], "checkpoint": None, "state": None, "result": None}
    answer_json = msgspec.json.decode(answer.body.replace(b"1e400", b"2"))
    address = {"thread_id": UNKNOWN, "checkpoint_ns": ""}
    assert answer_json == {
        "values": {"a": 1, "b": "x"},
        "next": ["ask", "fail"],
        "tasks": [
            planned[0] | blank | {"interrupts": [interrupt]},
            planned[1] | blank | {"error": "ValueError('boom')"},
            planned[2] | blank | {"result": {"big": 2}},
        ],
        "metadata": {"source": "loop", "step": 0},
        "created_at": AT,
        "checkpoint": address | {"checkpoint_id": at},
        "parent_checkpoint": address | {"checkpoint_id": first.checkpoint_id},
        "interrupts": [interrupt],
        "checkpoint_id": at,
        "parent_checkpoint_id": first.checkpoint_id,
    }
    older = await state(plane, f"/{first.checkpoint_id}")
    assert (older["values"], older["parent_checkpoint"]) == ({"a": 1}, None)


async def test_a_subgraph_is_pointed_at_or_shown(plane, hand):
    task = await start(plane, hand)
    ns = "sub:t1"
    root = checkpoint(next=["sub"], tasks=[task_of("sub", "t1", ns=ns)], a=1)
    under = {"ns": ns, "root": root.checkpoint_id}
    first = checkpoint(**under, b=0)
    second = checkpoint(
        first.checkpoint_id, **under, next=["inner"], tasks=[task_of("inner", "t2")], b=2
    )
    await hand.finish(task, checkpoints=[root, first, second])

    (pointing,) = (await state(plane))["tasks"]
    assert pointing["checkpoint"] == {"thread_id": UNKNOWN, "checkpoint_ns": ns}
    assert pointing["state"] is None
    (showing,) = (await state(plane, "?subgraphs=true"))["tasks"]
    assert showing["checkpoint"] is None
    inner = showing["state"]
    assert (inner["values"], inner["next"]) == ({"b": 2}, ["inner"])
    assert inner["checkpoint"] == {
        "thread_id": UNKNOWN,
        "checkpoint_id": second.checkpoint_id,
        "checkpoint_ns": ns,
        "checkpoint_map": {"": root.checkpoint_id, ns: second.checkpoint_id},
    }
    for at in (inner["checkpoint"], {"checkpoint_ns": ns}):
        answer = await plane.post(f"/threads/{UNKNOWN}/state/checkpoint", {"checkpoint": at})
        assert answer.json == inner
    found = await history(plane, checkpoint={"checkpoint_ns": ns})
    assert found == [second.checkpoint_id, first.checkpoint_id]


async def test_history_is_newest_first_and_strictly_before(plane, hand):
    task = await start(plane, hand)
    one = checkpoint(step=-1, a=1)
    two = checkpoint(one.checkpoint_id, step=0, a=2)
    three = checkpoint(two.checkpoint_id, step=1, a=3)
    await hand.finish(task, checkpoints=[one, two, three])
    third, second, first = all_three = [c.checkpoint_id for c in (three, two, one)]
    assert await history(plane) == all_three
    assert await history(plane, limit=1) == [third]
    assert await history(plane, before=third) == [second, first]
    assert await history(plane, before={"checkpoint_id": second}) == [first]
    assert await history(plane, metadata={"step": 0}) == [second]
    assert await history(plane, checkpoint={"checkpoint_id": second}) == [second]
    by_get = (await plane.get(f"/threads/{UNKNOWN}/history?limit=2&before={third}")).json
    assert [s["checkpoint_id"] for s in by_get] == [second, first]
    assert len((await plane.get(f"/threads/{UNKNOWN}/history")).json) == 1


async def test_threads_are_found_by_their_current_values(plane, hand):
    task = await start(plane, hand)
    one = checkpoint(a={"deep": [1, 2]}, b=1)
    await hand.finish(
        task, checkpoints=[one, checkpoint(one.checkpoint_id, versions=one.versions, b=2)]
    )
    await plane.post("/threads", {})

    async def found(values):
        return (await plane.post("/threads/count", {"values": values})).json

    assert await found({"a": {"deep": [2]}, "b": 2}) == 1
    assert await found({"b": 1}) == 0
    assert await found({}) == 1
    answer = await plane.post("/threads/search", {"values": {"b": 2}})
    assert answer.json[0]["values"] == {"a": {"deep": [1, 2]}, "b": 2}


async def test_an_update_is_applied_by_a_worker(plane, hand):
    task = await start(plane, hand)
    before = checkpoint(a=1)
    await hand.finish(task, checkpoints=[before])
    body = {"values": {"a": 2}, "as_node": "n"}
    update = asyncio.ensure_future(plane.post(f"/threads/{UNKNOWN}/state", body))
    task = await hand.task()
    assert task.kind == "update_state"
    assert task.snapshot.checkpoint_id == before.checkpoint_id
    asked = msgspec.json.decode(task.kwargs)
    assert (asked["values"], asked["as_node"]) == ({"a": 2}, "n")
    after = checkpoint(before.checkpoint_id, a=2)
    await hand.finish(task, checkpoints=[after])
    answer = await update
    address = {
        "thread_id": UNKNOWN,
        "checkpoint_ns": "",
        "checkpoint_id": after.checkpoint_id,
    }
    assert (answer.status, answer.json) == (
        200,
        {
            "checkpoint": address,
            "configurable": address,
            "checkpoint_id": after.checkpoint_id,
        },
    )
    assert (await state(plane))["values"] == {"a": 2}
    assert len((await plane.get(f"/threads/{UNKNOWN}/runs")).json) == 1


async def test_what_the_worker_says_against_an_update_is_a_400(plane, hand):
    await hand.finish(await start(plane, hand))
    body = {"values": {}, "as_node": "nope"}
    update = asyncio.ensure_future(plane.post(f"/threads/{UNKNOWN}/state", body))
    error = b'{"error":"InvalidUpdateError","message":"Node nope does not exist"}'
    await hand.report(await hand.task(), outcome=Outcome("error", error=error))
    answer = await update
    assert (answer.status, answer.json["detail"]) == (400, "Node nope does not exist")
    assert (await plane.get(f"/threads/{UNKNOWN}")).json["status"] == "idle"


async def test_a_busy_thread_is_not_updated(plane, hand):
    await start(plane, hand)
    answer = await plane.post(f"/threads/{UNKNOWN}/state", {"values": {}})
    assert answer.status == 409


async def test_a_thread_without_a_graph_is_not_updated(plane):
    await plane.post("/threads", {"thread_id": UNKNOWN})
    answer = await plane.post(f"/threads/{UNKNOWN}/state", {"values": {}})
    assert answer.status == 400
    assert "has no assigned graph ID" in answer.json["detail"]


async def test_without_a_worker_an_update_is_taken_back(plane, hand, monkeypatch):
    monkeypatch.setattr("duragraph.api.updates.PATIENCE_SECONDS", 0.2)
    await hand.finish(await start(plane, hand))
    await plane.post(f"/workers/{hand.worker_id}/drain")
    answer = await plane.post(f"/threads/{UNKNOWN}/state", {"values": {"a": 1}})
    assert answer.status == 503
    assert answer.json["hint"] == "Start a worker that serves graph 'g'."
    thread = (await plane.get(f"/threads/{UNKNOWN}")).json
    assert (thread["status"], thread["values"]) == ("idle", None)


async def test_finished_siblings_show_at_the_head_and_nowhere_else(plane, hand):
    task = await start(plane, hand)
    planned = [task_of("asks", "t1"), task_of("done", "t2")]
    head = checkpoint(next=["asks", "done"], tasks=planned, log=["a"], other=1)
    at = head.checkpoint_id
    await hand.finish(
        task,
        checkpoints=[head],
        writes=[
            Write(at, "", "t1", interrupts=b'[{"id":"i","value":"?"}]'),
            Write(at, "", "t2", result=b'{"log":["b"]}'),
            Write(at, "", RUN_TASK, result=b'{"log":["a"],"other":2}'),
            Write(at, "", PENDING_TASK, result=b'{"log":["a","b"]}'),
        ],
    )
    live = await state(plane)
    assert (live["values"], live["next"]) == ({"log": ["a", "b"], "other": 2}, ["asks"])
    assert [each["name"] for each in live["tasks"]] == ["asks", "done"]
    past = await state(plane, f"/{at}")
    assert (past["values"], past["next"]) == ({"log": ["a"], "other": 2}, ["asks", "done"])
    (listed,) = (await plane.post(f"/threads/{UNKNOWN}/history", {})).json
    assert listed == past
    assert (await plane.get(f"/threads/{UNKNOWN}")).json["values"] == past["values"]


async def test_fields_and_values_are_selected(plane, hand):
    task = await start(plane, hand)
    head = checkpoint(a=1, b={"deep": [2]}, c=3)
    at = head.checkpoint_id
    await hand.finish(
        task, checkpoints=[head], writes=[Write(at, "", RUN_TASK, result=b'{"c":4,"a":5}')]
    )
    some = {"values": {"b": {"deep": [2]}, "c": 4}, "next": []}
    names = ["next", "values.b", "values.c", "values.nope", "nope"]
    query = "&".join(f"select={name}" for name in names)
    assert await state(plane, f"?{query}") == some
    assert await state(plane, f"?select={','.join(names)}") == some
    assert await state(plane, f"/{at}?{query}") == some
    body = {"checkpoint": {"checkpoint_id": at}, "select": names}
    assert (await plane.post(f"/threads/{UNKNOWN}/state/checkpoint", body)).json == some
    assert (await plane.post(f"/threads/{UNKNOWN}/history", {"select": names})).json == [some]
    assert (await plane.get(f"/threads/{UNKNOWN}/history?{query}")).json == [some]
    whole = await state(plane, "?select=values&select=values.b")
    assert whole == {"values": {"a": 5, "b": {"deep": [2]}, "c": 4}}
    assert await state(plane, "?select=nope") == await state(plane)


async def test_a_checkpoint_of_a_subgraph_is_found_under_its_namespace_alone(plane, hand):
    task = await start(plane, hand)
    root = checkpoint(next=["sub"], tasks=[task_of("sub", "t1", ns="sub:t1")], a=1)
    middle = checkpoint(
        ns="sub:t1", root=root.checkpoint_id, tasks=[task_of("in", "t2", ns="sub:t1|in:t2")], b=1
    )
    parents = {"": root.checkpoint_id, "sub:t1": middle.checkpoint_id}
    inner = attrs.evolve(
        checkpoint(ns="sub:t1|in:t2", root=root.checkpoint_id, c=1),
        metadata=msgspec.json.encode({"parents": parents}),
    )
    await hand.finish(task, checkpoints=[root, middle, inner])
    assert (await state(plane, f"/{inner.checkpoint_id}"))["values"] == {}
    (shown,) = (await state(plane, "?subgraphs=true"))["tasks"]
    (below,) = shown["state"]["tasks"]
    assert below["state"]["values"] == {"c": 1}
    assert below["state"]["checkpoint"]["checkpoint_map"] == parents | {
        "sub:t1|in:t2": inner.checkpoint_id
    }
    at = {"checkpoint": {"checkpoint_ns": "sub:t1"}, "subgraphs": True}
    answer = await plane.post(f"/threads/{UNKNOWN}/state/checkpoint", at)
    assert answer.json == shown["state"]


async def test_waiting_loses_no_interrupt(plane, hand):
    body = {"assistant_id": "g", "input": {}, "if_not_exists": "create"}
    waiting = asyncio.ensure_future(plane.post(f"/threads/{UNKNOWN}/runs/wait", body))
    task = await hand.task()
    frames = [
        b'{"log":[],"of":{"__interrupt__":[1]}}',
        b'{"log":[],"__interrupt__":[{"value":1,"id":"a"}]}',
        b'{"log":[],"__interrupt__":[{"value":2,"id":"b"}]}',
        b'{"log":["half done"]}',
    ]
    await hand.finish(task, frames=[Frame("values", data) for data in frames])
    asked = [{"value": 1, "id": "a"}, {"value": 2, "id": "b"}]
    assert (await waiting).json == {"log": [], "__interrupt__": asked}


async def test_a_users_own_interrupt_key_is_left_alone(plane, hand):
    body = {"assistant_id": "g", "input": {}, "if_not_exists": "create"}
    waiting = asyncio.ensure_future(plane.post(f"/threads/{UNKNOWN}/runs/wait", body))
    frame = Frame("values", b'{"of":{"__interrupt__":[1]}}')
    await hand.finish(await hand.task(), frames=[frame])
    assert (await waiting).json == {"of": {"__interrupt__": [1]}}


async def test_a_run_from_a_subgraphs_checkpoint_begins_at_the_roots(plane, hand):
    task = await start(plane, hand)
    root = checkpoint(next=["sub"], a=1)
    below = checkpoint(ns="sub:t1", root=root.checkpoint_id, b=1)
    await hand.finish(task, checkpoints=[root, below])
    at = {
        "checkpoint_id": below.checkpoint_id,
        "checkpoint_ns": "sub:t1",
        "checkpoint_map": {"": root.checkpoint_id, "sub:t1": below.checkpoint_id},
    }
    run = {"assistant_id": "g", "checkpoint": at}
    assert (await plane.post(f"/threads/{UNKNOWN}/runs", run)).status == 200
    assert (await hand.task()).snapshot.checkpoint_id == root.checkpoint_id
