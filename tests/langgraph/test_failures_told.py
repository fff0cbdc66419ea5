"""A node that raises: masked for clients, whole in the worker's log."""

import logging

from langgraph.graph import START, MessagesState, StateGraph


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
