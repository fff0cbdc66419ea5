"""Teams of agents: a model hands the conversation over, or gives another graph a task.

`handoff` jumps to another node of the graph, an agent or a subgraph; `as_tool` is a child run.
"""

import re
from collections.abc import Mapping
from typing import Any

from duragraph_worker import coerce
from duragraph_worker.command import Command
from duragraph_worker.llm.tools import Tool, tool
from duragraph_worker.state import MESSAGES


def handoff(
    to: str, *, description: str | None = None, update: Mapping[str, Any] | None = None
) -> Tool:
    """A tool with which a model hands over to the node `to`, which then sees the conversation.

    `update` is written to the state on the way. The model's turn is over: other tools that it
    has called with this one are run before.
    """

    def hand_over() -> Command[str]:
        return Command(goto=to, update=update)

    told = description or f"Hand the conversation over to {to}."
    return tool(told, name=f"transfer_to_{_spelled(to)}", goto=[to])(hand_over)


def tool_of(
    graph: Any, name: str | None, *, description: str | None, input: str, output: str | None
) -> Tool:
    """See `App.as_tool`."""
    shape, channels = graph.blueprint.shape, graph.blueprint.channels
    for key in (input, output):
        if channels is not None and key is not None and key not in channels:
            raise TypeError(
                f"graph {shape.id!r} has no key {key!r}: name others with input= and output=; "
                f"it has {', '.join(channels)}"
            )

    async def give(task: str, ctx: Any) -> Any:
        given = [{"role": "user", "content": task}] if input == MESSAGES else task
        return _answer(await ctx.run(graph, {input: given}), output)

    told = description or shape.description or f"Give {shape.id} a task, in full."
    return tool(told, name=name or _spelled(shape.id))(give)


def _answer(state: Mapping[str, Any], output: str | None) -> Any:
    if output is not None:
        return state.get(output)
    messages = state.get(MESSAGES)
    return coerce.message(messages[-1]).text if messages else state


def _spelled(name: str) -> str:
    """As models' providers let tools be called."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)
