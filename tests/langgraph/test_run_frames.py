"""Parts of a LangGraph stream as frames, for each stream mode."""

import asyncio

import msgspec
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.func import entrypoint, task
from langgraph.graph import add_messages

from duragraph_worker.langgraph.frames import Frames
from duragraph_worker.langgraph.serialize import dump

METADATA = {"langgraph_node": "model"}


def shown(modes, *parts, subgraphs=False):
    frames = Frames(frozenset(modes), subgraphs, lambda _ns, chunk: (dump(chunk), "at"))
    return [
        (frame.event, msgspec.json.decode(frame.data), frame.checkpoint_id)
        for part in parts
        for frame in frames.of(*part)
    ]


def chunk(text, **fields):
    return AIMessageChunk(text, id="m", **fields)


def test_values_of_the_root_are_known_by_their_checkpoint():
    part = (), "values", {"n": 1}
    below = ("sub:1",), "values", {"n": 1}
    assert shown({"values"}, part, below) == [("values", {"n": 1}, "at")]
    assert shown({"values"}, below, subgraphs=True) == [("values|sub:1", {"n": 1}, None)]


def test_streamed_messages_grow_and_others_are_complete():
    parts = [((), "messages", (each, METADATA)) for each in (chunk("a"), chunk("b"))]
    whole = (), "messages", (AIMessage("all", id="w"), METADATA)
    frames = shown({"messages"}, *parts, whole)
    assert [event for event, *_ in frames] == [
        "messages/metadata",
        "messages/partial",
        "messages/partial",
        "messages/metadata",
        "messages/complete",
    ]
    assert frames[0][1] == {"m": {"metadata": METADATA}}
    assert [(m["type"], m["content"]) for _, (m,), _ in frames[1:3]] == [("ai", "a"), ("ai", "ab")]


def test_tuples_win_and_carry_their_namespace():
    part = ("sub:1",), "messages", (chunk("a"), METADATA)
    ((event, (message, metadata), _),) = shown({"messages", "messages-tuple"}, part, subgraphs=True)
    assert event == "messages|sub:1"
    assert (message["type"], message["content"], metadata) == ("AIMessageChunk", "a", METADATA)


def test_messages_of_a_graph_elsewhere_come_as_json():
    streamed = chunk("a").model_dump()
    part = (), "messages", (streamed, METADATA)
    told = (), "messages", ({"type": "human", "content": "hi", "id": "h"}, METADATA)
    _, (_, (partial,), _), _, (event, (whole,), _) = shown({"messages"}, part, told)
    assert (partial["type"], partial["content"]) == ("ai", "a")
    assert (event, whole["content"]) == ("messages/complete", "hi")


def test_checkpoints_are_pointed_to_where_people_look_for_bugs():
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c", "x": 1}}
    below = {"configurable": {"thread_id": "t", "checkpoint_ns": "sub:1"}}
    task = {"id": "1", "name": "sub", "interrupts": (), "state": below}
    payload = {"config": config, "parent_config": None, "values": {}, "tasks": [task]}
    part = (), "debug", {"type": "checkpoint", "step": -1, "payload": payload}
    ((_, frame, _),) = shown({"debug"}, part)
    pointer = {"checkpoint_id": "c", "thread_id": "t", "checkpoint_ns": ""}
    assert frame["payload"]["checkpoint"] == pointer
    assert frame["payload"]["parent_checkpoint"] is None
    assert frame["payload"]["tasks"][0]["checkpoint"] == below["configurable"]
    assert "state" not in frame["payload"]["tasks"][0]


def test_nobody_is_shown_what_they_did_not_ask_for():
    assert not shown({"updates"}, ((), "values", {"n": 1}), ((), "checkpoints", {}))


@pytest.mark.parametrize("later", range(6))
async def test_an_update_says_what_it_was_before_a_body_changed_it(client, serve, later):
    """However soon that is: of two tasks, the other one ends some turns of the loop `later`."""

    @task
    async def say(turns: int) -> AIMessage:
        for _ in range(turns):
            await asyncio.sleep(0)
        return AIMessage("said")

    @entrypoint()
    async def talk(_: None) -> list[AIMessage]:
        return add_messages([], await asyncio.gather(say(0), say(later)))

    await serve(g=talk)
    stream = client.runs.stream(None, "g", input={"n": 1}, stream_mode="updates")
    updates = [part.data async for part in stream if part.event == "updates"]
    assert [update["say"]["id"] for update in updates if "say" in update] == [None, None]
