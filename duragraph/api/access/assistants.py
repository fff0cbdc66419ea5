"""Guards of assistants. A hidden one is as one that there is not: the endpoint says so."""

import attrs

from duragraph import ids
from duragraph.api.access.asking import Given, ask, changed, check, creating, limited
from duragraph.api.io import Call, Guard
from duragraph.errors import NotFound
from duragraph.pg import OPEN


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
    assistant_id = given["assistant_id"]
    hidden = NotFound(f"Assistant {assistant_id} not found")
    decision = await ask(call, "assistants", "read", {"assistant_id": assistant_id})
    await check(call, "assistant", assistant_id, decision.filter, hidden)
    return limited(call, assistants=decision.filter)


async def create(call: Call, given: Given) -> Call:
    body = given["body"]
    body = attrs.evolve(body, assistant_id=body.assistant_id or ids.new_id())
    names = ("assistant_id", "graph_id", "config", "context", "metadata", "name")
    value = {name: getattr(body, name) for name in names}
    decision = await ask(call, "assistants", "create", value)
    fields = {name: name for name in ("config", "context", "metadata", "name")}
    body = changed(body, decision.changed, **fields)
    return await creating(call, "assistant", given, body, decision.filter)


async def update(call: Call, given: Given) -> Call:
    """As `threads.update`."""
    body, assistant_id = given["body"], given["assistant_id"]
    names = ("graph_id", "config", "context", "metadata", "name")
    value = {name: getattr(body, name, None) or None for name in names}
    value |= {"assistant_id": assistant_id, "metadata": body.metadata}
    decision = await ask(call, "assistants", "update", value)
    hidden = NotFound(f"Assistant {assistant_id} not found")
    await check(call, "assistant", assistant_id, decision.filter, hidden)
    fields = {name: name for name in ("config", "context", "metadata", "name")}
    given["body"] = changed(body, decision.changed, **fields)
    return limited(call, assistants=OPEN)


async def set_latest(call: Call, given: Given) -> Call:
    """As `threads.update`."""
    assistant_id, version = given["assistant_id"], given["body"].version
    value = {"assistant_id": assistant_id, "version": version}
    decision = await ask(call, "assistants", "update", value)
    hidden = NotFound(f"Assistant {assistant_id} not found")
    await check(call, "assistant", assistant_id, decision.filter, hidden)
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
    given["body"] = changed(body, decision.changed, metadata="metadata", graph_id="graph_id")
    return limited(call, assistants=decision.filter)


async def tools(call: Call, *, limit: int, offset: int = 0) -> Call:
    """For MCP, whose tools assistants are."""
    if call.user is None:
        return call
    value: Given = {"graph_id": None, "metadata": {}, "limit": limit, "offset": offset}
    decision = await ask(call, "assistants", "search", value)
    return limited(call, assistants=decision.filter)
