"""From a state update to a hidden run and its checkpoint.

Reducers are user code: a worker applies the update, leased and fenced, in the
thread's active place.
"""

import asyncio
from typing import Any

import attrs
import msgspec

from duragraph import codec
from duragraph.api.fields import Object
from duragraph.api.io import Call
from duragraph.errors import Conflict, Refused, Unavailable
from duragraph.ids import new_id
from duragraph.models import Checkpoint, CheckpointRef, Id
from duragraph.pg import endings, events, runs, states
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created
from duragraph.pg.threads import Binding

PATIENCE_SECONDS = 10.0
"""How long an update waits for a worker before it is taken back."""


@attrs.frozen
class StateUpdate:
    values: Object | list[Any] | None = None
    as_node: str | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: Id | None = None


@attrs.frozen
class Updated:
    """The checkpoint that the update made, in its new and its deprecated places."""

    checkpoint: Checkpoint
    configurable: Checkpoint
    checkpoint_id: str


async def apply(call: Call, binding: Binding, body: StateUpdate) -> Updated:
    """Wait for a worker to apply `body` to the thread.

    Raises Conflict (open runs), Refused (no graph, or whatever the worker says, such as an
    unknown node), Unavailable (no worker serves the graph).
    """
    if binding.graph_id is None:
        raise Refused(
            f"Thread '{binding.thread_id}' has no assigned graph ID. This usually occurs when no "
            "runs have been made on this particular thread. This operation requires a graph ID. "
            "Please ensure a run has been made for the thread or manually update the thread "
            "metadata (by setting the 'graph_id' field) before running this operation."
        )
    run_id, ns = new_id(), (body.checkpoint and body.checkpoint.checkpoint_ns) or ""
    with call.deps.streams.subscribe(run_id) as follower:
        await _create(call, run_id, binding.graph_id, binding, body)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for _ in call.deps.streams.follow(run_id, follower, fresh=True):
                    pass
        except TimeoutError:
            await _take_back(call, run_id, binding)
    made_id = await _result(call, binding.thread_id, run_id, ns=ns)
    made = Checkpoint(binding.thread_id, checkpoint_ns=ns, checkpoint_id=made_id)
    return Updated(made, made, made_id)


async def _create(
    call: Call, run_id: str, graph_id: str, binding: Binding, body: StateUpdate
) -> None:
    async def make(assistant: Resolved) -> Created:
        return await call.deps.creates.create(_hidden_run(call, run_id, assistant, binding, body))

    await call.deps.assistants.use(call.organization_id, graph_id, make)


def _hidden_run(
    call: Call, run_id: str, assistant: Resolved, binding: Binding, body: StateUpdate
) -> runs.NewRun:
    checkpoint = body.checkpoint or CheckpointRef()
    configurable = {"checkpoint_ns": checkpoint.checkpoint_ns or ""}
    if start_id := body.checkpoint_id or checkpoint.checkpoint_id:
        configurable["checkpoint_id"] = start_id
    config = {"configurable": configurable}
    kwargs = {"values": body.values, "as_node": body.as_node, "config": config}
    return runs.NewRun(
        run_id=run_id,
        organization_id=call.organization_id,
        thread_id=binding.thread_id,
        assistant_id=assistant.assistant_id,
        revision=assistant.revision,
        graph_id=assistant.graph_id,
        queue=assistant.queue,
        kind="update_state",
        multitask_strategy="reject",
        base_metadata=b"{}",
        thread_metadata=b"{}",
        metadata=b"{}",
        kwargs=codec.dumps(kwargs),
        thread_config=bytes(binding.config),
        after_seconds=0,
        checkpoint_id=start_id,
        on_disconnect="continue",
        on_completion="keep",
        make_thread=False,
        temporary=False,
    )


async def _take_back(call: Call, run_id: str, binding: Binding) -> None:
    async with call.tenant() as conn, conn.transaction():
        ended = await endings.cancel(
            conn, call.organization_id, binding.thread_id, run_ids=[run_id], action="rollback"
        )
        await runs.promote(conn, [(call.organization_id, binding.thread_id)])
    call.deps.dispatcher.ended(ended)
    if ended:
        raise Unavailable(
            f"No worker applied the update in {PATIENCE_SECONDS:.0f} s.",
            hint=f"Start a worker that serves graph '{binding.graph_id}'.",
        )


async def _result(call: Call, thread_id: str, run_id: str, *, ns: str) -> str:
    async with call.tenant() as conn:
        made = await states.of_run(conn, call.organization_id, thread_id, run_id, ns=ns)
        progress = (await events.progress(conn, [run_id])).get(run_id)
    if made is not None:
        return made
    if progress is None or progress.error is None:
        raise Conflict("The update was cancelled.")
    raise Refused(msgspec.json.decode(progress.error)["message"])
