"""Guards of threads: whose they are is in their metadata, as auth handlers have written it."""

from collections.abc import AsyncIterator

import attrs

from duragraph import ids
from duragraph.api.access.asking import Given, ask, changed, check, creating, limited
from duragraph.api.fields import no_thread
from duragraph.api.io import Call, Guard
from duragraph.errors import NotFound
from duragraph.frames import Batch
from duragraph.pg import OPEN, access


async def about(call: Call, action: str, value: Given, *, absent: bool = False) -> Call:
    """Ask about the thread `value["thread_id"]`. Raises NotFound if it is hidden.

    `absent`: that there is no such thread is for the endpoint to say, which sees none that is
    hidden.
    """
    decision = await ask(call, "threads", action, value)
    thread_id = value["thread_id"]
    if not absent:
        await check(call, "thread", thread_id, decision.filter, no_thread(thread_id))
    return limited(call, threads=decision.filter)


def one(action: str, *names: str, absent: bool = False) -> Guard:
    """Of endpoints of one thread; `names` are further path parameters that the value has."""

    async def guard(call: Call, given: Given) -> Call:
        value = {name: given[name] for name in (*names, "thread_id")}
        return await about(call, action, value, absent=absent)

    return guard


async def list_runs(call: Call, given: Given) -> Call:
    thread_id = given["thread_id"]
    call = await about(call, "read", {"thread_id": thread_id})
    decision = await ask(call, "threads", "search", {"thread_id": thread_id, "metadata": {}})
    return limited(call, threads=decision.filter)


async def create(call: Call, given: Given) -> Call:
    body = given["body"]
    body = attrs.evolve(body, thread_id=body.thread_id or ids.new_id())
    names = ("thread_id", "metadata", "if_exists")
    value = {name: getattr(body, name) for name in names}
    decision = await ask(call, "threads", "create", value)
    body = changed(body, decision.changed, "metadata")
    return await creating(call, "thread", given, body, decision.filter)


async def update(call: Call, given: Given) -> Call:
    """What is permitted is looked at before: afterwards it may be somebody else's."""
    body, thread_id = given["body"], given["thread_id"]
    value = {"thread_id": thread_id, "metadata": body.metadata or {}}
    decision = await ask(call, "threads", "update", value)
    await check(call, "thread", thread_id, decision.filter, no_thread(thread_id))
    given["body"] = changed(body, decision.changed, "metadata")
    return limited(call, threads=OPEN)


async def update_state(call: Call, given: Given) -> Call:
    value = {"thread_id": given["thread_id"]}
    call = await about(call, "update", value)
    return await about(call, "read", value)


async def copy(call: Call, given: Given) -> Call:
    """What is hidden is a conflict, as what is not there. Its copy is seen by whom it was."""
    call = await about(call, "read", {"thread_id": given["thread_id"]}, absent=True)
    await ask(call, "threads", "create", {"thread_id": ids.new_id()})
    return call


async def search(call: Call, given: Given) -> Call:
    body = given["body"]
    value = {
        "metadata": body.metadata,
        "values": body.values or {},
        "status": body.status,
        "limit": getattr(body, "limit", 0),
        "offset": getattr(body, "offset", 0),
    }
    decision = await ask(call, "threads", "search", value)
    given["body"] = changed(body, decision.changed, "metadata", "values", "status")
    return limited(call, threads=decision.filter)


async def prune(call: Call, given: Given) -> Call:
    thread_ids = given["body"].thread_ids
    decision = await ask(call, "threads", "delete", {"thread_ids": thread_ids})
    call = limited(call, threads=decision.filter)
    if decision.filter != OPEN:
        async with call.tenant() as conn:
            seen = await access.seen_threads(conn, call.organization_id, thread_ids)
        if len(seen) < len({each.lower() for each in thread_ids}):
            raise NotFound("At least one thread not found or not authorized")
    return call


async def reading(call: Call, action: str, thread_id: str) -> Call:
    """For endpoints that learn of the thread from what they are sent; it may be hidden."""
    if call.user is None:
        return call
    return await about(call, action, {"thread_id": thread_id}, absent=True)


async def listing(call: Call) -> Call:
    """For endpoints that list what is on threads."""
    if call.user is None:
        return call
    return limited(call, threads=(await ask(call, "threads", "search", {})).filter)


async def sees(call: Call, thread_id: str) -> bool:
    async with call.tenant() as conn:
        return await access.sees(conn, call.organization_id, "thread", thread_id)


def watched(call: Call, thread_id: str, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """A thread's batches for as long as its user sees it: its owner, or all of it, may change."""
    if call.limits is None or call.limits.threads == OPEN:
        return batches
    return _watched(call, thread_id, batches)


async def _watched(
    call: Call, thread_id: str, batches: AsyncIterator[Batch]
) -> AsyncIterator[Batch]:
    run_id = None
    async for batch in batches:
        if batch.run_id != run_id and not await sees(call, thread_id):
            return
        run_id = batch.run_id
        yield batch
