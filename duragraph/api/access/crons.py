"""Guards of crons, which have metadata of their own, and whose thread must be seen too."""

from typing import Any

import msgspec

from duragraph import ids
from duragraph.api.access import assistants, threads
from duragraph.api.access.asking import Given, ask, changed, check, limited
from duragraph.api.io import Call, Guard
from duragraph.errors import NotFound
from duragraph.pg import OPEN


def one(action: str) -> Guard:
    """Of endpoints of one cron."""

    async def guard(call: Call, given: Given) -> Call:
        value = {"cron_id": given["cron_id"]}
        decision = await ask(call, "crons", action, value)
        return limited(call, crons=decision.filter, threads=OPEN)

    return guard


async def create(call: Call, given: Given) -> Call:
    """The endpoint does not find what is hidden of the assistant and the thread."""
    assert call.user is not None
    body, thread_id = given["body"], given.get("thread_id")
    value = {
        "payload": _payload(body),
        "schedule": body.schedule,
        "cron_id": None,
        "thread_id": thread_id,
        "user_id": call.user.identity,
        "end_time": _given(body.end_time),
        "metadata": _given(body.metadata) or {},
    }
    decision = await ask(call, "crons", "create", value)
    given["body"] = changed(body, decision.changed, "metadata", "schedule")
    assistant_id = ids.assistant_id(body.assistant_id)
    call = limited(call, crons=OPEN, assistants=OPEN)
    if await assistants.kind(call, assistant_id) == "own":
        call = await assistants.about(call, "read", assistant_id)
    if thread_id is None:
        return call
    return await threads.about(call, "read", {"thread_id": thread_id}, absent=True)


async def update(call: Call, given: Given) -> Call:
    """What is permitted is looked at before: afterwards it may be somebody else's."""
    body, cron_id = given["body"], given["cron_id"]
    value = {
        "cron_id": cron_id,
        "payload": _payload(body),
        "schedule": _given(body.schedule),
        "end_time": _given(body.end_time),
        "enabled": _given(body.enabled),
        "on_run_completed": _given(body.on_run_completed),
    }
    if (metadata := _given(body.metadata)) is not None:
        value["metadata"] = metadata
    decision = await ask(call, "crons", "update", value)
    call = limited(call, threads=OPEN, crons=OPEN)
    await check(call, "cron", cron_id, decision.filter, NotFound(f"Cron '{cron_id}' not found"))
    given["body"] = changed(body, decision.changed, "metadata", "schedule")
    return call


async def search(call: Call, given: Given) -> Call:
    """Of those that match, those whose threads are seen."""
    body = given["body"]
    value = {
        "assistant_id": body.assistant_id,
        "thread_id": body.thread_id,
        "limit": getattr(body, "limit", 0),
        "offset": getattr(body, "offset", 0),
        "metadata": body.metadata,
    }
    decision = await ask(call, "crons", "search", value)
    given["body"] = changed(body, decision.changed, "metadata")
    call = limited(call, crons=decision.filter)
    if body.thread_id is None:
        found = await ask(call, "threads", "search", {})
    else:
        found = await ask(call, "threads", "read", {"thread_id": body.thread_id})
    return limited(call, threads=found.filter)


def _payload(body: Any) -> Given:
    fields = ("input", "config", "context", "webhook", "multitask_strategy")
    return {name: getattr(body, name) for name in fields if _given(getattr(body, name)) is not None}


def _given(value: Any) -> Any:
    return None if value is msgspec.UNSET else value
