"""From the body of a run-creating request and its assistant's configuration to a run.

Pure: what it is given decides. `api/` calls it with requests, the scheduler with crons.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias
from uuid import UUID

import attrs
import msgspec
from msgspec import UNSET

from duragraph import codec
from duragraph.errors import Invalid, Refused
from duragraph.headers import selected
from duragraph.ids import new_id
from duragraph.models import Configuration, Json, OnCompletion, RunCreate, RunKwargs
from duragraph.pg.assistants import Resolved
from duragraph.pg.runs import NewRun
from duragraph.pg.waits import Parent

Object: TypeAlias = dict[str, Any]

RESERVED_METADATA = frozenset(
    {"thread_id", "assistant_id", "run_id", "cron_id", "counters_since_delta_snapshot"}
)
RESERVED_CONTEXT = frozenset(
    {
        "langgraph_auth_user",
        "langgraph_auth_user_id",
        "langgraph_auth_permissions",
        "langgraph_request_id",
        "__langsmith_project__",
        "__langsmith_example_id__",
        "__request_start_time_ms__",
        "__after_seconds__",
        "__otel_traceparent__",
        "__otel_tracestate__",
        "__dd_trace_headers__",
        "__pregel_node_finished",
        "__context_provided__",
    }
)
_ADDRESS = frozenset({"checkpoint_id", "checkpoint_map"})
"""Of `config.configurable`, where one run starts."""


def own_metadata(given: Object) -> Object:
    """`given` less the keys that the server sets; they are dropped silently."""
    return {key: value for key, value in given.items() if key not in RESERVED_METADATA}


def own_context(given: Object) -> Object:
    """`config.configurable` or `context`, less the keys that the server sets."""
    return {key: value for key, value in given.items() if key not in RESERVED_CONTEXT}


def mirrored(config: Object | None, context: Object | None) -> tuple[Object | None, Object | None]:
    """Config and context as they are kept: one given gives the other. Raises Invalid, Refused."""
    codec.check(config or {}, Configuration, where="$.config")
    configurable = own_context((config or {}).get("configurable", {}))
    context = None if context is None else own_context(context)
    if configurable and context:
        raise Refused(
            "Cannot specify both configurable and context. Prefer setting context alone. "
            "Context was introduced in LangGraph 0.6.0 and is the long term planned "
            "replacement for configurable."
        )
    if config and "metadata" in config:
        config = config | {"metadata": own_metadata(config["metadata"])}
    if context:
        return (config or {}) | {"configurable": context}, context
    if configurable:
        return (config or {}) | {"configurable": configurable}, configurable
    return config, context


def new_run(
    assistant: Resolved,
    body: RunCreate,
    *,
    organization_id: str,
    run_id: str,
    thread_id: str | None,
    request_id: str | None,
    resumes: Json | None = None,
    marks: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    asker: Mapping[str, Any] | None = None,
) -> NewRun:
    """The run that `body` asks of the assistant; without a thread it is to have a new one.

    `resumes` are the interrupts that a resume found waiting. `marks` say in its configuration and
    its metadata where it comes from; of `headers` it holds what its graph asks for, and
    `asker` is the user: a thread made for one has the metadata that says whose it is. Raises
    Refused, Invalid.
    """
    marks = marks or {}
    stateless = thread_id is None
    if stateless and is_resume(body):
        raise Refused("You must provide a thread_id when resuming.")
    ids = {"graph_id": assistant.graph_id, "assistant_id": assistant.assistant_id}
    temporary = stateless and body.on_completion == "delete"
    kwargs = _kwargs(assistant, body, request_id=request_id, resumes=resumes, temporary=temporary)
    thread_config, configurable = _thread_config(kwargs.config), kwargs.config["configurable"]
    if not thread_config["configurable"]:
        configurable |= kwargs.context
    configurable |= {**marks, **(asker or {})}
    if assistant.headers is not None and headers is not None:
        configurable |= selected(headers, assistant.headers)
    own = kwargs.config.get("metadata", {}) | own_metadata(body.metadata)
    return NewRun(
        run_id=run_id,
        organization_id=organization_id,
        thread_id=thread_id or new_id(),
        assistant_id=assistant.assistant_id,
        revision=assistant.revision,
        graph_id=assistant.graph_id,
        queue=assistant.queue,
        kind="run",
        multitask_strategy=body.multitask_strategy,
        base_metadata=codec.dumps(assistant.metadata),
        thread_metadata=codec.dumps(ids | own if stateless and asker else ids),
        metadata=codec.dumps(ids | own | marks),
        kwargs=codec.dumps(kwargs),
        thread_config=codec.dumps(thread_config),
        after_seconds=body.after_seconds,
        checkpoint_id=configurable.get("checkpoint_id"),
        on_disconnect=body.on_disconnect,
        on_completion=body.on_completion,
        make_thread=stateless or body.if_not_exists == "create",
        temporary=temporary,
        webhook=body.webhook,
    )


def child_run(
    assistant: Resolved,
    body: RunCreate,
    parent: Parent,
    *,
    organization_id: str,
    parent_run_id: str,
    parent_thread_id: str,
) -> NewRun:
    """A run that another starts, on a thread of its own, in the name of the same user.

    That user sees the thread, as the parent's. Raises as `new_run`.
    """
    asker = msgspec.json.decode(parent.asker, type=dict[str, Json])
    if asker:
        whose = msgspec.json.decode(parent.thread_metadata, type=Object)
        whose.pop("graph_id", None)
        body = attrs.evolve(body, metadata=whose | body.metadata)
    return new_run(
        assistant,
        body,
        organization_id=organization_id,
        run_id=new_id(),
        thread_id=None,
        request_id=None,
        marks={"parent_run_id": parent_run_id, "parent_thread_id": parent_thread_id},
        asker=asker or None,
    )


def cron_body(payload: Json, on_run_completed: OnCompletion | None) -> RunCreate:
    """What a cron's payload asks for at each tick."""
    body = msgspec.json.decode(payload, type=RunCreate)
    configurable = body.config.get("configurable", {})
    own = {name: value for name, value in configurable.items() if name != "cron_id"}
    return attrs.evolve(
        body,
        config=body.config | {"configurable": own},
        on_completion=on_run_completed or body.on_completion,
    )


