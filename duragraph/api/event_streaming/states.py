"""Commands that only look: at a thread's state, its checkpoints, the graphs of its last run."""

from typing import Annotated, Any

import attrs
import msgspec
from msgspec import Meta, Raw

from duragraph import thread_events
from duragraph.api.event_streaming.envelope import CommandError, read_params
from duragraph.api.io import Call
from duragraph.models import Id, Json
from duragraph.pg import events, states
from duragraph.pg.events import Progress
from duragraph.thread_events import Namespace


@attrs.frozen
class State:
    namespace: list[str] = attrs.field(factory=list)
    keys: list[str] | None = None


@attrs.frozen
class Listed:
    """Newest first, those older than `before`."""

    namespace: list[str] = attrs.field(factory=list)
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10
    before: Id | None = None


class _Life(msgspec.Struct):
    event: str
    graph_name: str = ""


class _Step(msgspec.Struct):
    step: int


async def state(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    """The newest values of the graph at a namespace, or some of them."""
    given = read_params(params, State)
    async with call.tenant() as conn:
        ns = "|".join(given.namespace)
        found = await states.get(conn, call.deps.parts, call.organization_id, thread_id, ns=ns)
    if found is None or found.checkpoint is None:
        if given.namespace:
            raise CommandError("no_such_namespace", f"Nothing is recorded of {given.namespace}.")
        raise CommandError("no_such_checkpoint", "The thread has no checkpoint.")
    values: Any = found.values
    if given.keys is not None:
        fields = msgspec.json.decode(found.values, type=dict[str, Raw])
        values = {key: fields[key] for key in given.keys if key in fields}
    return {"values": values, "checkpoint": {"id": found.checkpoint.checkpoint_id, "ns": ns}}


async def checkpoints(call: Call, thread_id: str, params: Json) -> dict[str, Any]:
    given = read_params(params, Listed)
    async with call.tenant() as conn:
        found = await states.history(
            conn,
            call.deps.parts,
            call.organization_id,
            thread_id,
            ns="|".join(given.namespace),
            before=given.before,
            limit=given.limit,
        )
    return {
        "checkpoints": [
            {
                "id": each.checkpoint.checkpoint_id,
                "timestamp": each.created_at,
                "step": msgspec.json.decode(each.metadata, type=_Step).step,
                "metadata": each.metadata,
            }
            for each in found
            if each.checkpoint is not None and each.metadata is not None
        ]
    }


async def tree(call: Call, thread_id: str, params: Json) -> dict[str, Any]:  # noqa: ARG001
    """The graphs of the thread's last run, each under the one that it works for."""
    async with call.tenant() as conn:
        run = await events.newest(conn, call.organization_id, thread_id)
        summary = None if run is None else await events.summary(conn, run.run_id)
    if run is None or summary is None:
        raise CommandError("no_such_run", "No active run is bound to this thread.")
    root = _Life(thread_events.lifecycle_of(summary), summary.graph_id)
    return {"tree": _grown({(): root} | await _lives(call, run))}


async def _lives(call: Call, run: Progress) -> dict[Namespace, _Life]:
    """The last that the run's log tells of each subgraph's life."""
    lives: dict[Namespace, _Life] = {}
    seq = 0
    while seq < run.last_seq:
        async with call.tenant() as conn:
            stored = await events.after(conn, run.run_id, seq)
        if not stored:
            break
        for row in stored:
            for event in thread_events.events(run.batch(row), None):
                if event.method == "lifecycle" and event.namespace:
                    life = msgspec.json.decode(event.data, type=_Life)
                    lives[event.namespace] = life
            seq = row.last_seq
    return lives


def _grown(lives: dict[Namespace, _Life]) -> dict[str, Any]:
    """The branch at the root. In one pass: thousands of tasks may each be a graph."""
    branches: dict[Namespace, dict[str, Any]] = {
        namespace: {"namespace": namespace, "status": life.event, "graph_name": life.graph_name}
        for namespace, life in lives.items()
    }
    for namespace, branch in branches.items():
        if namespace and namespace[:-1] in branches:
            branches[namespace[:-1]].setdefault("children", []).append(branch)
    return branches[()]
