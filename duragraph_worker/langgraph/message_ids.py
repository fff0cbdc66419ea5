"""Ids of messages, before clients and the record see them.

LangGraph's `add_messages` names a message that has no id only as a superstep ends. By then the
record and the frames would show it without one, and a later attempt would name it anew.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from langchain_core.messages import BaseMessage
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import add_messages
from langgraph.pregel import Pregel

_with_options: Any = add_messages(format="langchain-openai")  # type: ignore[call-arg]

_known: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


def give(graph: object, writes: Sequence[tuple[str, Any]]) -> None:
    """Name the messages that `writes` bring to channels whose reducer would."""
    named = _channels(graph)
    for channel, value in writes if named else ():
        if channel in named:
            for message in value if isinstance(value, list) else [value]:
                if isinstance(message, BaseMessage) and message.id is None:
                    message.id = str(uuid4())


def _channels(graph: object) -> frozenset[str]:
    if not isinstance(graph, Pregel):
        return frozenset()
    if graph not in _known:
        _known[graph] = frozenset(
            name
            for name, channel in graph.channels.items()
            if isinstance(channel, BinaryOperatorAggregate) and _names(channel.operator)
        )
    return _known[graph]


def _names(reducer: Any) -> bool:
    with_options = isinstance(reducer, partial) and reducer.func is _with_options.func
    return with_options or reducer is add_messages
