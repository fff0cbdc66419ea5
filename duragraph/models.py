"""The nouns of the API. One shape each: SQL column = attrs field = JSON key.

`Json` fields hold a client's payload as bytes that the plane carries and never parses.
Contract: the LangGraph server's OpenAPI document and recorded answers.
"""

from typing import Annotated, Any, Literal, TypeAlias

import attrs
import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

Json = Raw
NULL = Raw(b"null")
EMPTY = Raw(b"{}")

_HEX = "[0-9a-fA-F]"
Id: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
        max_length=36,
        extra_json_schema={"format": "uuid"},
    ),
]
"""A UUID that a client names."""

ThreadStatus = Literal["idle", "busy", "interrupted", "error"]
RunStatus = Literal["pending", "running", "error", "success", "timeout", "interrupted"]
OpenStatus = Literal["pending", "running", "all"]
"""Which of the runs that have not ended."""
TERMINAL: frozenset[str] = frozenset({"error", "success", "timeout", "interrupted"})

StreamMode = Literal[
    "values",
    "messages",
    "messages-tuple",
    "updates",
    "events",
    "debug",
    "tasks",
    "checkpoints",
    "custom",
    "usage",
]
MultitaskStrategy = Literal["reject", "interrupt", "rollback", "enqueue"]
CancelAction = Literal["interrupt", "rollback"]
Durability = Literal["sync", "async", "exit"]
OnDisconnect = Literal["cancel", "continue"]
OnCompletion = Literal["delete", "keep"]
SortOrder = Literal["asc", "desc"]


@attrs.frozen
class AssistantVersion:
    """An assistant as it once was."""

    assistant_id: str
    graph_id: str
    name: str
    description: str | None
    config: Json
    context: Json
    metadata: Json
    version: int
    created_at: str


@attrs.frozen
class Assistant(AssistantVersion):
    """A graph with the configuration that its runs start from."""

    updated_at: str


@attrs.frozen
class GraphSchema:
    """What a graph takes and gives, as JSON Schemas; null where not derivable."""

    graph_id: str
    input_schema: Json
    output_schema: Json
    state_schema: Json
    config_schema: Json
    context_schema: Json


TtlStrategy = Literal["delete", "keep_latest"]


@attrs.frozen
class TimeLeft:
    """When a thread goes, or is cut to its head; `ttl_minutes` are those it was given."""

    strategy: TtlStrategy
    ttl_minutes: float
    expires_at: str


@attrs.frozen
class Storage:
    """How much of something is stored."""

    count: int
    bytes: int


@attrs.frozen
class ChannelStorage:
    versions: int
    bytes: int


@attrs.frozen
class ChannelsStorage(Storage):
    by_channel: dict[str, ChannelStorage]


@attrs.frozen
class ThreadStorage:
    """What a thread's states take in the database, before it compresses them."""

    thread_id: str
    total_bytes: int
    checkpoints: Storage
    channel_values: ChannelsStorage
    pending_writes: Storage


@attrs.frozen
class Thread:
    thread_id: str
    created_at: str
    updated_at: str
    state_updated_at: str
    metadata: Json
    status: ThreadStatus
    config: Json
    values: Json | None
    error: Json | None
    interrupts: Json
    ttl: TimeLeft | UnsetType = UNSET
    """Only where asked for, of a thread that has one."""
    extracted: Json | UnsetType = UNSET


@attrs.frozen
class Run:
    run_id: str
    thread_id: str
    assistant_id: str
    metadata: Json
    status: RunStatus
    kwargs: Json
    multitask_strategy: MultitaskStrategy
    created_at: str
    updated_at: str
    langsmith_session_name: None = None
    """Always null here; clients' types call it required."""
    usage: Json | UnsetType = UNSET
    """What its models took, as `usage.Totals`; only if it asked any."""


@attrs.frozen
class CheckpointRef:
    """Where in a thread's history. Clients may name any part of it."""

    checkpoint_id: Id | None = None
    thread_id: str | None = None
    checkpoint_ns: str | None = ""
    checkpoint_map: dict[str, Any] | None = None


