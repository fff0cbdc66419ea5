"""The field types and clean-ups that request bodies share."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from duragraph import codec
from duragraph.errors import NotFound, Refused
from duragraph.models import Configuration

Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Offset: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
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


def no_thread(thread_id: str) -> NotFound:
    """The error for a thread that does not exist, in the wire's own words."""
    return NotFound(f"Thread with ID {thread_id} not found")


def select(rows: Sequence[Any], names: Sequence[str] | None) -> list[Any]:
    """Rows with these keys only; all of them when none are named."""
    if not names:
        return list(rows)
    return [{name: getattr(row, name) for name in names} for row in rows]