def _kwargs(
    assistant: Resolved,
    body: RunCreate,
    *,
    request_id: str | None,
    resumes: Json | None,
    temporary: bool,
) -> RunKwargs:
    modes = body.stream_mode if isinstance(body.stream_mode, list) else [body.stream_mode]
    durability = body.durability or ("exit" if body.checkpoint_during is False else "async")
    config, context = _merge(assistant, body, request_id)
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
        resumes=UNSET if resumes is None else resumes,
        strict_resume=body.strict_resume or UNSET,
    )


def _merge(
    assistant: Resolved, body: RunCreate, request_id: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's config and context over the assistant's. Raises Refused, Invalid.

    Without a context what is configurable is the context.
    """
    _, context = mirrored(body.config, body.context)
    base = assistant.config.get("configurable") or {}
    given = own_context(body.config.get("configurable") or {})
    merged = assistant.context | (context or {})
    configurable = {k: merged.get(k, v) for k, v in (base | given).items()}
    configurable["langgraph_request_id"] = request_id
    if checkpoint_id := start_of(body) or configurable.get("checkpoint_id"):
        configurable["checkpoint_id"] = _checkpoint(str(checkpoint_id))
    if body.checkpoint is not None and (places := body.checkpoint.checkpoint_map):
        configurable["checkpoint_map"] = {ns: _checkpoint(str(i)) for ns, i in places.items()}
    config = assistant.config | body.config | {"configurable": configurable}
    if "metadata" in config:
        config["metadata"] = own_metadata(config["metadata"])
    return config, merged


def _checkpoint(given: str) -> str:
    try:
        return str(UUID(given))
    except ValueError:
        raise Invalid("Invalid checkpoint ID: must be a UUID") from None


def start_of(body: RunCreate) -> str | None:
    """The checkpoint of the root that it names to start from."""
    named = body.checkpoint
    if body.checkpoint_id is not None or named is None:
        return body.checkpoint_id
    # A subgraph's checkpoint is gone on from at the root's that it is under.
    own = None if named.checkpoint_ns else named.checkpoint_id
    return (named.checkpoint_map or {}).get("") or own


def _thread_config(config: dict[str, Any]) -> dict[str, Any]:
    """A thread keeps its last run's config, less what belonged to that run."""
    own = own_context(config["configurable"])
    kept = {key: value for key, value in own.items() if key not in _ADDRESS}
    return config | {"configurable": kept}


def is_resume(body: RunCreate) -> bool:
    """Whether it may answer an interrupt; the plane does not look closer."""
    return b'"resume"' in bytes(body.command)
