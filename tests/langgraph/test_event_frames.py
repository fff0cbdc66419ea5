"""What a LangGraph run of the event-streaming protocol puts, as the reference was recorded."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessageChunk, AnyMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.stream import StreamChannel, StreamTransformer
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from duragraph.event_names import EventName
from duragraph.protocol import Frame
from duragraph_worker import serialize
from duragraph_worker.errors import INTERNAL
from duragraph_worker.langgraph.event_parts import parts
from duragraph_worker.langgraph.event_streaming import EventFrames
from duragraph_worker.langgraph.serialize import dump
from tests.langgraph.models import Scripted, calls, ends, says

HELLO = {"messages": [{"role": "user", "content": "hi", "id": "q"}]}


class QuotaError(Exception):
    """Not a type whose message clients may see."""


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]


@tool
async def weather(city: str, runtime: ToolRuntime) -> str:
    """The weather of a city."""
    get_stream_writer()({"looks": city})
    runtime.emit_output_delta("sun")
    return f"sunny in {city}"


AGENT = create_agent(
    Scripted(replies=[calls("weather", '{"city":', '"Rome"}', id="c1"), says("It is ", "sunny")]),
    [weather],
)


def graph(**nodes: Any) -> Any:
    """Nodes in a row."""
    built = StateGraph(Chat).add_sequence([*nodes.items()])
    return built.set_entry_point(next(iter(nodes))).compile()


Told = list[tuple[EventName, Any]]


async def told(compiled: Any, input: Any = HELLO, *, saver: Any = None) -> Told:
    """Run to the end, whatever it is, and show the frames."""
    frames = EventFrames(lambda ns, chunk: (dump(chunk), f"of {ns or 'root'}"))
    found: list[Frame] = []
    runnable = compiled.copy({"checkpointer": saver or InMemorySaver()})
    try:
        async for part in parts(runnable, input, {"configurable": {"thread_id": "1"}}):
            found += frames.of(*part)
    except (ValueError, QuotaError):
        pass
    found += frames.rest()
    return [(EventName.parse(f.event), serialize.decode(f.data)) for f in found]


def data(events: Told, *methods: str) -> list[Any]:
    return [each for name, each in events if name.method in methods]


def kinds(events: Told) -> list[str]:
    return [each["event"] for each in data(events, "messages")]


async def replies(state: Chat) -> Chat:
    model = Scripted(replies=[says("Hi ", "you")])
    return {"messages": [await model.ainvoke(state["messages"])]}


def asks(state: Chat) -> Chat:
    return {"log": [interrupt("first?"), interrupt("second?")]}


def fails(state: Chat) -> Chat:
    raise ValueError("boom")


def fails_secretly(state: Chat) -> Chat:
    raise QuotaError("secret")


async def test_values_follow_the_envelope_of_their_checkpoint():
    events = await told(graph(replies=replies))
    assert [name.method for name, _ in events if name.method in ("values", "checkpoints")] == [
        "checkpoints", "values", "checkpoints", "values",
    ]  # fmt: skip
    first, second = data(events, "checkpoints")
    assert second == {"id": second["id"], "step": 1, "parent_id": first["id"], "source": "loop"}
    assert [len(each["messages"]) for each in data(events, "values")] == [1, 2]


async def test_root_values_are_known_by_their_checkpoint_and_subgraphs_are_not():
    frames = EventFrames(lambda ns, chunk: (b"{}", "an id"))
    runnable = graph(sub=graph(replies=replies)).copy({"checkpointer": InMemorySaver()})
    shown = [
        (bool(EventName.parse(frame.event).namespace), frame.checkpoint_id)
        async for part in parts(runnable, HELLO, {"configurable": {"thread_id": "1"}})
        for frame in frames.of(*part)
        if EventName.parse(frame.event).method == "values"
    ]
    assert set(shown) == {(False, "an id"), (True, None)}


async def test_a_tool_call_is_told_from_its_first_argument_to_its_answer():
    events = await told(AGENT)
    started, delta, finished = data(events, "tools")
    assert started == {
        "event": "tool-started",
        "tool_call_id": "c1",
        "tool_name": "weather",
        "input": {"city": "Rome"},
    }
    assert delta == {"event": "tool-output-delta", "tool_call_id": "c1", "delta": "sun"}
    assert (finished["event"], finished["output"]["content"]) == ("tool-finished", "sunny in Rome")
    assert data(events, "custom") == [{"payload": {"looks": "Rome"}}]
    deltas = [each["delta"] for each in data(events, "messages") if "delta" in each]
    assert deltas == [
        {"type": "tool-call-delta", "args": '{"city":'},
        {"type": "tool-call-delta", "args": '"Rome"}'},
        {"type": "text-delta", "text": "sunny in Rome"},
        {"type": "text-delta", "text": "It is "},
        {"type": "text-delta", "text": "sunny"},
    ]


@pytest.mark.parametrize(
    ("error", "why"), [(ValueError("boom"), "boom"), (QuotaError("secret"), INTERNAL)]
)
async def test_a_tool_that_breaks_says_why_as_clients_may_hear_it(error, why):
    @tool
    def breaks() -> None:
        """Breaks."""
        raise error

    events = await told(create_agent(Scripted(replies=[calls("breaks", "{}", id="c1")]), [breaks]))
    _, broken = data(events, "tools")
    kind = type(error).__name__
    assert broken == {
        "event": "tool-error", "tool_call_id": "c1", "message": why, "code": kind,
    }  # fmt: skip


async def test_what_a_tool_tells_its_model_clients_hear_too():
    @tool
    def breaks() -> None:
        """Breaks."""
        raise QuotaError("come back tomorrow")

    async def asks_model(state: Chat) -> Chat:
        model = Scripted(replies=[calls("breaks", "{}", id="c1")])
        return {"messages": [await model.ainvoke(state["messages"])]}

    tools = ToolNode([breaks], handle_tool_errors=True)
    events = await told(graph(asks_model=asks_model, tools=tools))
    assert data(events, "tools")[1]["message"] == "come back tomorrow"


async def test_a_tools_error_that_its_node_turns_into_another_is_not_told():
    @tool
    def breaks() -> None:
        """Breaks."""
        raise QuotaError("secret")

    def node(state: Chat) -> None:
        try:
            breaks.invoke({})
        except QuotaError:
            raise ValueError("no more") from None

    events = await told(graph(node=node))
    assert data(events, "tools")[-1]["message"] == INTERNAL


async def test_a_tools_answer_is_a_message_in_the_namespace_of_its_call():
    events = await told(AGENT)
    answer = [each for name, each in events if name.namespace == ("tools:c1",)]
    assert answer[0]["role"] == "tool"
    assert answer[0]["id"] == data(events, "tools")[-1]["output"]["id"]
    assert [each["event"] for each in answer] == [
        "message-start", "content-block-start", "content-block-delta", "content-block-finish",
        "message-finish",
    ]  # fmt: skip


async def test_events_of_a_message_name_it_its_run_and_its_node():
    events = await told(graph(replies=replies))
    names = {name.node for name, _ in events if name.method == "messages"}
    (message,) = {each["id"] for each in data(events, "messages")}
    assert names == {"replies"}
    assert {each["run_id"] for each in data(events, "messages")} == {message}
    assert data(events, "values")[-1]["messages"][-1]["id"] == message


async def test_reasoning_is_a_block_of_its_own_and_usage_comes_last():
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    thinks = AIMessageChunk([{"type": "reasoning", "reasoning": "hm", "index": 0}])
    speaks = AIMessageChunk([{"type": "text", "text": "ok", "index": 1}])
    model = Scripted(replies=[[thinks, speaks, ends(usage_metadata=usage)]])

    async def node(state: Chat) -> Chat:
        return {"messages": [await model.ainvoke(state["messages"])]}

    events = data(await told(graph(node=node)), "messages")
    blocks = [each["content"] for each in events if each["event"] == "content-block-finish"]
    assert [each["type"] for each in blocks] == ["reasoning", "text"]
    assert events[-1]["usage"] == usage


async def test_what_is_not_to_be_streamed_is_not():
    async def silent(state: Chat) -> Chat:
        model = Scripted(replies=[says("secret")]).with_config(tags=["nostream"])
        await model.ainvoke(state["messages"])
        return {"messages": [{"role": "assistant", "content": "fixed", "id": "fixed"}]}

    assert data(await told(graph(silent=silent)), "messages") == []


async def test_a_node_in_a_thread_streams_as_others_do():
    def node(state: Chat) -> Chat:
        get_stream_writer()("from a thread")
        return {"messages": [Scripted(replies=[says("Hi")]).invoke(state["messages"])]}

    events = await told(graph(node=node))
    assert data(events, "custom") == [{"payload": "from a thread"}]
    assert kinds(events)[0] == "message-start"
    assert kinds(events)[-1] == "message-finish"


async def test_a_message_that_is_given_up_ends_with_an_error():
    class Breaks(Scripted):
        def _stream(self, *args: Any, **options: Any) -> Any:
            yield next(super()._stream(*args, **options))
            raise ValueError("no more")

    async def node(state: Chat) -> Chat:
        return {"messages": [await Breaks(replies=[says("hal")]).ainvoke(state["messages"])]}

    last = data(await told(graph(node=node)), "messages")[-1]
    assert (last["event"], last["message"], last["code"]) == ("error", "no more", "ValueError")


async def test_tasks_tell_no_input_which_would_be_the_state_again():
    start, end = data(await told(graph(replies=replies)), "tasks")
    assert start == {"id": end["id"], "name": "replies", "triggers": ["branch:to:replies"]}
    assert end["result"]["messages"][0]["type"] == "ai"


async def test_updates_name_their_node():
    events = await told(graph(a=lambda state: {"log": ["a"]}, b=lambda state: None))
    found = [(name.node, each) for name, each in events if name.method == "updates"]
    assert found == [("a", {"log": ["a"]}), ("b", {"value": None})]


async def test_a_subgraphs_life_and_tokens_are_told_in_its_namespace():
    events = await told(graph(sub=graph(replies=replies)))
    ends = [(name.namespace, each) for name, each in events if name.method == "lifecycle"]
    ((segment,), start), (same, end) = ends
    assert start == {
        "event": "started",
        "namespace": [segment],
        "graph_name": "sub",
        "trigger_call_id": segment.removeprefix("sub:"),
    }
    assert (same, end) == ((segment,), {"event": "completed", "graph_name": "sub"})
    spoken = {name.namespace for name, _ in events if name.method == "messages"}
    assert spoken == {(segment,)}


@pytest.mark.parametrize(("node", "why"), [(fails, "boom"), (fails_secretly, INTERNAL)])
async def test_a_subgraph_that_fails_says_why_as_clients_may_hear_it(node, why):
    events = await told(graph(sub=graph(fails=node)))
    assert data(events, "lifecycle")[-1] == {"event": "failed", "graph_name": "sub", "error": why}


async def test_questions_are_asked_once_where_they_arise_and_answered_by_id():
    child = graph(replies=replies, asks=asks)

    def spread(state: Chat) -> Any:
        return Command(goto=[Send("child", HELLO), Send("child", HELLO)])

    built = StateGraph(Chat).add_node(spread).add_node("child", child).add_edge(START, "spread")
    outer, saver = built.compile(), InMemorySaver()
    events = await told(outer, saver=saver)
    asked = [(name.namespace, each) for name, each in events if name.method == "input.requested"]
    assert [each["payload"] for _, each in asked] == ["first?", "first?"]
    assert len({namespace for namespace, _ in asked}) == 2
    assert data(events, "lifecycle")[-1] == {"event": "interrupted", "graph_name": "child"}
    assert all("__interrupt__" not in each for each in data(events, "values"))
    answers = Command(resume={each["interrupt_id"]: "yes" for _, each in asked})
    again = data(await told(outer, answers, saver=saver), "input.requested")
    assert [each["value"] for each in again] == ["second?", "second?"]


async def test_an_agent_that_a_tool_runs_is_told_with_the_call_that_caused_it():
    helper = create_agent(Scripted(replies=[says("done")]), [], name="helper")

    @tool
    async def delegate(task: str) -> str:
        """Hand a task on."""
        state = await helper.ainvoke({"messages": [{"role": "user", "content": task}]})
        return state["messages"][-1].text

    script = [calls("delegate", '{"task":"x"}', id="d1"), says("ok")]
    events = await told(create_agent(Scripted(replies=script), [delegate]))
    started, completed = data(events, "lifecycle")
    assert (started["graph_name"], completed["event"]) == ("helper", "completed")
    assert started["cause"] == {"type": "toolCall", "tool_call_id": "d1"}


async def test_a_transformer_of_the_graph_adds_a_channel_and_holds_back():
    class Progress(StreamTransformer):
        required_stream_modes = ("custom",)

        def __init__(self, scope: tuple[str, ...] = ()) -> None:
            super().__init__(scope)
            self.channel: StreamChannel[Any] = StreamChannel("progress")

        def init(self) -> dict[str, Any]:
            return {"progress": self.channel}

        def process(self, event: Any) -> bool:
            if event["method"] == "custom":
                self.channel.push(event["params"]["data"] * 2)
            return event["method"] != "custom"

    def works(state: Chat) -> None:
        get_stream_writer()(21)

    built = StateGraph(Chat).add_node(works).add_edge(START, "works")
    events = await told(built.compile(transformers=[Progress]))
    assert data(events, "custom") == [{"name": "progress", "payload": 42}]


async def test_a_run_that_is_cancelled_has_stopped_on_return():
    log: list[str] = []
    began = asyncio.Event()

    async def waits(state: Chat) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            log.append("stopped")

    run = asyncio.create_task(told(graph(sub=graph(waits=waits))))
    await began.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert log == ["stopped"]


async def test_what_no_node_may_swallow_passes_through():
    class Fenced(BaseException):
        pass

    async def node(state: Chat) -> None:
        raise Fenced

    with pytest.raises(Fenced):
        await told(graph(node=node))
