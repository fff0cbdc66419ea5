"""Creates the runs that requests ask for; `intake.py` says what their bodies mean."""

from collections.abc import Mapping, Sequence

import attrs

from duragraph import intake
from duragraph.addresses import check_url
from duragraph.api.access import runs as access
from duragraph.api.io import Call
from duragraph.api.middleware import id_of
from duragraph.creates import INSTEAD
from duragraph.ids import new_id
from duragraph.models import Json, RunCreate
from duragraph.pg import questions
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created


async def create(
    call: Call, run_id: str, thread_id: str | None, body: RunCreate, *, attended: bool = False
) -> Created:
    """Create the run; `thread_id` None makes a temporary thread.

    `attended`: the client waits for it here, and may want it ended when it leaves.
    Under an `Idempotency-Key` used before it is the run of then, which has another id. Raises
    NotFound, Conflict, Invalid, Refused, Denied, Unavailable.
    """
    if call.user is not None:
        call, body = await access.creating(call, run_id, thread_id, body)
    creates = call.deps.creates
    instead = thread_id is not None and body.multitask_strategy in INSTEAD
    resumes, request_id = await _waiting(call, thread_id, body), id_of(call.request)
    _check(call, body)

    async def make(assistant: Resolved) -> Created:
        new = intake.new_run(
            assistant,
            body,
            organization_id=call.organization_id,
            run_id=run_id,
            thread_id=thread_id,
            request_id=request_id,
            resumes=resumes,
            headers=call.request.headers,
            asker=call.asker,
        )
        if attended and body.on_disconnect == "cancel":
            new = attrs.evolve(new, plane_id=call.deps.plane_id)
        if instead or call.key is not None:
            (created,) = await creates.create_all([new], key=call.key)
            return created
        return await creates.create(new)

    return await call.deps.assistants.use(call.organization_id, body.assistant_id, make)


async def _waiting(call: Call, thread_id: str | None, body: RunCreate) -> Json | None:
    """The interrupts that the thread waits at now: a resume answers these, and no later ones."""
    if thread_id is None or not intake.is_resume(body) or intake.start_of(body):
        return None
    async with call.tenant() as conn:
        return await questions.waiting(conn, call.organization_id, thread_id)


async def create_all(call: Call, bodies: Sequence[RunCreate]) -> list[Created]:
    """Create a run on a temporary thread for each of these, or none at all; raises as `create`."""
    request_id, run_ids = id_of(call.request), [new_id() for _ in bodies]
    if call.user is not None:
        asked = [
            await access.creating(call, run_id, None, body)
            for run_id, body in zip(run_ids, bodies, strict=True)
        ]
        bodies = [body for _, body in asked]
    for body in bodies:
        _check(call, body)

    async def make(found: Mapping[str, Resolved]) -> list[Created]:
        new = [
            intake.new_run(
                found[body.assistant_id],
                body,
                organization_id=call.organization_id,
                run_id=run_id,
                thread_id=None,
                request_id=request_id,
                headers=call.request.headers,
                asker=call.asker,
            )
            for run_id, body in zip(run_ids, bodies, strict=True)
        ]
        return await call.deps.creates.create_all(new, key=call.key)

    names = [body.assistant_id for body in bodies]
    return await call.deps.assistants.use_all(call.organization_id, names, make)


def _check(call: Call, body: RunCreate) -> None:
    if body.webhook is not None:
        check_url(body.webhook, call.deps.config.webhook_networks)
