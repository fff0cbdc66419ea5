"""What a run of the event-streaming protocol puts, as the reference server was recorded."""

import asyncio
from typing import Any

import pytest

from duragraph.event_names import EventName
from duragraph.protocol import EVENT_MODE, Frame
from duragraph_worker import serialize
from duragraph_worker.executor.content_blocks import ContentBlocks
from duragraph_worker.messages import AIMessage, AIMessageChunk
from tests.unit.plans import (
    ASK,
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
)


async def told(graph: Any, input: Any = None, bench: Bench | None = None, **kwargs: Any) -> Bench:
    bench = bench or Bench(graph)
    bench.items.clear()
    await bench.run(input, stream_mode=[EVENT_MODE], subgraphs=True, **kwargs)
    return bench


def events(bench: Bench, *methods: str) -> list[tuple[EventName, Any]]:
    frames = [item for item in bench.items if isinstance(item, Frame)]
    named = [(EventName.parse(f.event), serialize.decode(f.data)) for f in frames if "|" in f.event]
    return [(name, data) for name, data in named if name.method in methods]


def data(bench: Bench, *methods: str) -> list[Any]:
    return [each for _, each in events(bench, *methods)]


async def test_values_follow_the_envelope_of_their_checkpoint():
    bench = await told(ECHO, {"msg": "hi"})
    assert [name.method for name, _ in events(bench, "values", "checkpoints")] == [
        "checkpoints", "values", "checkpoints", "values",
    ]  # fmt: skip
    first, second = data(bench, "checkpoints")
    assert (first["step"], first["source"]) == (0, "loop")
    assert second == {"id": second["id"], "parent_id": first["id"], "step": 1, "source": "loop"}
    shown = [item for item in bench.items if isinstance(item, Frame) and "|values|" in item.event]
    assert [frame.checkpoint_id for frame in shown] == [first["id"], second["id"]]


async def test_updates_name_their_node_and_custom_values_are_payloads():
    bench = await told(FAN, {"items": ["x"]})
    assert [(name.node, each) for name, each in events(bench, "updates")] == [
        ("a", {"value": None}),
        ("b", {"items": ["b"]}),
        ("c", {"items": ["c"]}),
        ("d", {"total": 3}),
    ]
    assert data(bench, "custom") == [{"payload": {"from": "c"}}]


async def test_a_custom_value_may_have_a_name():
    async def emits(state: Any, ctx: Any) -> None:
        await ctx.emit(1, name="progress")

    bench = await told(plan(node("a", emits), channels=channels("x")), {"x": 1})
    assert data(bench, "custom") == [{"name": "progress", "payload": 1}]


async def test_tasks_tell_no_input_which_would_be_the_state_again():
    start, end = data(await told(ECHO, {"msg": "hi"}), "tasks")
    assert start == {"id": start["id"], "name": "echo", "triggers": ["branch:to:echo"]}
    assert end["id"] == start["id"]
    assert end["result"] == {"out": "hi"}


async def test_an_interrupt_is_an_input_that_is_requested():
    bench = await told(ASK, {"q": "?"})
    (asked,) = data(bench, "input.requested")
    assert asked["payload"] == asked["value"] == {"q": "first"}
    assert data(bench, "values")[-1] == {"q": "?", "answers": ["pre"]}
    assert [t["interrupts"] for t in data(bench, "tasks") if "interrupts" in t][-1] == [
        {"value": {"q": "first"}, "id": asked["interrupt_id"]}
    ]


async def test_a_subgraphs_interrupt_is_told_once_where_it_is():
    bench = await told(SUB_ASK, {"topic": "t"})
    ((name, asked),) = events(bench, "input.requested")
    assert asked["payload"] == "sub?"
    assert [part.split(":")[0] for part in name.namespace] == ["sub"]


async def test_a_subgraphs_life_is_told_in_its_namespace():
    bench = await told(SUB, {"topic": "t"})
    (first, start), (_, end) = events(bench, "lifecycle")
    (segment,) = first.namespace
    task_id = segment.removeprefix("sub:")
    assert start == {
        "event": "started",
        "graph_name": "sub",
        "namespace": [segment],
        "trigger_call_id": task_id,
    }
    assert end == {"event": "completed", "graph_name": "sub"}
    bench = await told(SUB_ASK, {"topic": "t"})
    assert [each["event"] for each in data(bench, "lifecycle")] == ["started", "interrupted"]


async def test_a_subgraph_that_fails_says_why_as_clients_may_hear_it():
    child = plan(node("bad", lambda s, ctx: 1 / 0), channels=channels("x"))
    graph = plan(node("sub", lambda s, ctx: None, kind="subgraph", subgraph=child))
    _, end = data(await told(graph, {"x": 1}), "lifecycle")
    assert (end["event"], end["error"]) == ("failed", "An internal error occurred")


