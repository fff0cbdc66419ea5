"""Thread events through the official client, over both of its transports, and a real worker."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph_sdk import get_client, get_sync_client

from duragraph_worker import AIMessage, Graph, Message, add_messages, llm_node, node, tool
from duragraph_worker.llm.providers import register_provider, unregister_provider
from duragraph_worker.testing import scripted
from tests.conformance.graphs import ErrorGraph, InterruptGraph, SubgraphGraph, TokensGraph
from tests.integration.talking import serving
from tests.providers import fake
from tests.providers.vendors import provider
from tests.providers.wires import Call, Reply, says

pytestmark = [pytest.mark.timeout(30), pytest.mark.parametrize("transport", ["sse", "websocket"])]

HEY = {"messages": [{"role": "user", "content": "hey"}]}


class Chat(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]
    done: bool


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@tool
def broken() -> str:
    """Fails."""
    raise ValueError("out of order")


@Graph(id="agent", state=Chat)
class Agent:
    @llm_node(model="openai/any", tools=[add, broken])
    def answer(self, state: Chat) -> None: ...

    @node
    async def finish(self, state: Chat, ctx: Any) -> Chat:
        await ctx.emit({"percent": 100}, name="progress")
        await ctx.emit("nobody asks for this")
        return {"done": True}

    answer >> finish


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    listed = [{"name": name, "args": args, "id": f"c{n}"} for n, (name, args) in enumerate(wanted)]
    return AIMessage("Let me see", tool_calls=listed)


@pytest.fixture
async def client(plane):
    graphs = Agent, ErrorGraph, InterruptGraph, SubgraphGraph, TokensGraph
    async with serving(plane, *graphs), get_client(url=plane.url) as client:
        yield client


async def gathered(stream: Any) -> list[Any]:
    return [each async for each in stream]


async def question(thread: Any, number: int) -> Any:
    """Once the client, which watches by itself, has heard of so many."""
    for _ in range(1000):
        if thread.interrupted and len(thread.interrupts) == number:
            return thread.interrupts[-1]
        await asyncio.sleep(0.01)
    raise AssertionError(f"no question number {number}")


async def told_on(thread: Any) -> AsyncIterator[Any]:
    """All events; over a WebSocket the client also yields the answer to its subscription."""
    async for event in thread.events:
        if event["type"] == "event":
            yield event


async def test_tokens_come_as_they_are_made_and_the_output_at_the_end(client, transport):
    async with client.threads.stream(assistant_id="tokens", transport=transport) as thread:
        await thread.run.start(input=HEY)
        (message,) = await gathered(thread.messages)
        assert await gathered(message.text) == list("Hi you")
        assert (await message.output).text == "Hi you"
        output = await thread.output
    assert [each["content"] for each in output["messages"]] == ["hey", "Hi you", "Bye"]


async def test_values_follow_each_step(client, transport):
    async with client.threads.stream(assistant_id="tokens", transport=transport) as thread:
        await thread.run.start(input=HEY)
        # The client puts the state as it stands before them.
        _, *counts = [len(values.get("messages", [])) async for values in thread.values]
    assert counts == [1, 2, 3]


async def test_projections_interleave_and_a_wait_can_be_bounded(client, transport):
    async with client.threads.stream(assistant_id="tokens", transport=transport) as thread:
        await thread.run.start(input=HEY)
        both = thread.interleave_projections(["values", "messages"])
        assert {channel async for channel, _ in both} == {"values", "messages"}
        assert (await thread.output.with_timeout(20))["messages"][-1]["content"] == "Bye"
        tree = await thread.agent.get_tree(xray=True)
        assert "answer" in {each["id"] for each in tree["nodes"]}


async def test_tools_have_handles_with_input_and_output(client, transport):
    with scripted("openai", [calls(("add", {"a": 1, "b": 2})), "three"]):
        async with client.threads.stream(assistant_id="agent", transport=transport) as thread:
            await thread.run.start(input=HEY)
            (handle,) = await gathered(thread.tool_calls)
            assert await gathered(handle.deltas) == []  # our tools return at once
            output = await handle.output
            assert (handle.name, handle.input) == ("add", {"a": 1, "b": 2})
            assert (output["type"], output["content"]) == ("tool", "3")
            assert (await thread.output)["done"] is True


async def test_a_models_tool_calls_arrive_in_its_message(client, transport):
    with scripted("openai", [calls(("add", {"a": 1, "b": 2})), "three"]):
        async with client.threads.stream(assistant_id="agent", transport=transport) as thread:
            await thread.run.start(input=HEY)
            messages = await gathered(thread.messages)
    asking, telling = [await message.output for message in messages]
    assert asking.tool_calls == [
        {"name": "add", "args": {"a": 1, "b": 2}, "id": "c0", "type": "tool_call"}
    ]
    assert telling.text == "three"


@pytest.fixture
async def openai():
    async with fake.serving(fake.Fake("openai")) as server:
        register_provider("openai", provider("openai", server.url))
        yield server
        unregister_provider("openai")


async def test_what_openai_streams_comes_as_content_blocks(client, openai, transport):
    asking = Reply(text=("I", "'ll add"), calls=(Call("add", '{"a":1,"b":2}', "c1"),))
    openai.script = [asking, says("three")]
    async with client.threads.stream(assistant_id="agent", transport=transport) as thread:
        await thread.run.start(input=HEY)
        events = await gathered(thread.subscribe(["messages"]))
    first = events[: 1 + next(n for n, e in enumerate(events) if data(e) == "message-finish")]
    assert [data(event) for event in first] == [
        "message-start",
        *("content-block-start", "content-block-delta", "content-block-delta"),
        *("content-block-start", "content-block-delta", "content-block-delta"),
        *("content-block-finish", "content-block-finish", "message-finish"),
    ]
    text, called, end = (event["params"]["data"] for event in first[-3:])
    assert text["content"] == {"type": "text", "text": "I'll add"}
    assert called["content"] == {
        "type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "c1",
    }  # fmt: skip
    assert end["usage"] == {
        "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
        "input_token_details": {"cache_read": 2},
    }  # fmt: skip
    assert end["metadata"]["finish_reason"] == "tool_calls"
    assert len([event for event in events if data(event) == "message-finish"]) == 2


def data(event: Any) -> str:
    return event["params"]["data"]["event"]


async def test_what_a_tool_raises_is_its_handles_error_and_fails_the_run(client, transport):
    with scripted("openai", [calls(("broken", {}))]):
        async with client.threads.stream(assistant_id="agent", transport=transport) as thread:
            await thread.run.start(input=HEY)
            (handle,) = await gathered(thread.tool_calls)
            with pytest.raises(RuntimeError, match="out of order"):
                await handle.output
            with pytest.raises(RuntimeError, match="Run errored: out of order"):
                await thread.output


async def test_custom_events_can_be_had_by_name(client, transport):
    with scripted("openai", ["hi"]):
        async with client.threads.stream(assistant_id="agent", transport=transport) as thread:
            await thread.run.start(input=HEY)
            told = await gathered(thread.extensions["progress"])
    assert told == [{"name": "progress", "payload": {"percent": 100}}]


async def test_a_question_stops_the_run_until_it_is_answered(client, transport):
    async with client.threads.stream(assistant_id="interrupt", transport=transport) as thread:
        await thread.run.start(input={"title": ""})
        asked = []
        for answer in ("A", ["x"], {"approve": True}):
            await gathered(thread.values)
            last = await question(thread, len(asked) + 1)
            asked.append(last["value"])
            await thread.run.respond(answer, interrupt_id=last["interrupt_id"])
            thread.interrupted = False
        output = await thread.output
    assert output["published"] == "A"
    assert asked[0] == "title?"
    assert asked[2] == {"node": "approve", "prompt": "Publish?"}


async def test_subgraphs_are_found_with_how_they_ended(client, transport):
    async with client.threads.stream(assistant_id="subgraph", transport=transport) as thread:
        await thread.run.start(input={"topic": "tea"})
        (child,) = await gathered(thread.subgraphs)
        await thread.output
    assert (child.graph_name, child.status) == ("research", "completed")
    assert child.path[0].startswith("research:")


async def test_a_failure_says_why(client, transport):
    async with client.threads.stream(assistant_id="error", transport=transport) as thread:
        await thread.run.start(input={"kind": "zero"})
        with pytest.raises(RuntimeError, match="An internal error occurred"):
            await thread.output


async def test_who_comes_later_sees_it_all_again(client, transport):
    async with client.threads.stream(assistant_id="tokens", transport=transport) as thread:
        await thread.run.start(input=HEY)
        await thread.output
    ids = []
    for _ in range(2):
        late = client.threads.stream(thread.thread_id, assistant_id="tokens", transport=transport)
        async with late as again:
            seen = []
            async for event in told_on(again):
                seen.append((event["seq"], event["event_id"], event["method"]))
                if event["params"]["data"].get("event") == "completed":
                    break
        ids.append(seen)
    assert ids[0] == ids[1]
    assert [seq for seq, *_ in seen] == sorted({seq for seq, *_ in seen})


async def in_thread(look: Any, *args: Any) -> Any:
    """What the sync client leaves is collected in its thread, too.

    A socket that is left waits for the plane to close it: on the plane's own loop, in vain.
    """

    def looked() -> Any:
        try:
            return look(*args)
        finally:
            gc.collect()

    gc.disable()
    try:
        return await asyncio.to_thread(looked)
    finally:
        gc.enable()


async def test_the_sync_client_does_the_same(client, plane, transport):
    def stream() -> tuple[list[str], Any]:
        with (
            get_sync_client(url=plane.url) as sync,
            sync.threads.stream(assistant_id="tokens", transport=transport) as thread,
        ):
            thread.run.start(input=HEY)
            texts = [str(message.text) for message in thread.messages]
            return texts, thread.output

    texts, output = await in_thread(stream)
    assert texts == ["Hi you"]
    assert output["messages"][-1]["content"] == "Bye"


async def test_the_sync_client_looks_at_all_of_it(client, plane, transport):
    def seen(graph: str, given: Any, look: Any) -> Any:
        with (
            get_sync_client(url=plane.url) as sync,
            sync.threads.stream(assistant_id=graph, transport=transport) as thread,
        ):
            thread.run.start(input=given)
            return look(thread)

    def values(thread: Any) -> Any:
        return list(thread.values)[-1]

    def both(thread: Any) -> Any:
        return {channel for channel, _ in thread.interleave_projections(["values", "messages"])}

    def lifecycle(thread: Any) -> Any:
        return [e["params"]["data"]["event"] for e in thread.subscribe(["lifecycle"])]

    def nodes(thread: Any) -> Any:
        return {node["id"] for node in thread.agent.get_tree()["nodes"]}

    def children(thread: Any) -> Any:
        return [child.graph_name for child in thread.subgraphs]

    def answered(thread: Any) -> Any:
        list(thread.values)
        (asked,) = thread.interrupts
        thread.run.respond("A", interrupt_id=asked["interrupt_id"])
        return asked["value"]

    looks = (
        ("tokens", HEY, values),
        ("tokens", HEY, both),
        ("tokens", HEY, lifecycle),
        ("tokens", HEY, nodes),
        ("subgraph", {"topic": "tea"}, children),
        ("interrupt", {"title": ""}, answered),
    )
    last, channels, told, drawn, below, asked = [await in_thread(seen, *each) for each in looks]
    assert last["messages"][-1]["content"] == "Bye"
    assert channels == {"values", "messages"}
    assert (told[0], told[-1]) == ("running", "completed")
    assert "answer" in drawn
    assert below == ["research"]
    assert asked == "title?"


async def test_runs_started_otherwise_show_too(client, transport):
    late = client.threads.stream(assistant_id="interrupt", transport=transport)
    async with late as thread:
        for run in (
            {"input": {"title": ""}, "if_not_exists": "create", "stream_mode": "updates"},
            {"command": {"resume": "A"}, "stream_mode": "values"},
        ):
            await gathered(client.runs.stream(thread.thread_id, "interrupt", **run))
        told = []
        async for event in told_on(thread):
            told.append((event["method"], event["params"]["data"]))
            if len(told) > 4 and event["method"] == "lifecycle":
                break
    assert told == [
        ("lifecycle", {"event": "running", "graph_name": "interrupt"}),
        ("updates", {"draft": "words"}),
        ("lifecycle", {"event": "interrupted", "graph_name": "interrupt"}),
        ("lifecycle", {"event": "running", "graph_name": "interrupt"}),
        ("values", {"draft": "words", "title": ""}),
        ("input.requested", told[5][1]),
        ("lifecycle", {"event": "interrupted", "graph_name": "interrupt"}),
    ]
    assert told[5][1]["payload"] == {"question": "tags?", "title": "A"}
