"""A node that raises: masked for clients, whole in the worker's log."""

import asyncio
import logging

from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

MANY_TURNS = 200
"""Of the loop: what others have begun meanwhile is done."""


class PaymentRefused(Exception):
    pass


def pay(state):
    raise PaymentRefused("card 1234")


async def test_the_log_has_the_users_frames_and_the_message(client, serve, caplog):
    caplog.set_level(logging.WARNING)
    await serve(shop=StateGraph(MessagesState).add_node(pay).add_edge(START, "pay").compile())
    told = await client.runs.wait(None, "shop", input={"messages": []}, raise_error=False)
    assert "card" not in f"{told}"
    (record,) = [each for each in caplog.records if each.message == "a run failed"]
    assert record.graph == "shop"
    assert "PaymentRefused: card 1234\n" in record.exception
    assert 'raise PaymentRefused("card 1234")' in record.exception
    assert "pregel" not in record.exception


class Answer(TypedDict):
    answer: str


async def give(state):
    return {"answer": "mine"}


async def fail_last(state):
    for _ in range(MANY_TURNS):
        await asyncio.sleep(0)
    raise ValueError("no way")


async def test_what_other_nodes_wrote_hides_no_failure(client, serve, caplog):
    """Two answers at once are an error, too, which only shows as the state is read."""
    builder = StateGraph(Answer).add_node("one", give).add_node("two", give).add_node(fail_last)
    for name in ("one", "two", "fail_last"):
        builder.add_edge(START, name)
    await serve(shop=builder.compile())
    told = await client.runs.wait(None, "shop", input={"answer": ""}, raise_error=False)
    assert told["__error__"]["error"] == "ValueError"
    assert "what finished beside a failed node is not shown" in caplog.messages
