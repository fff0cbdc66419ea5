"""LangGraph graphs through the official client's threads, over both of its transports."""

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.tools import ToolRuntime
from langchain_core.messages import AnyMessage
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

from tests.langgraph.models import Scripted, calls, says

pytestmark = [pytest.mark.timeout(30), pytest.mark.parametrize("transport", ["sse", "websocket"])]

HEY = {"messages": [{"role": "user", "content": "hey", "id": "q"}]}
REPLIES = [calls("weather", '{"city":', '"Rome"}', id="c1"), says("It is ", "sunny")]


class Chat(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]


@tool
async def weather(city: str, runtime: ToolRuntime) -> str:
    """The weather of a city."""
    runtime.emit_output_delta("sun")
    runtime.emit_output_delta("ny")
    return f"sunny in {city}"


@tool
def broken(city: str) -> str:
    """Fails."""
    raise ValueError("out of order")


async def replies(state: Chat) -> Chat:
    return {"messages": [await Scripted(replies=[says("Hi ", "you")]).ainvoke(state["messages"])]}


def asks(state: Chat) -> Chat:
    get_stream_writer()({"percent": 50})
    return {"log": [interrupt("first?"), interrupt("second?")]}


def in_a_row(**nodes: Any) -> Any:
    return StateGraph(Chat).add_sequence([*nodes.items()]).set_entry_point(next(iter(nodes)))


asking = in_a_row(replies=replies, asks=asks).compile()
GRAPHS = {
    "agent": create_agent(Scripted(replies=REPLIES), [weather]),
    "breaks": create_agent(Scripted(replies=[calls("broken", '{"city":"x"}', id="c1")]), [broken]),
    "careful": create_agent(
        Scripted(replies=REPLIES),
        [weather],
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"weather": True})],
    ),
    "asking": asking,
    "deep": in_a_row(sub=asking).compile(),
    "outer": in_a_row(
        sub=in_a_row(replies=replies).compile(), end=lambda state: {"log": ["end"]}
    ).compile(),
}


@pytest.fixture
async def speak(serve, client, transport):
    """Opens a thread's stream to one of the graphs."""
    await serve(**GRAPHS)

    def opened(graph: str, thread_id: str | None = None) -> Any:
        return client.threads.stream(thread_id, assistant_id=graph, transport=transport)

    return opened


async def gathered(stream: Any) -> list[Any]:
    return [each async for each in stream]


async def question(thread: Any, number: int) -> Any:
    """Once the client, which watches by itself, has heard of so many."""
    for _ in range(1000):
        if thread.interrupted and len(thread.interrupts) == number:
            return thread.interrupts[-1]
        await asyncio.sleep(0.01)
    raise AssertionError(f"no question number {number}")


async def test_tokens_come_as_they_are_made_and_the_output_at_the_end(speak):
    async with speak("agent") as thread:
        await thread.run.start(input=HEY)
        asks, answers = await gathered(thread.messages)
        assert await gathered(answers.text) == ["It is ", "sunny"]
        assert (await asks.output).tool_calls == [
            {"name": "weather", "args": {"city": "Rome"}, "id": "c1", "type": "tool_call"}
        ]
        output = await thread.output
    types = [message["type"] for message in output["messages"]]
    assert types == ["human", "ai", "tool", "ai"]
    assert output["messages"][-1]["id"] == (await answers.output).id


async def test_a_tool_has_a_handle_with_input_deltas_and_output(speak):
    async with speak("agent") as thread:
        await thread.run.start(input=HEY)
        (handle,) = await gathered(thread.tool_calls)
        assert (handle.name, handle.input) == ("weather", {"city": "Rome"})
        assert await gathered(handle.deltas) == ["sun", "ny"]
        assert (await handle.output)["content"] == "sunny in Rome"


async def test_values_follow_each_step(speak):
    async with speak("agent") as thread:
        await thread.run.start(input=HEY)
        # The client puts the state as it stands before them.
        _, *counts = [len(values.get("messages", [])) async for values in thread.values]
    assert counts == [1, 2, 3, 4]


async def test_a_tool_that_breaks_fails_its_handle_and_the_run(speak):
    async with speak("breaks") as thread:
        await thread.run.start(input=HEY)
        (handle,) = await gathered(thread.tool_calls)
        with pytest.raises(Exception, match="out of order"):
            await handle.output
        with pytest.raises(Exception, match="out of order"):
            await thread.output


async def test_questions_are_answered_one_after_another(speak):
    async with speak("asking") as thread:
        await thread.run.start(input=HEY)
        asked = []
        for answer in ("a", "b"):
            await gathered(thread.values)
            last = await question(thread, len(asked) + 1)
            asked.append(last["value"])
            await thread.run.respond(answer, interrupt_id=last["interrupt_id"])
            thread.interrupted = False
        assert (await thread.output)["log"] == ["a", "b"]
    assert asked == ["first?", "second?"]


async def test_a_persons_yes_lets_a_tool_run(speak):
    async with speak("careful") as thread:
        await thread.run.start(input=HEY)
        asked = await question(thread, 1)
        assert asked["value"]["action_requests"][0]["name"] == "weather"
        yes = {"decisions": [{"type": "approve"}]}
        await thread.run.respond(yes, interrupt_id=asked["interrupt_id"])
        output = await thread.output
    assert [m["type"] for m in output["messages"]] == ["human", "ai", "tool", "ai"]


async def test_subgraphs_are_found_with_how_they_ended(speak):
    async with speak("outer") as thread:
        await thread.run.start(input=HEY)
        (child,) = await gathered(thread.subgraphs)
        assert (await thread.output)["log"] == ["end"]
    assert (child.graph_name, child.status) == ("sub", "completed")
    assert child.path[0].startswith("sub:")


async def test_a_question_says_where_it_arose(speak):
    async with speak("deep") as thread:
        await thread.run.start(input=HEY)
        asked = await question(thread, 1)
        assert asked["namespace"][0].startswith("sub:")
