"""The frames of every stream mode, as the reference server was recorded to send them."""

import operator
from typing import Any

import pytest

from duragraph.protocol import Checkpoint, Frame
from tests.unit.plans import (
    ASK,
    CYCLE,
    ECHO,
    ERROR,
    FAN,
    SUB,
    SUB_ASK,
    TOKENS,
    Bench,
    channels,
    node,
    plan,
    update,
)

THREAD = "00000000-0000-7000-8000-0000000000aa"
ASSISTANT = "00000000-0000-5000-8000-0000000000bb"
RUN = "00000000-0000-7000-8000-000000000001"


async def framed(graph: Any, input: Any, *modes: str, **kwargs: Any) -> Bench:
    bench = Bench(graph)
    await bench.run(input, stream_mode=list(modes), **kwargs)
    return bench


async def test_values_come_after_input_and_each_superstep_that_wrote():
    bench = await framed(FAN, {"items": ["x"]}, "values")
    assert bench.frames() == [
        ("values", {"items": ["x"]}),
        ("values", {"items": ["x", "b", "c"]}),
        ("values", {"items": ["x", "b", "c"], "total": 3}),
    ]


async def test_values_name_the_checkpoint_that_folds_to_them():
    bench = await framed(FAN, {"items": ["x"]}, "values")
    shown = [item for item in bench.items if isinstance(item, Frame)]
    for frame in shown:
        snapshot = bench.record.snapshot(frame.checkpoint_id)
        assert snapshot is not None
        folded = b",".join(b'"%s":%s' % (k.encode(), v) for k, v in snapshot.values.items())
        assert frame.data == b"{" + folded + b"}"


async def test_values_name_no_checkpoint_where_none_is_stored():
    bench = await framed(CYCLE, {"stop": 2}, "values", durability="exit")
    frames = [item for item in bench.items if isinstance(item, Frame)]
    assert [frame.checkpoint_id for frame in frames] == [None] * 3
    bench = await framed(ASK, {"q": "?"}, "values")
    assert [i.checkpoint_id for i in bench.items if isinstance(i, Frame)][-1] is None


async def test_updates_are_what_each_node_returned():
    bench = await framed(FAN, {"items": ["x"]}, "updates", "custom")
    assert bench.frames() == [
        ("updates", {"a": None}),
        ("custom", {"from": "c"}),
        ("updates", {"b": {"items": ["b"]}}),
        ("updates", {"c": {"items": ["c"]}}),
        ("updates", {"d": {"total": 3}}),
    ]


async def test_an_interrupt_shows_in_updates_values_and_tasks():
    bench = await framed(ASK, {"q": "?"}, "updates", "values", "tasks")
    asked = bench.frames()[-3:]
    interrupt = asked[0][1]["__interrupt__"]
    assert interrupt[0]["value"] == {"q": "first"}
    assert list(interrupt[0]) == ["value", "id", "response_schema"]
    assert asked[1] == ("values", {"q": "?", "answers": ["pre"], "__interrupt__": interrupt})
    event, task = asked[2]
    assert event == "tasks"
    assert task == task | {"name": "ask", "error": None, "result": {}, "interrupts": interrupt}


async def test_with_only_custom_no_interrupt_is_shown():
    assert (await framed(ASK, {"q": "?"}, "custom")).frames() == []


async def test_tasks_show_input_triggers_and_result():
    bench = await framed(ECHO, {"msg": "hi"}, "tasks", config={"tags": ["t"]})
    (_, start), (_, end) = bench.frames()
    task_id = start["id"]
    assert start == {
        "id": task_id,
        "name": "echo",
        "input": {"msg": "hi"},
        "triggers": ["branch:to:echo"],
        "metadata": {
            "graph_id": "graph",
            "assistant_id": ASSISTANT,
            "run_attempt": 1,
            "run_id": RUN,
            "tags": ["t"],
        },
    }
    assert end == {
        "id": task_id,
        "name": "echo",
        "error": None,
        "result": {"out": "hi"},
        "interrupts": [],
    }


async def test_a_join_is_among_its_targets_triggers():
    bench = await framed(FAN, {"items": []}, "tasks")
    assert bench.frames()[-2][1]["triggers"] == ["branch:to:d", "join:b+c:d"]


async def test_an_error_shows_in_tasks_and_ends_the_stream():
    bench = await framed(ERROR, {"kind": "v"}, "tasks")
    error = {"error": "ValueError", "message": "boom"}
    (_, task), last = bench.frames()[-2:]
    assert (task["error"], task["result"]) == (error, {})
    assert last == ("error", error)


async def test_checkpoints_show_config_parent_and_tasks():
    bench = await framed(ECHO, {"msg": "hi"}, "checkpoints", config={"configurable": {"k": 1}})
    made = [item for item in bench.items if isinstance(item, Checkpoint)]
    config = {
        "checkpoint_ns": "",
        "k": 1,
        "run_id": RUN,
        "thread_id": THREAD,
        "graph_id": "graph",
        "assistant_id": ASSISTANT,
    }
    _, shown = bench.frames()[1]
    task_id = shown["tasks"][0]["id"]
    assert shown == {
        "config": {"configurable": {**config, "checkpoint_id": made[1].checkpoint_id}},
        "parent_config": {"configurable": {**config, "checkpoint_id": made[0].checkpoint_id}},
        "values": {"msg": "hi"},
        "metadata": {"source": "loop", "step": 0, "parents": {}},
        "next": ["echo"],
        "tasks": [{"id": task_id, "name": "echo", "interrupts": [], "state": None}],
    }


