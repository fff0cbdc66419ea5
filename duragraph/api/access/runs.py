"""Guards of runs, which are their threads': creating one, ending some, finding a thread by one."""

from collections.abc import Mapping, Sequence

import attrs
from msgspec import Raw

from duragraph import codec, ids, pg
from duragraph.api.access import assistants, threads
from duragraph.api.access.asking import Given, ask, changed, check, decoded, limited
from duragraph.api.io import Call
from duragraph.errors import NotFound
from duragraph.models import CancelAction, RunCreate
from duragraph.pg import OPEN, access
from duragraph.pg.threads import create as make_thread

NO_RUN = "Thread or assistant not found."
KWARGS = (
    "input",
    "command",
    "config",
    "context",
    "stream_mode",
    "interrupt_before",
    "interrupt_after",
    "webhook",
    "durability",
)
"""Of a run's body, what handlers see, and may change, as `value["kwargs"]`."""


async def create(call: Call, _given: Given) -> Call:
    """`creation.py` asks, by `creating`. What they read is the run they made."""
    return limited(call, threads=OPEN)


async def stateless(call: Call, given: Given) -> Call:
    """Of a run that is named without its thread."""
    async with pg.tenant(call.deps.api, call.organization_id) as conn:
        thread_id = await access.thread_of(conn, call.organization_id, given["run_id"])
    if thread_id is None:
        return limited(call)
    return await threads.about(call, "read", {"thread_id": thread_id}, absent=True)


async def cancel(call: Call, given: Given) -> Call:
    action, run_ids = given["query"].action, [given["run_id"]]
    return await _cancelling(call, action, given["thread_id"], run_ids=run_ids, status=None)


async def cancel_many(call: Call, given: Given) -> Call:
    body = given["body"]
    return await _cancelling(
        call,
        given["query"].action,
        body.thread_id or None,
        run_ids=body.run_ids or None,
        status=body.status or None,
    )


async def _cancelling(
    call: Call,
    action: str,
    thread_id: str | None,
    *,
    run_ids: Sequence[str] | None,
    status: str | None,
) -> Call:
    value = {
        "thread_id": thread_id,
        "action": "rollback" if action == "rollback" else "interrupt",
        "metadata": {"run_ids": run_ids, "status": status},
    }
    decision = await ask(call, "threads", "update", value)
    if thread_id is not None:
        nothing = NotFound("No runs found to cancel.")
        await check(call, "thread", thread_id, decision.filter, nothing)
    return limited(call, threads=decision.filter)


async def cancel_seen(call: Call, status: str, action: CancelAction) -> int:
    """End the open runs of this status on threads that the user sees; returns how many."""
    org = call.organization_id
    async with call.tenant() as conn:
        found = await access.open_runs(conn, org, status)
    cancels, many = call.deps.cancels, 0
    for thread_id, run_ids in found:
        many += len(await cancels.cancel(org, thread_id, run_ids=run_ids, action=action))
    return many


async def creating(
    call: Call, run_id: str, thread_id: str | None, body: RunCreate
) -> tuple[Call, RunCreate]:
    """Ask before a run is created. Returns the body as handlers changed it.

    A thread that was to be made with the run is made here, with the metadata that they gave: so
    one that somebody makes meanwhile is not taken for it. Raises Denied, NotFound, Unavailable.
    """
    assistant_id = ids.assistant_id(body.assistant_id)
    value = {
        "thread_id": thread_id,
        "assistant_id": assistant_id,
        "run_id": run_id,
        "status": "pending",
        "metadata": body.metadata,
        "prevent_insert_if_inflight": body.multitask_strategy == "reject",
        "multitask_strategy": body.multitask_strategy,
        "if_not_exists": body.if_not_exists,
        "after_seconds": body.after_seconds,
        "kwargs": {name: getattr(body, name) for name in KWARGS},
    }
    decision = await ask(call, "threads", "create_run", value)
    body = _changed(body, decision.changed)
    known = await _may_run(call, assistant_id)
    if thread_id is None or not known:  # of an unknown assistant the creation tells
        return limited(call, threads=OPEN), body
    if body.if_not_exists == "create":
        metadata = codec.dumps(_thread_metadata(body))
        async with limited(call, threads=OPEN).tenant() as conn:
            made = await make_thread(conn, call.organization_id, thread_id, metadata=metadata)
        body = attrs.evolve(body, if_not_exists="reject")
        if made is not None:
            return limited(call, threads=OPEN), body
    await check(call, "thread", thread_id, decision.filter, NotFound(NO_RUN))
    return limited(call, threads=OPEN), body


def _changed(body: RunCreate, changes: Mapping[str, bytes]) -> RunCreate:
    body = changed(body, changes, "metadata")
    if "kwargs" not in changes:
        return body
    kwargs = decoded(changes["kwargs"], dict[str, Raw])
    return changed(body, {name: bytes(each) for name, each in kwargs.items()}, *KWARGS)


def _thread_metadata(body: RunCreate) -> Given:
    return (body.config.get("metadata") or {}) | body.metadata


async def _may_run(call: Call, assistant_id: str) -> bool:
    """Whether there is such an assistant. Raises NotFound if it is hidden."""
    kind = await assistants.kind(call, assistant_id)
    if kind == "own":
        decision = await ask(call, "assistants", "read", {"assistant_id": assistant_id})
        await check(call, "assistant", assistant_id, decision.filter, NotFound(NO_RUN))
    return kind is not None