@attrs.frozen
class Checkpoint:
    """A checkpoint's address. Only subgraphs' have a map: theirs and that of the graphs above."""

    thread_id: str
    checkpoint_id: str | UnsetType | None = UNSET
    checkpoint_ns: str | UnsetType = UNSET
    checkpoint_map: dict[str, str] | UnsetType = UNSET


@attrs.frozen
class ThreadTask:
    """A node of the superstep after a checkpoint; `checkpoint` or `state` is its subgraph's."""

    id: str
    name: str
    path: Json
    error: str | None
    interrupts: list[Json]
    checkpoint: Checkpoint | None
    state: "ThreadState | None"
    result: Json


@attrs.frozen
class ThreadState:
    """A thread at a checkpoint. The last two fields are deprecated and still sent."""

    values: Json
    next: list[str]
    tasks: list[ThreadTask]
    metadata: Json | None
    created_at: str | None
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None
    interrupts: list[Json]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


@attrs.frozen
class Configuration:
    """What is known of a `config`; whatever else it holds is kept as it is."""

    tags: list[str] = attrs.field(factory=list)
    recursion_limit: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 25
    configurable: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)


_SCHEMA = msgspec.json.schema_components([Configuration])[1]["Configuration"]
RunnableConfig: TypeAlias = Annotated[dict[str, Any], Meta(extra_json_schema=_SCHEMA)]


@attrs.frozen
class RunCreate:
    """The body of every run-creating request; unknown keys are ignored.

    `feedback_keys` are kept, and nothing acts on them.
    """

    assistant_id: str
    input: Json = NULL
    command: Json = NULL
    metadata: dict[str, Any] = attrs.field(factory=dict)
    config: RunnableConfig = attrs.field(factory=dict)
    context: dict[str, Any] = attrs.field(factory=dict)
    checkpoint: CheckpointRef | None = None
    checkpoint_id: Id | None = None
    stream_mode: StreamMode | list[StreamMode] = "values"
    stream_subgraphs: bool = False
    stream_resumable: bool = False
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    multitask_strategy: MultitaskStrategy = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    on_completion: OnCompletion = "delete"
    on_disconnect: OnDisconnect = "continue"
    after_seconds: Annotated[float, Meta(ge=0, le=1e9)] = 0
    durability: Durability | None = None
    checkpoint_during: bool | None = None
    webhook: str | None = None
    feedback_keys: list[str] | None = None
    strict_resume: bool | None = None


@attrs.frozen
class Cron:
    """Makes a run at each tick of its schedule. `next_run_date` is null when none is left."""

    cron_id: str
    assistant_id: str
    thread_id: str | None
    end_time: str | None
    schedule: str
    timezone: str | None
    payload: Json
    next_run_date: str | None
    metadata: Json
    on_run_completed: OnCompletion | None
    enabled: bool
    created_at: str
    updated_at: str
    user_id: str
    """Whom auth handlers named when it was made; empty where they were not asked."""


@attrs.frozen
class RunKwargs:
    """`run.kwargs`: what the worker needs of the request, config merged with the assistant's."""

    input: Json
    command: Json
    config: dict[str, Any]
    context: dict[str, Any]
    stream_mode: list[StreamMode]
    interrupt_before: Literal["*"] | list[str] | None
    interrupt_after: Literal["*"] | list[str] | None
    webhook: str | None
    feedback_keys: list[str] | None
    temporary: bool
    subgraphs: bool
    resumable: bool
    checkpoint_during: bool
    durability: Durability
    resumes: Json | UnsetType = UNSET
    """`{task_id: [interrupt_id]}`: what waited for an answer when a resume was asked for."""
    strict_resume: bool | UnsetType = UNSET


@attrs.frozen
class Item:
    """What the store holds under a namespace and a key."""

    namespace: list[str]
    key: str
    value: Json
    created_at: str
    updated_at: str


@attrs.frozen
class SearchItem(Item):
    """An item found; `score` says how well it fits a `query`, from 0 to 1."""

    score: float | None
