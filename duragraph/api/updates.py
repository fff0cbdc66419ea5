"""From a state update to a hidden run and its checkpoint.

Reducers are user code: a worker applies the update, leased and fenced, in the
thread's active place.
"""

import asyncio
from typing import Any

import attrs
import msgspec
from msgspec import UnsetType

from duragraph import codec
from duragraph.api.fields import Object, no_thread
from duragraph.api.io import Call
from duragraph.errors import Conflict, Refused, Unavailable
from duragraph.ids import new_id
from duragraph.models import Checkpoint, CheckpointRef, Id, Json
from duragraph.pg import events, runs, states, threads
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created

PATIENCE_SECONDS = 10.0
"""How long an update waits for a worker before it is taken back."""


@attrs.frozen
class StateUpdate:
    values: Object | list[Any] | None = None
    as_node: str | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: Id | None = None


@attrs.frozen
class NodeCommand:
    """What a node returns beside an update: where to go."""

    update: Any = None
    goto: Any = None


@attrs.frozen
class NodeUpdate:
    as_node: str
    values: Object | list[Any] | None = None
    command: NodeCommand | None = None
    """Counts in place of `values`."""


@attrs.frozen
class Superstep:
    """What the nodes of one superstep wrote; `__input__` gives the input, `__copy__` repeats."""

    updates: list[NodeUpdate]


@attrs.frozen
class Updated:
    """The checkpoint that the update made, in its new and its deprecated places."""

    checkpoint: Checkpoint
    configurable: Checkpoint
    checkpoint_id: str | UnsetType | None


class NoGraph(Refused):
    """Nobody has said which graph's reducers are to be used."""


async def apply(call: Call, thread_id: str, body: StateUpdate) -> Updated:
    """Wait for a worker to apply `body` to the thread.

    Raises NotFound (thread or graph), Conflict (open runs), NoGraph, Refused (whatever the worker
    says, such as an unknown node), Unavailable (no worker serves the graph).
    """
    checkpoint = body.checkpoint or CheckpointRef()
    ns, start_id = checkpoint.checkpoint_ns or "", body.checkpoint_id or checkpoint.checkpoint_id
    kwargs = {"values": body.values, "as_node": body.as_node}
    made = await _apply(call, thread_id, kwargs, ns=ns, start_id=start_id)
    return Updated(made, made, made.checkpoint_id)


async def replay(call: Call, thread_id: str, supersteps: list[Superstep]) -> None:
    """Make a checkpoint of each superstep. Raises as `apply` does; those before it are kept."""
    updates = [superstep.updates for superstep in supersteps]
    await _apply(call, thread_id, {"supersteps": updates})


async def _apply(
    call: Call,
    thread_id: str,
    kwargs: dict[str, Any],
    *,
    ns: str = "",
    start_id: str | None = None,
) -> Checkpoint:
    """The last checkpoint that was made."""
    run_id, binding = new_id(), await _binding(call, thread_id)
    configurable = {"checkpoint_ns": ns} | ({"checkpoint_id": start_id} if start_id else {})
    task = codec.dumps(kwargs | {"config": {"configurable": configurable}})

    async def make(assistant: Resolved) -> Created:
        hidden = _hidden_run(call, run_id, assistant, binding, kwargs=task, start_id=start_id)
        return await call.deps.creates.create(hidden)

    with call.deps.streams.subscribe(run_id) as follower:
        await call.deps.assistants.use(call.organization_id, binding.graph_id, make)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for _ in call.deps.streams.follow(run_id, follower, fresh=True):
                    pass
        except TimeoutError:
            await _take_back(call, run_id, binding)
    return await _result(call, thread_id, run_id)


@attrs.frozen
class _Bound:
    """A thread whose graph is known."""

    thread_id: str
    graph_id: str
    config: Json


async def _binding(call: Call, thread_id: str) -> _Bound:
    async with call.tenant() as conn:
        found = await threads.binding(conn, call.organization_id, thread_id)
    if found is None:
        raise no_thread(thread_id)
    if found.graph_id is None:
        raise NoGraph(
            f"Thread '{thread_id}' has no assigned graph ID. This usually occurs when no "
            "runs have been made on this particular thread. This operation requires a graph ID. "
            "Please ensure a run has been made for the thread or manually update the thread "
            "metadata (by setting the 'graph_id' field) before running this operation."
        )
    return _Bound(thread_id, found.graph_id, found.config)


def _hidden_run(
    call: Call,
    run_id: str,
    assistant: Resolved,
    thread: _Bound,
    *,
    kwargs: bytes,
    start_id: str | None,
) -> runs.NewRun:
    return runs.NewRun(
        run_id=run_id,
        organization_id=call.organization_id,
        thread_id=thread.thread_id,
        assistant_id=assistant.assistant_id,
        revision=assistant.revision,
        graph_id=assistant.graph_id,
        queue=assistant.queue,
        kind="update_state",
        multitask_strategy="reject",
        kwargs=kwargs,
        thread_config=bytes(thread.config),
        checkpoint_id=start_id,
    )


async def _take_back(call: Call, run_id: str, thread: _Bound) -> None:
    ended = await call.deps.cancels.cancel(
        call.organization_id, thread.thread_id, run_ids=[run_id], action="rollback"
    )
    if ended:
        raise Unavailable(
            f"No worker applied the update in {PATIENCE_SECONDS:.0f} s.",
            hint=f"Start a worker that serves graph '{thread.graph_id}'.",
        )


async def _result(call: Call, thread_id: str, run_id: str) -> Checkpoint:
    async with call.tenant() as conn:
        made = await states.of_run(conn, call.organization_id, thread_id, run_id)
        progress = (await events.progress(conn, [run_id])).get(run_id)
    if progress is not None and progress.error is not None:
        raise Refused(msgspec.json.decode(progress.error)["message"])
    if made is None:
        raise Conflict("The update was cancelled.")
    return made
