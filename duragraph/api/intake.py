"""From a run-creating request to a run: merge with the assistant's configuration, create."""

from typing import Any

from duragraph import codec
from duragraph.api import fields
from duragraph.api.io import Call, path_id
from duragraph.api.middleware import id_of
from duragraph.errors import Refused
from duragraph.ids import new_id
from duragraph.models import RunCreate, RunKwargs
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created, NewRun


async def create(call: Call, run_id: str, thread_id: str | None, body: RunCreate) -> Created:
    """Create the run; `thread_id` None makes a temporary thread.

    Raises NotFound, Conflict, Invalid, Refused, Unavailable.
    """
    creates = call.deps.creates
    instead = thread_id is not None and body.multitask_strategy in {"interrupt", "rollback"}

    async def make(assistant: Resolved) -> Created:
        new = _new_run(call, assistant, run_id, thread_id, body)
        return await (creates.create_instead(new) if instead else creates.create(new))

    return await call.deps.assistants.use(call.organization_id, body.assistant_id, make)


def _new_run(
    call: Call, assistant: Resolved, run_id: str, thread_id: str | None, body: RunCreate
) -> NewRun:
    stateless = thread_id is None
    if stateless and _resumes(body):
        raise Refused("You must provide a thread_id when resuming.")
    ids = {"graph_id": assistant.graph_id, "assistant_id": assistant.assistant_id}
    temporary = stateless and body.on_completion == "delete"
    kwargs = _kwargs(call, assistant, body, temporary=temporary)
    return NewRun(
        run_id=run_id,
        organization_id=call.organization_id,
        thread_id=thread_id or new_id(),
        assistant_id=assistant.assistant_id,
        revision=assistant.revision,
        graph_id=assistant.graph_id,
        queue=assistant.queue,
        kind="run",
        multitask_strategy=body.multitask_strategy,
        base_metadata=codec.dumps(assistant.metadata),
        thread_metadata=codec.dumps(ids),
        metadata=codec.dumps(
            ids | kwargs.config.get("metadata", {}) | fields.own_metadata(body.metadata)
        ),
        kwargs=codec.dumps(kwargs),
        thread_config=codec.dumps(_thread_config(kwargs.config)),
        after_seconds=body.after_seconds,
        checkpoint_id=kwargs.config["configurable"].get("checkpoint_id"),
        on_disconnect=body.on_disconnect,
        on_completion=body.on_completion,
        make_thread=stateless or body.if_not_exists == "create",
        temporary=temporary,
    )


def _kwargs(call: Call, assistant: Resolved, body: RunCreate, *, temporary: bool) -> RunKwargs:
    modes = body.stream_mode if isinstance(body.stream_mode, list) else [body.stream_mode]
    durability = body.durability or ("exit" if body.checkpoint_during is False else "async")
    config, context = _merge(call, assistant, body)
    return RunKwargs(
        input=body.input,
        command=body.command,
        config=config,
        context=context,
        stream_mode=list(dict.fromkeys(modes)),
        interrupt_before=body.interrupt_before,
        interrupt_after=body.interrupt_after,
        webhook=body.webhook,
        feedback_keys=body.feedback_keys,
        temporary=temporary,
        subgraphs=body.stream_subgraphs,
        resumable=body.stream_resumable,
        checkpoint_during=durability != "exit",
        durability=durability,
    )


def _merge(
    call: Call, assistant: Resolved, body: RunCreate
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's config and context over the assistant's. Raises Refused, Invalid.

    What is configurable stands in for a context that is not given, not the other way round.
    """
    _, context = fields.mirrored(body.config, body.context)
    base = assistant.config.get("configurable") or {}
    given = fields.own_context(body.config.get("configurable") or {})
    merged = assistant.context | (context or {})
    configurable = {k: merged.get(k, v) for k, v in (base | given).items()}
    configurable["langgraph_request_id"] = id_of(call.request)
    if checkpoint_id := _start(body) or configurable.get("checkpoint_id"):
        configurable["checkpoint_id"] = path_id("checkpoint_id", str(checkpoint_id))
    config = assistant.config | body.config | {"configurable": configurable}
    if "metadata" in config:
        config["metadata"] = fields.own_metadata(config["metadata"])
    return config, merged


def _start(body: RunCreate) -> str | None:
    return body.checkpoint_id or (body.checkpoint.checkpoint_id if body.checkpoint else None)


def _thread_config(config: dict[str, Any]) -> dict[str, Any]:
    """A thread keeps its last run's config, less what belonged to that run."""
    kept = fields.own_context(config["configurable"])
    kept.pop("checkpoint_id", None)
    return config | {"configurable": kept}


def _resumes(body: RunCreate) -> bool:
    return b'"resume"' in bytes(body.command)
