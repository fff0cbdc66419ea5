"""Guards of assistants. A hidden one is as one that there is not: the endpoint says so."""

from typing import Literal

import attrs

from duragraph import ids, pg
from duragraph.api.access.asking import Given, ask, changed, check, creating, limited
from duragraph.api.io import Call, Guard
from duragraph.errors import NotFound
from duragraph.identities import Decision
from duragraph.pg import OPEN, access

CHANGED = "config", "context", "metadata", "name"
"""What handlers may change of one."""


def one(action: str, name: str = "assistant_id") -> Guard:
    """Of endpoints of one assistant; a path parameter that is no id may be a graph's name."""

    async def guard(call: Call, given: Given) -> Call:
        return await about(call, action, ids.assistant_id(given[name]))

    return guard


async def about(call: Call, action: str, assistant_id: str) -> Call:
    decision = await ask(call, "assistants", action, {"assistant_id": assistant_id})
    return limited(call, assistants=decision.filter)


async def card(call: Call, given: Given) -> Call:
    if (name := given["query"].assistant_id) is None:
        return limited(call)
    return await about(call, "read", ids.assistant_id(name))


async def versions(call: Call, given: Given) -> Call:
    decision = await _seen(call, "read", {"assistant_id": given["assistant_id"]})
    return limited(call, assistants=decision.filter)


async def _seen(call: Call, action: str, value: Given) -> Decision:
    """Ask about the assistant `value["assistant_id"]`. Raises NotFound if it is hidden."""
    decision, assistant_id = await ask(call, "assistants", action, value), value["assistant_id"]
    hidden = NotFound(f"Assistant {assistant_id} not found")
    await check(call, "assistant", assistant_id, decision.filter, hidden)
    return decision


async def create(call: Call, given: Given) -> Call:
    body = given["body"]
    body = attrs.evolve(body, assistant_id=body.assistant_id or ids.new_id())
    value = {name: getattr(body, name) for name in ("assistant_id", "graph_id", *CHANGED)}
    decision = await ask(call, "assistants", "create", value)
    body = changed(body, decision.changed, *CHANGED)
    return await creating(call, "assistant", given, body, decision.filter)


async def update(call: Call, given: Given) -> Call:
    """As `threads.update`."""
    body = given["body"]
    value = {name: getattr(body, name) or None for name in ("graph_id", *CHANGED)}
    value |= {"assistant_id": given["assistant_id"], "metadata": body.metadata}
    decision = await _seen(call, "update", value)
    given["body"] = changed(body, decision.changed, *CHANGED)
    return limited(call, assistants=OPEN)


async def set_latest(call: Call, given: Given) -> Call:
    """As `threads.update`."""
    value = {"assistant_id": given["assistant_id"], "version": given["body"].version}
    await _seen(call, "update", value)
    return limited(call, assistants=OPEN)


async def delete(call: Call, given: Given) -> Call:
    """With its threads, as far as the handlers let them be deleted."""
    call = await about(call, "delete", given["assistant_id"])
    if not given["query"].delete_threads:
        return limited(call, threads=OPEN)
    decision = await ask(call, "threads", "delete", {"assistant_id": given["assistant_id"]})
    return limited(call, threads=decision.filter)


async def search(call: Call, given: Given) -> Call:
    body = given["body"]
    value = {
        "graph_id": body.graph_id,
        "metadata": body.metadata,
        "limit": getattr(body, "limit", 0),
        "offset": getattr(body, "offset", 0),
    }
    decision = await ask(call, "assistants", "search", value)
    given["body"] = changed(body, decision.changed, "metadata", "graph_id")
    return limited(call, assistants=decision.filter)


async def tools(call: Call, *, limit: int, offset: int = 0) -> Call:
    """For MCP, whose tools assistants are."""
    if call.user is None:
        return call
    value: Given = {"graph_id": None, "metadata": {}, "limit": limit, "offset": offset}
    decision = await ask(call, "assistants", "search", value)
    return limited(call, assistants=decision.filter)


async def kind(call: Call, assistant_id: str) -> Literal["system", "own"] | None:
    """System assistants are everybody's; None if there is no such assistant."""
    async with pg.tenant(call.deps.api, call.organization_id) as conn:
        graph_id = await access.graph_of(conn, call.organization_id, assistant_id)
    if graph_id is None:
        return None
    return "system" if assistant_id == ids.system_assistant_id(graph_id) else "own"