async def test_a_subgraph_is_interrupted_where_its_sibling_fails():
    began = asyncio.Event()

    async def waits(state: Any, ctx: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    async def fails(state: Any, ctx: Any) -> None:
        await began.wait()
        raise ValueError("boom")

    child = plan(node("waits", waits), channels=channels("x"))
    graph = plan(
        node("sub", lambda s, ctx: None, kind="subgraph", subgraph=child),
        node("fails", fails),
        entry=("sub", "fails"),
    )
    told_of = data(await told(graph, {"x": 1}), "lifecycle")
    assert [each["event"] for each in told_of] == ["started", "interrupted"]


async def test_only_streamed_messages_have_events():
    bench = await told(TOKENS, {"messages": []})
    told_of = data(bench, "messages")
    assert [each["event"] for each in told_of] == [
        "message-start", "content-block-start", *["content-block-delta"] * 7,
        "content-block-finish", "message-finish",
    ]  # fmt: skip
    assert {each["id"] for each in told_of} == {each["run_id"] for each in told_of}
    assert told_of[-2]["content"] == {"type": "text", "text": "hey you"}


async def test_a_message_that_is_given_up_ends_with_an_error():
    def gives_up(state: Any, ctx: Any) -> None:
        ctx.message(AIMessageChunk("hal", id="m"))
        raise ValueError("no more")

    bench = await told(plan(node("a", gives_up), channels=channels("x")), {"x": 1})
    last = data(bench, "messages")[-1]
    assert last == {
        "event": "error", "message": "no more", "code": "ValueError", "id": "m", "run_id": "m",
    }  # fmt: skip


async def test_a_message_whose_last_chunk_is_not_named_ends_with_its_node():
    def answers(state: Any, ctx: Any) -> Any:
        ctx.message(AIMessageChunk("all", id="m"))
        return {"x": AIMessage("all", id="m")}

    bench = await told(plan(node("a", answers), channels=channels("x")), {"x": 1})
    assert [each["event"] for each in data(bench, "messages")][-1] == "message-finish"


async def test_a_failure_keeps_the_frame_that_others_know():
    bench = await told(ERROR, {"kind": "v"})
    frames = [item for item in bench.items if isinstance(item, Frame)]
    assert frames[-1].event == "error"


def test_names_come_back_as_they_were():
    name = EventName("updates", 1795173374741, "a node", ("sub:1", "deep:2"))
    assert EventName.parse(str(name)) == name
    bare = EventName("values", 0)
    assert EventName.parse(str(bare)) == bare


def piece(**fields: Any) -> Any:
    return {"name": None, "args": None, "id": None, "index": 0, "type": "tool_call_chunk", **fields}


def fed(*chunks: AIMessageChunk) -> list[dict[str, Any]]:
    blocks = ContentBlocks("m")
    return [event for chunk in chunks for event in blocks.feed(chunk)]


def test_tool_calls_grow_by_their_arguments_and_finish_parsed():
    told_of = fed(
        AIMessageChunk("Let me "),
        AIMessageChunk("see", tool_call_chunks=[piece(name="add", args="", id="c1")]),
        AIMessageChunk(tool_call_chunks=[piece(args='{"a":')]),
        AIMessageChunk(tool_call_chunks=[piece(args="1}")]),
        AIMessageChunk(tool_call_chunks=[piece(name="bad", args="[", id="c2", index=1)]),
        AIMessageChunk(
            response_metadata={"finish_reason": "tool_calls"},
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            chunk_position="last",
        ),
    )
    starts = [each["content"] for each in told_of if each["event"] == "content-block-start"]
    assert starts == [
        {"type": "text", "text": ""},
        {"type": "tool_call_chunk", "name": "add", "id": "c1", "index": 0, "args": ""},
        {"type": "tool_call_chunk", "name": "bad", "id": "c2", "index": 1, "args": ""},
    ]
    deltas = [(e["index"], e["delta"]) for e in told_of if e["event"] == "content-block-delta"]
    assert deltas == [
        (0, {"type": "text-delta", "text": "Let me "}),
        (0, {"type": "text-delta", "text": "see"}),
        (1, {"type": "tool-call-delta", "args": '{"a":'}),
        (1, {"type": "tool-call-delta", "args": "1}"}),
        (2, {"type": "tool-call-delta", "args": "["}),
    ]
    text, call, invalid = [e["content"] for e in told_of if e["event"] == "content-block-finish"]
    assert text == {"type": "text", "text": "Let me see"}
    assert call == {"type": "tool_call", "name": "add", "args": {"a": 1}, "id": "c1"}
    assert invalid["type"] == "invalid_tool_call"
    assert told_of[-1] == {
        "event": "message-finish",
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        "metadata": {"finish_reason": "tool_calls"},
    }


def test_reasoning_and_what_comes_whole_are_blocks_of_their_own():
    image = {"type": "image", "url": "https://x.test/i.png", "base64": "AAAA"}
    told_of = fed(
        AIMessageChunk([{"type": "reasoning", "reasoning": "h", "index": 0}]),
        AIMessageChunk([{"type": "reasoning", "reasoning": "m", "index": 0}]),
        AIMessageChunk([{"type": "text", "text": "ok", "index": 1}, image], chunk_position="last"),
    )
    starts = [each["content"] for each in told_of if each["event"] == "content-block-start"]
    assert starts[2] == {"type": "image", "url": "https://x.test/i.png"}
    finished = [each["content"] for each in told_of if each["event"] == "content-block-finish"]
    assert finished == [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "ok"},
        image,
    ]


def test_what_stands_beside_a_block_adds_up_too():
    told = fed(
        AIMessageChunk([{"type": "text", "text": "So", "index": 0, "citations": [1]}]),
        AIMessageChunk([{"type": "text", "index": 0, "citations": [2]}], chunk_position="last"),
    )
    (finish,) = (event for event in told if event["event"] == "content-block-finish")
    assert finish["content"] == {"type": "text", "text": "So", "citations": [1, 2]}


def test_where_a_message_comes_from_is_told_at_its_start():
    origin = {"model_provider": "openai", "model_name": "gpt", "id": 1}
    start, *_ = fed(AIMessageChunk("x", response_metadata=origin))
    assert start["metadata"] == {"provider": "openai", "model": "gpt"}


@pytest.mark.parametrize("empty", ["", []])
def test_a_message_without_content_has_no_blocks(empty):
    told_of = fed(AIMessageChunk(empty, chunk_position="last"))
    assert [each["event"] for each in told_of] == ["message-start", "message-finish"]
