"""Ids of messages, before clients and the record see them.

LangGraph's `add_messages` names a message that has no id only as a superstep ends. By then the
record and the frames would show it without one, and a later attempt would name it anew.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import add_messages
from langgraph.pregel import Pregel

_with_options: Any = add_messages(format="langchain-openai")  # type: ignore[call-arg]


def give(channels: frozenset[str], writes: Sequence[tuple[str, Any]]) -> None:
    """Name the messages that `writes` bring to `channels`."""
    for channel, value in writes if channels else ():
        if channel in channels:
            for message in value if isinstance(value, list) else [value]:
                if isinstance(message, BaseMessage) and message.id is None:
                    message.id = str(uuid4())


def channels(graph: object) -> frozenset[str]:
    """Those of a graph whose reducer names messages."""
    if not isinstance(graph, Pregel):
        return frozenset()
    return frozenset(
        name
        for name, channel in graph.channels.items()
        if isinstance(channel, BinaryOperatorAggregate) and _names(channel.operator)
    )


def _names(reducer: Any) -> bool:
    with_options = isinstance(reducer, partial) and reducer.func is _with_options.func
    return with_options or reducer is add_messages
