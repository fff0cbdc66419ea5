"""LangGraph's RemoteGraph: our graphs as if they were local ones, alone and inside of others."""

import operator
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[clients]'")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command, Interrupt
from langgraph_sdk import get_client, get_sync_client

from tests.conformance.sdk_cases import APPROVAL, DECISION, HELLO, QUESTIONS, TAGS, TITLE

pytestmark = pytest.mark.clients

ODD = {"number": 3, "parity": "odd", "seen": "saw 3, odd"}


def a_thread() -> Any:
    return {"configurable": {"thread_id": str(uuid4())}}


@pytest.fixture
async def remote(either_url: str) -> AsyncIterator[Any]:
    """Makes graphs that share clients, which are closed: RemoteGraph closes none of its own."""
    with get_sync_client(url=either_url) as sync_client:
        async with get_client(url=either_url) as client:
            yield partial(RemoteGraph, client=client, sync_client=sync_client)


def test_it_is_invoked_and_streamed(remote: Any) -> None:
    router = remote("router")
    assert router.invoke({"number": 3}, a_thread()) == ODD
    updates = list(router.stream({"number": 3}, a_thread(), stream_mode="updates"))
    assert updates == [
        {"measure": {"seen": "saw 3"}},
        {"route": None},
        {"odd": {"parity": "odd"}},
        {"finish": {"seen": "saw 3, odd"}},
    ]
    both = router.stream({"number": 3}, a_thread(), stream_mode=["updates", "values"])
    modes = [part.event for part in both]
    assert modes == ["values", *["updates", "values"], "updates", *["updates", "values"] * 2]


async def test_its_async_half_is_the_same(remote: Any) -> None:
    router, thread = remote("router"), a_thread()
    assert await router.ainvoke({"number": 3}, thread) == ODD
    chunks = remote("tokens").astream(HELLO, a_thread(), stream_mode="messages")
    assert "".join([chunk["content"] async for chunk, _ in chunks]) == "Hi you"
    state = await router.aget_state(thread)
    assert state.values == ODD
    assert await anext(router.aget_state_history(thread)) == state
    changed = await router.aupdate_state(thread, {"number": 8}, as_node="measure")
    assert (await router.aget_state(changed)).next == ("route",)


def test_subgraphs_stream_under_their_namespace(remote: Any) -> None:
    parts = remote("subgraph").stream(
        {"topic": "tea"}, a_thread(), stream_mode="updates", subgraphs=True
    )
    seen = [([name.split(":")[0] for name in namespace], *update) for namespace, update in parts]
    assert seen == [
        ([], "prepare"),
        (["research"], "look"),
        (["research"], "confirm"),
        ([], "research"),
        ([], "conclude"),
    ]


def test_its_state_is_read_changed_and_travelled(remote: Any) -> None:
    router, thread = remote("router"), a_thread()
    router.invoke({"number": 3}, thread)
    history = list(router.get_state_history(thread))
    assert [state.next for state in history] == [
        (),
        ("finish",),
        ("odd",),
        ("route",),
        ("measure",),
        ("__start__",),
    ]
    assert router.get_state(history[2].config) == history[2]
    older = list(router.get_state_history(thread, limit=2, before=history[1].config))
    assert older == history[2:4]
    changed = router.update_state(history[3].config, {"number": 8}, as_node="measure")
    assert router.invoke(None, changed)["parity"] == "even"


def test_it_asks_and_is_answered(remote: Any) -> None:
    article, thread = remote("interrupt"), a_thread()
    asked = article.invoke({"title": ""}, thread)
    assert [each["value"] for each in asked["__interrupt__"]] == [QUESTIONS[0]]
    assert [each.value for each in article.get_state(thread).interrupts] == [QUESTIONS[0]]
    asked = article.invoke(Command(resume=TITLE), thread)
    assert [each["value"] for each in asked["__interrupt__"]] == [QUESTIONS[1]]
    asked = article.invoke(Command(resume=TAGS), thread)
    assert [each["value"] for each in asked["__interrupt__"]] == [APPROVAL]
    assert article.invoke(Command(resume=DECISION), thread)["published"] == TITLE


def test_its_failures_are_raised_and_its_drawing_is_drawn(remote: Any) -> None:
    with pytest.raises(RemoteException, match="boom"):
        remote("error").invoke({"kind": "value"}, a_thread())
    names = {node.name for node in remote("router").get_graph().nodes.values()}
    assert {"measure", "route", "even", "odd", "finish"} <= names


class Parent(TypedDict, total=False):
    topic: str
    ask: bool
    notes: list[str]
    answer: str
    log: Annotated[list[str], operator.add]


@pytest.fixture
def parent(remote: Any) -> Any:
    """A local graph with one of ours for a node."""
    research = remote("subgraph", name="remote")
    graph = StateGraph(Parent)
    graph.add_node("before", lambda state: {"log": ["before"]})
    graph.add_node("remote", research)
    graph.add_node("after", lambda state: {"log": ["after"]})
    graph.add_edge(START, "before").add_edge("before", "remote").add_edge("remote", "after")
    return graph.compile(checkpointer=InMemorySaver())


def test_it_is_a_node_of_a_local_graph(parent: Any) -> None:
    parts = list(parent.stream({"topic": "tea"}, a_thread(), subgraphs=True, stream_mode="updates"))
    seen = [([name.split(":")[0] for name in namespace], *update) for namespace, update in parts]
    assert seen == [
        ([], "before"),
        (["remote"], "prepare"),
        (["remote", "research"], "look"),
        (["remote", "research"], "confirm"),
        (["remote"], "research"),
        (["remote"], "conclude"),
        ([], "remote"),
        ([], "after"),
    ]
    assert parts[-2][1]["remote"]["answer"] == "looked at tea, enough"


def test_what_it_asks_as_a_node_stops_its_parent(parent: Any, remote: Any) -> None:
    thread = a_thread()
    asked = parent.invoke({"topic": "tea", "ask": True}, thread)["__interrupt__"]
    assert [each.value for each in asked] == ["enough?"]
    # RemoteGraph keeps answers to itself: going on alone asks the same again.
    again: list[Interrupt] = parent.invoke(Command(resume="plenty"), thread)["__interrupt__"]
    assert again == asked
    remote("subgraph").invoke(Command(resume="plenty"), thread)
    done = parent.invoke(Command(resume="plenty"), thread)
    assert (done["answer"], done["log"]) == ("looked at tea, plenty", ["before", "after"])
