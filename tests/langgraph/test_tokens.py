"""What models and writers of LangGraph graphs stream on a run's own stream, as it is made."""

import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

from tests.langgraph.models import Scripted, calls, says

pytestmark = pytest.mark.timeout(60)

HEY = {"messages": [{"role": "user", "content": "hey", "id": "q"}]}
MODEL = Scripted(replies=[says("Hi ", "you")])


def graph(**nodes: Any) -> Any:
    built = StateGraph(MessagesState).add_sequence([*nodes.items()])
    return built.set_entry_point(next(iter(nodes))).compile()


async def frames(client: Any, graph: str, *modes: str, **fields: Any) -> list[tuple[str, Any]]:
    stream = client.runs.stream(None, graph, input=HEY, stream_mode=[*modes], **fields)
    return [(part.event, part.data) async for part in stream if part.event != "metadata"]


def spoken(found: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Of each chunk its node and text."""
    chunks = [data for event, data in found if event.partition("|")[0] == "messages"]
    return [(meta["langgraph_node"], chunk["content"]) for chunk, meta in chunks]


async def invokes(state: MessagesState) -> Any:
    return {"messages": [await MODEL.ainvoke(state["messages"])]}


async def streams(state: MessagesState) -> Any:
    chunks = [chunk async for chunk in MODEL.astream(state["messages"])]
    return {"messages": [sum(chunks[1:], chunks[0])]}


async def test_a_models_tokens_are_streamed_however_it_is_called(serve, client):
    def in_a_thread(state: MessagesState) -> Any:
        return {"messages": [MODEL.invoke(state["messages"])]}

    await serve(g=graph(invokes=invokes, streams=streams, in_a_thread=in_a_thread))
    found = spoken(await frames(client, "g", "messages-tuple"))
    for node in ("invokes", "streams", "in_a_thread"):
        assert [text for at, text in found if at == node and text] == ["Hi ", "you"]


async def test_partial_messages_grow(serve, client):
    await serve(g=graph(invokes=invokes))
    found = await frames(client, "g", "messages")
    grown = [data[0]["content"] for event, data in found if event == "messages/partial"]
    assert grown[:2] == ["Hi ", "Hi you"]
    assert set(grown[2:]) <= {"Hi you"}


async def test_a_model_that_is_not_to_be_streamed_is_not(serve, client):
    async def silent(state: MessagesState) -> Any:
        await MODEL.with_config(tags=["nostream"]).ainvoke(state["messages"])
        return {"messages": []}

    await serve(g=graph(silent=silent))
    assert spoken(await frames(client, "g", "messages-tuple")) == []


async def test_a_subgraphs_tokens_show_where_subgraphs_are_asked_for(serve, client):
    await serve(g=graph(sub=graph(invokes=invokes)))
    found = await frames(client, "g", "messages-tuple", stream_subgraphs=True)
    (name,) = {event for event, _ in found if event.startswith("messages|")}
    assert name.startswith("messages|sub:")
    assert "".join(text for _, text in spoken(found)) == "Hi you"


async def test_a_tool_writes_while_it_runs(serve, client):
    @tool
    def count(to: int) -> str:
        """Counts."""
        for n in range(to):
            get_stream_writer()({"n": n})
        return "done"

    model = Scripted(replies=[calls("count", '{"to": 3}', id="c1"), says("ok")])
    await serve(g=create_agent(model, [count]))
    found = await frames(client, "g", "custom")
    assert [data for event, data in found if event == "custom"] == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_nodes_in_threads_write_at_once_and_lose_nothing(serve, client):
    meeting = threading.Barrier(4)

    def writes(name: str) -> Any:
        def node(state: MessagesState) -> None:
            write = get_stream_writer()
            meeting.wait(20)
            for n in range(100):
                write([name, n])

        return node

    built = StateGraph(MessagesState)
    for name in "abcd":
        built.add_node(name, writes(name)).add_edge(START, name)
    await serve(g=built.compile())
    found = [data for event, data in await frames(client, "g", "custom") if event == "custom"]
    for name in "abcd":
        assert [n for at, n in found if at == name] == list(range(100))
