"""From a run-creating request to a run: merge with the assistant's configuration, create."""

from typing import Any

from duragraph import codec
from duragraph.api.io import Call
from duragraph.dispatch import Stale
from duragraph.errors import Invalid, Refused
from duragraph.ids import new_id
from duragraph.models import NULL, RunCreate, RunKwargs
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import Created, NewRun

RESERVED = frozenset({
    "langgraph_auth_user", "langgraph_auth_user_id", "langgraph_auth_permissions",
    "langgraph_request_id", "__langsmith_project__", "__langsmith_example_id__",
    "__request_start_time_ms__", "__after_seconds__", "__otel_traceparent__",
    "__otel_tracestate__", "__dd_trace_headers__", "__pregel_node_finished",
    "__context_provided__",
})  # fmt: skip
"""Dropped from what clients put into `configurable` and `context`."""
RESERVED_METADATA = frozenset({"thread_id", "assistant_id", "run_id", "cron_id"})


async def create(call: Call, run_id: str, thread_id: str | None, body: RunCreate) -> Created:
    """Create the run; `thread_id` None makes a temporary thread.

    Raises NotFound, Conflict, Invalid, Refused, Unavailable.
    """
    afresh = False
    while True:
        assistant = await call.deps.assistants.resolve(
            call.organization_id, body.assistant_id, afresh=afresh
        )
        new = new_run(call, assistant, run_id, thread_id, body)
        try:
            if thread_id and body.multitask_strategy in {"interrupt", "rollback"}:
                return await call.deps.dispatcher.create_instead(new)
            return await call.deps.dispatcher.create(new)
        except Stale:
            afresh = True


def new_run(
    call: Call, assistant: Resolved, run_id: str, thread_id: str | None, body: RunCreate
) -> NewRun:
    stateless = thread_id is None
    if stateless and _resumes(body):
        raise Refused("You must provide a thread_id when resuming.")
    ids = {"graph_id": assistant.graph_id, "assistant_id": assistant.assistant_id}
    kwargs = _kwargs(assistant, body, temporary=stateless and body.on_completion == "delete")
    configurable = kwargs.config.get("configurable", {})
    checkpoint = body.checkpoint.checkpoint_id if body.checkpoint else None
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
        metadata=codec.dumps(ids | _without(body.metadata, RESERVED_METADATA)),
        kwargs=codec.dumps(kwargs),
        thread_config=codec.dumps(kwargs.config | {"configurable": configurable}),
        after_seconds=body.after_seconds,
        checkpoint_id=body.checkpoint_id or checkpoint,
        on_disconnect=body.on_disconnect,
        on_completion=body.on_completion,
        make_thread=stateless or body.if_not_exists == "create",
        temporary=stateless,
    )


def _kwargs(assistant: Resolved, body: RunCreate, *, temporary: bool) -> RunKwargs:
    modes = body.stream_mode if isinstance(body.stream_mode, list) else [body.stream_mode]
    durability = body.durability or ("exit" if body.checkpoint_during is False else "async")
    config, context = merge(assistant, body.config, body.context)
    return RunKwargs(
        input=NULL if body.command != NULL else body.input,
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


def merge(
    assistant: Resolved, config: dict[str, Any], context: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's config and context over the assistant's; each stands in for the other.

    Raises Refused where both are given, Invalid for a `configurable` that is no object.
    """
    configurable = config.get("configurable") or {}
    if not isinstance(configurable, dict):
        raise Invalid("Expected `object` - at `$.config.configurable`")
    if configurable and context:
        raise Refused(
            "Cannot specify both configurable and context. Prefer setting context alone. "
            "Context was introduced in LangGraph 0.6.0 and is the long term planned replacement "
            "for configurable."
        )
    given = _without(configurable or context, RESERVED)
    base = assistant.config.get("configurable") or {}
    merged = assistant.config | config | {"configurable": base | given}
    return merged, assistant.context | given


def _resumes(body: RunCreate) -> bool:
    return b'"resume"' in bytes(body.command)


def _without(mapping: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {k: v for k, v in mapping.items() if k not in keys}
