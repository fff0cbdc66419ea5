"""LangGraph graphs as MCP's tools and as A2A's agents, through the official clients."""

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import interrupt
from mcp import Client

from tests.integration.test_a2a import agent, said, state, text, told
from tests.langgraph.models import Scripted, calls, says

pytestmark = pytest.mark.timeout(60)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


REPLIES = [calls("weather", '{"city": "Rome"}', id="c1"), says("It is ", "sunny.")]


def asks(state: MessagesState):
    return {"messages": [("ai", f"you said {interrupt('which?')}")]}


def fails(state: MessagesState):
    raise ValueError("boom")


def alone(node):
    return StateGraph(MessagesState).add_node("node", node).set_entry_point("node").compile()


@pytest.fixture
async def served(serve, plane):
    agent = create_agent(Scripted(replies=REPLIES), [weather])
    await serve(agent=agent, asks=alone(asks), fails=alone(fails))
    return plane


async def test_a_graph_is_a_tool_that_answers_with_its_output(served):
    async with Client(f"{served.url}/mcp") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"agent", "asks", "fails"}
        assert "messages" in tools["agent"].input_schema["properties"]
        result = await client.call_tool("agent", {"messages": "What weather?"})
        assert not result.is_error
        types = [message["type"] for message in result.structured_content["messages"]]
        assert types == ["human", "ai", "tool", "ai"]
        failed = await client.call_tool("fails", {"messages": "hi"})
        assert (failed.is_error, failed.content[0].text) == (True, "ValueError: boom")


@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_a_message_to_an_agent_is_answered(served, version):
    async with agent(served, "agent", version=version) as client:
        task = await told(client, "What weather?")
    assert state(task) == "COMPLETED"
    assert text(task.artifacts[0].parts) == "It is sunny."


async def test_its_tokens_are_streamed(served):
    async with agent(served, "agent", streaming=True) as client:
        answers = await said(client, "What weather?")
    words = [
        text(answer.status_update.status.message.parts)
        for answer in answers
        if answer.WhichOneof("payload") == "status_update"
    ]
    assert [word for word in words if word.startswith("It is ")][-1] == "It is sunny."
    assert state(answers[-1].status_update) == "COMPLETED"


async def test_its_question_is_answered_in_the_same_task(served):
    async with agent(served, "asks") as client:
        asked = await told(client, "ask")
        assert state(asked) == "INPUT_REQUIRED"
        answered = await told(client, "red", task=asked)
    assert (answered.id, state(answered)) == (asked.id, "COMPLETED")
    assert text(answered.artifacts[0].parts) == "you said red"
