"""From a run-creating request to a run: merge with the assistant's configuration, create."""

from duragraph import intake
from duragraph.api.io import Call
from duragraph.api.middleware import id_of
from duragraph.models import RunCreate
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created


async def create(call: Call, run_id: str, thread_id: str | None, body: RunCreate) -> Created:
    """Create the run; `thread_id` None makes a temporary thread.

    Raises NotFound, Conflict, Invalid, Refused, Unavailable.
    """
    creates = call.deps.creates
    instead = thread_id is not None and body.multitask_strategy in {"interrupt", "rollback"}

    async def make(assistant: Resolved) -> Created:
        new = intake.new_run(
            assistant,
            body,
            organization_id=call.organization_id,
            run_id=run_id,
            thread_id=thread_id,
            request_id=id_of(call.request),
        )
        return await (creates.create_instead(new) if instead else creates.create(new))

    return await call.deps.assistants.use(call.organization_id, body.assistant_id, make)
