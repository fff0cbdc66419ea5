"""Graphs as Python classes: write, test and run them here, or serve them to a control plane.

Public names only. What needs a network is imported when it is first asked for.

    authoring/     decorated classes become checked plans
    plan.py        what the executor runs: plain data
    executor/      supersteps, channels, checkpoints, interrupts, frames; the same locally and
                   on a worker: execute.py begins and ends a run, execution.py runs one graph
    record.py      where the executor puts its progress
    local/         runs with no server
    served.py      a graph as a worker serves it, whoever wrote it
    process/       the worker: polls, attempts, reports, leases
    langgraph/     LangGraph's graphs, and what they need around them: an extra
    llm/           models and tools; vendors are in integrations/
    vectors/       stores of documents, embeddings, files and pages; vendors are in integrations/
    knowledge/     graphs of facts; vendors are in integrations/
    clients.py     a vendor's connections; retrying.py, replies.py, batches.py: how it is asked
    threads.py     where sync bodies, effects and tools run
    extras.py      what is said where an extra is missing
    state.py       channels of declared types; schema.py: their JSON Schemas
    messages.py    what conversations hold; coerce.py, partial_json.py: how it is read
    command.py     what nodes return beside updates; serialize.py: how all of it is written
    testing.py     a model that says what a test told it; example.py: the graph of `dev`
"""

import importlib
from typing import TYPE_CHECKING, Any

from duragraph_worker.authoring.blueprint import GraphError
from duragraph_worker.authoring.graph import App, Graph
from duragraph_worker.authoring.nodes import (
    entrypoint,
    human_node,
    llm_node,
    node,
    router_node,
    tool_node,
)
from duragraph_worker.authoring.store_nodes import knowledge_node, vector_node
from duragraph_worker.authoring.teams import handoff
from duragraph_worker.command import Command, Send
from duragraph_worker.llm.cache import Cache
from duragraph_worker.llm.providers import register_provider
from duragraph_worker.llm.tools import tool
from duragraph_worker.messages import (
    REMOVE_ALL,
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from duragraph_worker.plan import END, START, Retry
from duragraph_worker.state import add_messages

if TYPE_CHECKING:
    from duragraph_worker.process.worker import Worker

__all__ = [
    "END",
    "REMOVE_ALL",
    "START",
    "AIMessage",
    "AIMessageChunk",
    "App",
    "Cache",
    "Command",
    "Graph",
    "GraphError",
    "HumanMessage",
    "Message",
    "RemoveMessage",
    "Retry",
    "Send",
    "SystemMessage",
    "ToolMessage",
    "Worker",
    "add_messages",
    "entrypoint",
    "handoff",
    "human_node",
    "knowledge_node",
    "llm_node",
    "node",
    "register_provider",
    "router_node",
    "tool",
    "tool_node",
    "vector_node",
]

_LAZY = {"Worker": "duragraph_worker.process.worker"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
