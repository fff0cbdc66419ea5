"""What the plane and its clients get to know of a compiled LangGraph graph: schemas and drawings.

All as LangGraph's own server answers it. What can't be derived is null, and said in the log.
"""

import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

from langchain_core.utils.pydantic import create_model_v2
from langgraph.pregel.protocol import PregelProtocol
from pydantic import TypeAdapter

from duragraph_worker.langgraph.terms import Compiled

Described = PregelProtocol[Any, Any, Any, Any]

DEEPEST = 16
"""Subgraphs are unfolded no further: a graph may contain itself."""
_OF_RUNS = "__pregel_checkpointer", "__pregel_store", "checkpoint_id", "checkpoint_ns", "thread_id"
"""What a config holds beside what its schema is for."""

log = logging.getLogger(__name__)


def of_graph(graph: Described) -> dict[str, Any]:
    """The JSON Schemas of `GraphSpec`, by its names."""
    found: dict[str, Callable[[Any], Any]] = {
        "input_schema": lambda graph: graph.get_input_jsonschema(),
        "output_schema": lambda graph: graph.get_output_jsonschema(),
        "state_schema": _state,
        "config_schema": _config,
        "context_schema": lambda graph: graph.get_context_jsonschema(),
    }
    return {name: _derived(name, derive, graph) for name, derive in found.items()}


def of_subgraphs(graph: Compiled) -> dict[str, Any]:
    """The same of each subgraph, by its namespace: `outer|inner` for nested ones."""
    return {ns: of_graph(below) for ns, below in graph.get_subgraphs(recurse=True)}


async def drawing(graph: Compiled, *, depth: int = 0) -> dict[str, Any]:
    """Nodes and edges, subgraphs unfolded so deep."""
    try:
        drawn = (await graph.aget_graph(xray=depth or False)).to_json()
    except Exception as error:  # noqa: BLE001 - LangGraph draws by running it: users' code may raise
        extra = {"graph": graph.get_name(), "why": f"{error!r}"}
        log.warning("a graph can't be drawn", extra=extra)
        return {"nodes": [], "edges": []}
    for node in drawn["nodes"]:
        if isinstance(data := node.get("data"), dict):
            data.pop("id", None)
    return drawn


async def unfolded(graph: Compiled) -> list[dict[str, Any]]:
    """Drawings one level deep, two, …, until nothing is left to unfold."""
    drawn = [await drawing(graph)]
    for depth in itertools.count(1):
        deeper = await drawing(graph, depth=depth)
        if depth > DEEPEST or deeper == drawn[-1]:
            break
        drawn.append(deeper)
    return drawn[1:]


def _derived(name: str, derive: Callable[[Any], Any], graph: Described) -> Any:
    try:
        schema = derive(graph)
        json.dumps(schema)
    except Exception as error:  # noqa: BLE001 - a user's types may raise anything: it is null then
        extra = {"graph": graph.get_name(), "schema": name, "why": f"{error}"}
        log.warning("a schema can't be derived of a graph", extra=extra)
        return None
    return schema


def _state(graph: Compiled) -> dict[str, Any]:
    fields = {name: (_shown(name, graph), None) for name in graph.stream_channels_list}
    return create_model_v2(graph.get_name("State"), field_definitions=fields).model_json_schema()


def _shown(name: str, graph: Compiled) -> Any:
    """What the channel takes, or Any where that has no JSON Schema."""
    channel = graph.channels[name]
    try:
        update_type = channel.UpdateType  # type: ignore[union-attr]
        create_model_v2(name, root=(update_type, None)).model_json_schema()
    except Exception:  # noqa: BLE001 - as above; clients see any value there
        return Any
    return update_type


def _config(graph: Compiled) -> dict[str, Any]:
    if graph.context_schema is None:
        return {}
    schema = TypeAdapter(graph.context_schema).json_schema()
    for name in _OF_RUNS:
        schema["properties"].pop(name, None)
    return schema