async def test_debug_wraps_checkpoints_and_tasks():
    bench = await framed(ECHO, {"msg": "hi"}, "debug")
    kinds = [(data["type"], data["step"]) for _, data in bench.frames()]
    assert kinds == [
        ("checkpoint", -1),
        ("checkpoint", 0),
        ("task", 1),
        ("task_result", 1),
        ("checkpoint", 1),
    ]
    payload = bench.frames()[1][1]["payload"]
    assert payload["checkpoint"]["checkpoint_id"] > payload["parent_checkpoint"]["checkpoint_id"]


async def test_messages_grow_chunk_by_chunk_and_whole_ones_are_complete():
    human = {"role": "user", "content": "hi", "id": "u"}
    bench = await framed(TOKENS, {"messages": [human]}, "messages")
    frames = bench.frames()
    assert [event for event, _ in frames] == (
        ["messages/metadata"]
        + ["messages/partial"] * 7
        + ["messages/metadata", "messages/complete"]
    )
    message_id = frames[1][1][0]["id"]
    metadata = frames[0][1][message_id]["metadata"]
    assert metadata["langgraph_node"] == "chat"
    assert metadata["checkpoint_ns"] == metadata["langgraph_checkpoint_ns"]
    assert [data[0]["content"] for event, data in frames[1:8]][::3] == ["h", "hey ", "hey you"]
    assert frames[7][1][0]["type"] == "ai"
    assert frames[9][1][0]["content"] == "static"


@pytest.mark.parametrize("modes", [["messages-tuple"], ["messages-tuple", "messages"]])
async def test_messages_tuple_sends_deltas_and_wins_over_messages(modes: list[str]):
    bench = await framed(TOKENS, {"messages": []}, *modes)
    chunks = [data[0] for event, data in bench.frames() if event == "messages"]
    assert len(bench.frames()) == len(chunks)
    assert "".join(chunk["content"] for chunk in chunks[:7]) == "hey you"
    assert {chunk["type"] for chunk in chunks[:7]} == {"AIMessageChunk"}
    assert chunks[6]["chunk_position"] == "last"
    assert chunks[7]["type"] == "ai"


async def test_a_subgraphs_frames_carry_its_namespace_if_asked_for():
    bench = await framed(SUB, {"topic": "t"}, "updates", "custom", subgraphs=True)
    frames = bench.frames()
    ns = frames[1][0].partition("|")[2]
    assert ns.startswith("sub:")
    assert frames == [
        ("updates", {"before": {"topic": "t!"}}),
        (f"custom|{ns}", "in-sub"),
        (f"updates|{ns}", {"s1": {"notes": ["s1:t!"]}}),
        (f"updates|{ns}", {"s2": {"notes": ["s2"]}}),
        ("updates", {"sub": {"topic": "t!", "notes": ["s1:t!", "s2"]}}),
        ("updates", {"after": {"notes": ["after"]}}),
    ]


async def test_a_subgraphs_frames_are_kept_back_if_not():
    bench = await framed(SUB, {"topic": "t"}, "updates", "custom", "values")
    assert {event for event, _ in bench.frames()} == {"updates", "values"}


async def test_a_subgraphs_checkpoints_hang_under_the_roots():
    bench = await framed(SUB_ASK, {"topic": "t"})
    made = [item for item in bench.items if isinstance(item, Checkpoint)]
    root = next(each for each in made if each.next == ["sub"])
    below = [each for each in made if each.ns]
    assert {each.root_id for each in below} == {root.checkpoint_id}
    assert [each.step for each in below] == [-1, 0, 1]


async def test_results_taken_from_the_record_are_marked_cached():
    graph = plan(
        node("ask", lambda s, ctx: {"log": [ctx.interrupt("?")]}),
        node("done", update(log=["done"])),
        entry=("ask", "done"),
        channels=channels(log=operator.add),
    )
    bench = Bench(graph)
    await bench.run({})
    await bench.run(None, command={"resume": "A"}, stream_mode=["updates"])
    cached = {"done": {"log": ["done"]}, "__metadata__": {"cached": True}}
    assert bench.frames()[0] == ("updates", cached)


async def test_nothing_is_put_that_nobody_asked_for():
    assert (await framed(TOKENS, {"messages": []})).frames() == []


async def test_events_tell_of_graph_nodes_and_chunks():
    bench = await framed(ECHO, {"msg": "hi"}, "events")
    events = [data for _, data in bench.frames()]
    assert [(each["event"], each["name"], each["data"]) for each in events] == [
        ("on_chain_start", "graph", {"input": {"msg": "hi"}}),
        ("on_chain_start", "echo", {"input": {"msg": "hi"}}),
        ("on_chain_stream", "echo", {"chunk": {"out": "hi"}}),
        ("on_chain_end", "echo", {"output": {"out": "hi"}, "input": {"msg": "hi"}}),
        ("on_chain_end", "graph", {"output": {"msg": "hi", "out": "hi"}}),
    ]
    assert events[1]["parent_ids"] == [events[0]["run_id"]] == [RUN]
    assert events[1]["metadata"]["langgraph_node"] == "echo"
    bench = await framed(TOKENS, {"messages": []}, "events")
    chunks = [data for _, data in bench.frames() if data["event"] == "on_chat_model_stream"]
    assert "".join(each["data"]["chunk"]["content"] for each in chunks) == "hey you"
