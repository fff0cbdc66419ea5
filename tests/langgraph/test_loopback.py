"""Graphs that ask the server they run on, by `get_client()` with no URL."""

import asyncio
from typing import Any

import httpx
import pytest
from langgraph.graph import START, StateGraph
from langgraph_sdk import get_client
from typing_extensions import TypedDict

SAID: dict[str, Any] = {"said": ["hello"]}


class Said(TypedDict, total=False):
    said: list[str]


def graph(node: Any) -> Any:
    return StateGraph(Said).add_node("only", node).add_edge(START, "only").compile()


def shouts(state: Said) -> Said:
    return {"said": [text.upper() for text in state["said"]]}


async def waits(state: Said) -> Any:
    """For another graph's run, by a client of its own."""
    return await get_client().runs.wait(None, "shouts", input=state)


KEPT = get_client()


async def streams(state: Said) -> Said:
    """Another graph's run, by a client that was made before there was a worker."""
    parts = [part async for part in KEPT.runs.stream(None, "shouts", input=state)]
    return {"said": [part.event for part in parts]}


def in_a_thread(state: Said) -> Any:
    """As code of sync nodes does it."""
    return asyncio.run(waits(state))


@pytest.mark.parametrize(
    ("node", "said"),
    [(waits, ["HELLO"]), (streams, ["metadata", "values", "values"]), (in_a_thread, ["HELLO"])],
)
async def test_a_graph_asks_its_own_server(client, serve, node, said):
    await serve(asks=graph(node), shouts=graph(shouts))
    for _ in range(2):
        assert await client.runs.wait(None, "asks", input=SAID) == {"said": said}


async def test_outside_a_run_it_says_what_to_do():
    with pytest.raises(httpx.ConnectError, match="name the server's"):
        await get_client().assistants.search()
