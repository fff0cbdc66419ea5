"""What a worker's registration says of a graph beside its schemas, and what becomes of it."""

import asyncio

import msgspec
import pytest

from duragraph.headers import selected
from duragraph.ids import system_assistant_id
from duragraph.protocol import GraphSpec, HeaderPatterns

CONFIG = b'{"configurable":{"model":"small"},"recursion_limit":7}'


async def told(plane, hand, headers):
    """The `config.configurable` of a run that a request with these headers makes."""
    made = await plane.post("/runs", {"assistant_id": "g", "input": {}}, headers=headers)
    assert made.status == 200, made.body
    task = await hand.task()
    await hand.finish(task)
    return msgspec.json.decode(task.kwargs)["config"]["configurable"]


async def test_a_run_is_told_the_headers_that_its_graph_asks_for(plane):
    patterns = HeaderPatterns(("x-user-*", "authorization", "*_id"), ("*-secret",))
    hand = await plane.worker(GraphSpec("g", "1", headers=patterns))
    sent = {
        "X-User-Id": "you",
        "x-user-secret": "s",
        "x-other": "o",
        "authorization": "me",
        "thread_id": "t",
    }
    found = await told(plane, hand, sent)
    assert "x-user-id" in found
    assert found.keys().isdisjoint({"x-user-secret", "x-other", "authorization", "thread_id"})


async def test_a_header_wins_over_what_the_client_says_is_one(plane):
    hand = await plane.worker(GraphSpec("g", "1", headers=HeaderPatterns(("x-*",))))
    body = {"assistant_id": "g", "input": {}, "config": {"configurable": {"x-user": "forged"}}}
    await plane.post("/runs", body, headers={"x-user": "true"})
    task = await hand.task()
    assert msgspec.json.decode(task.kwargs)["config"]["configurable"]["x-user"] == "true"


async def test_patterns_that_change_hold_for_the_next_run(plane):
    hand = await plane.worker(GraphSpec("g", "1"))
    assert "x-user" not in await told(plane, hand, {"x-user": "a"})
    changed = await plane.worker(GraphSpec("g", "1", headers=HeaderPatterns(("x-user",))))
    made = await plane.post("/runs", {"assistant_id": "g", "input": {}}, headers={"x-user": "a"})
    assert made.json["kwargs"]["config"]["configurable"]["x-user"] == "a"
    assert changed.worker_id != hand.worker_id


def test_bytes_that_are_no_utf8_are_read_as_latin_1():
    sent = {"x-name": b"caf\xe9".decode("utf-8", "surrogateescape")}
    assert selected(sent, HeaderPatterns(("*",))) == {"x-name": "café"}


async def assistant(plane):
    return (await plane.get(f"/assistants/{system_assistant_id('g')}")).json


async def test_a_graphs_own_assistant_is_as_its_project_says(plane):
    await plane.worker(GraphSpec("g", "1", description="does it", name="Doer", config=CONFIG))
    made = await assistant(plane)
    assert (made["name"], made["description"]) == ("Doer", "does it")
    assert made["config"] == msgspec.json.decode(CONFIG)
    assert made["context"] == {"model": "small"}


async def test_it_follows_its_project_until_a_client_has_changed_it(plane):
    path = f"/assistants/{system_assistant_id('g')}"
    await plane.worker(GraphSpec("g", "1"))
    hand = await plane.worker(GraphSpec("g", "1", config=CONFIG))
    assert (await assistant(plane))["config"] == msgspec.json.decode(CONFIG)
    assert (await told(plane, hand, {}))["model"] == "small"
    await plane.patch(path, {"name": "mine"})
    await plane.worker(GraphSpec("g", "1", name="theirs"))
    assert (await assistant(plane))["name"] == "mine"
    versions = (await plane.post(f"{path}/versions", {})).json
    assert [each["version"] for each in versions] == [2, 1]


async def test_registering_at_once_is_no_conflict(plane):
    specs = [GraphSpec("g", "1", name=f"{at}") for at in range(8)]
    await asyncio.gather(*(plane.worker(spec) for spec in specs))
    assert (await assistant(plane))["name"] in {spec.name for spec in specs}


@pytest.mark.parametrize(
    "more",
    [
        {"config": b"{"},
        {"config": b"[]"},
        {"context": b"null"},
        {"config": b'{"configurable":5}'},
        {"config": b'{"configurable":{"a":1}}', "context": b'{"b":1}'},
    ],
)
async def test_what_no_assistant_can_start_with_is_refused(plane, more):
    with pytest.raises(AssertionError, match=r"Invalid|Cannot|Expected|invalid"):
        await plane.worker(GraphSpec("g", "1", **more))
