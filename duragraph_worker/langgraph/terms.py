"""LangGraph's terms that rooms here share: a graph, and the parts of what it streams."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from langgraph.pregel import Pregel

Compiled: TypeAlias = Pregel[Any, Any, Any, Any]
Namespace: TypeAlias = tuple[str, ...]
Part: TypeAlias = tuple[Namespace, str, Any]
"""Namespace, mode and payload, as `astream` has them with several modes and subgraphs."""

INTERRUPT = "__interrupt__"
"""The channel, and the key of a payload, of questions that wait."""


def checkpoint_id(config: Mapping[str, Any]) -> str:
    return str(config["configurable"]["checkpoint_id"])
