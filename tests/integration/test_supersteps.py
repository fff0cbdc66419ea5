"""Threads made with a history: the plane's half, before a worker moved by hand."""

import asyncio

import msgspec
import pytest

from duragraph.protocol import Outcome
from tests.integration.test_states import checkpoint

INPUT = {"updates": [{"as_node": "__input__", "values": {"a": 1}}]}
SECOND = {
    "updates": [
        {"as_node": "x", "values": None, "command": {"goto": "z", "update": {"b": 2}}},
        {"as_node": "y", "values": {"c": [3]}},
    ]
}
BODY = {"metadata": {"graph_id": "g"}, "supersteps": [INPUT, SECOND]}


def create(plane, body=BODY, **options):
    return asyncio.ensure_future(plane.post("/threads", body, **options))


async def test_a_worker_makes_a_checkpoint_of_each(plane, hand):
    creating = create(plane)
    task = await hand.task()
    assert task.kind == "update_state"
    asked = msgspec.json.decode(task.kwargs)["supersteps"]
    assert [len(updates) for updates in asked] == [1, 2]
    assert asked[0][0] == {"as_node": "__input__", "values": {"a": 1}, "command": None}
    assert asked[1][0]["command"] == {"goto": "z", "update": {"b": 2}}
    first = checkpoint(a=1)
    second = checkpoint(first.checkpoint_id, next=["z"], versions=first.versions, b=2)
    await hand.report(
        task, checkpoints=[first, second], outcome=Outcome("success", interrupted=True)
    )
    answer = await creating
    assert answer.status == 200
    assert (answer.json["status"], answer.json["values"]) == ("interrupted", {"a": 1, "b": 2})
    history = await plane.post(f"/threads/{answer.json['thread_id']}/history", {"limit": 9})
    assert len(history.json) == 2
    assert (await plane.get(f"/threads/{answer.json['thread_id']}/runs")).json == []


async def test_what_a_node_could_not_have_written_is_refused_and_what_was_before_is_kept(
    plane, hand
):
    chosen = "11111111-1111-1111-1111-111111111111"
    creating = create(plane, BODY | {"thread_id": chosen})
    error = b'{"error":"InvalidUpdateError","message":"Node x does not exist"}'
    first = checkpoint(a=1)
    await hand.report(await hand.task(), checkpoints=[first], outcome=Outcome("error", error=error))
    answer = await creating
    assert (answer.status, answer.json["detail"]) == (400, "Node x does not exist")
    kept = (await plane.get(f"/threads/{chosen}")).json
    assert (kept["values"], kept["error"]) == ({"a": 1}, None)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "has no assigned graph ID"),
        ({"graph_id": "nope"}, "Invalid assistant: 'nope'"),
    ],
)
async def test_a_thread_without_a_graph_is_made_without_a_state(plane, metadata, problem):
    answer = await create(plane, BODY | {"metadata": metadata})
    assert answer.status == 201
    made, _, rest = answer.json["detail"].removeprefix("Thread ").partition(" was created, but ")
    assert rest.startswith("there were problems updating the state: ")
    assert problem in rest
    assert (await plane.get(f"/threads/{made}")).json["values"] is None


async def test_without_a_worker_the_thread_is_made_all_the_same(plane, hand, monkeypatch):
    monkeypatch.setattr("duragraph.api.updates.PATIENCE_SECONDS", 0.2)
    await plane.post(f"/workers/{hand.worker_id}/drain")
    answer = await create(plane)
    assert answer.status == 201
    assert "No worker applied the update" in answer.json["detail"]


async def test_a_request_sent_again_makes_its_supersteps_once(plane, hand):
    key = {"headers": {"Idempotency-Key": "once"}}
    creating = create(plane, **key)
    await hand.finish(await hand.task(), checkpoints=[checkpoint(a=1)])
    answer = await creating
    again = await create(plane, **key)
    assert (again.status, again.json) == (200, answer.json)


@pytest.mark.parametrize(
    "supersteps",
    [None, {}, [{}], [{"updates": [{"values": {}}]}], [{"updates": [{"as_node": None}]}]],
)
async def test_other_shapes_are_refused(plane, supersteps):
    answer = await create(plane, BODY | {"supersteps": supersteps})
    assert (answer.status, answer.json["code"]) == (422, "invalid")
