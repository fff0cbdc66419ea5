"""Agents of a team, each with a model that follows a script, and graphs that they make up."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from duragraph_worker import Graph, entrypoint, handoff, llm_node, register_provider
from duragraph_worker.llm.providers import Request, unregister_provider
from duragraph_worker.messages import AIMessage, AIMessageChunk
from duragraph_worker.testing import ScriptedLLM


class Cast:
    """Each model of the provider `cast` follows a script of its own."""

    errors: tuple[type[Exception], ...] = ()

    def __init__(self, **scripts: list[Any]) -> None:
        self.roles = {name: ScriptedLLM(script) for name, script in scripts.items()}

    async def complete(self, request: Request) -> AIMessage:
        return await self.roles[request.model].complete(request)

    def stream(self, request: Request) -> AsyncIterator[AIMessageChunk]:
        return self.roles[request.model].stream(request)

    def asked(self, name: str) -> list[str]:
        """The last message of each question."""
        return [request.messages[-1].text for request in self.roles[name].requests]


@contextmanager
def cast(**scripts: list[Any]) -> Iterator[Cast]:
    """Models `cast/<name>` say these lines while the block runs."""
    made = Cast(**scripts)
    register_provider("cast", made)
    try:
        yield made
    finally:
        unregister_provider("cast")


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": args, "id": f"c{at}", "type": "tool_call"}
            for at, (name, args) in enumerate(wanted)
        ],
    )


@Graph(id="desk")
class Desk:
    """Two agents that hand over to each other."""

    @entrypoint
    @llm_node(model="cast/triage", tools=[handoff("repairs", update={"case": 7})])
    def triage(self, state): ...

    @llm_node(model="cast/repairs", tools=[handoff("triage")])
    def repairs(self, state): ...


@Graph(id="researcher")
class Researcher:
    """Finds things out."""

    @llm_node(model="cast/researcher")
    async def look(self, state, llm, ctx):
        await ctx.sleep(seconds=0.01)
        return {"messages": [await llm(state["messages"])]}


@Graph(id="boss")
class Boss:
    @llm_node(model="cast/boss", tools=[Researcher.as_tool()])
    def lead(self, state): ...
