"""What plane and worker say to each other, as msgpack over HTTP under `/api/v1/workers`.

User payloads are `bytes` of JSON: they travel beside the typed fields and the plane never
parses them. Whatever the plane must index has a typed field of its own. The executor takes
the same `Task` and yields the same report parts when a graph runs with no plane at all.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import attrs
import msgspec
from msgspec import Meta

from duragraph.questions import AuthQuestion, AuthSpec
from duragraph.usage import Usage
from duragraph.waiting import Wait

T = TypeVar("T")

RunKind: TypeAlias = Literal["run", "update_state"]

MEDIA_TYPE = "application/msgpack"

LEASE_SECONDS = 10.0
"""A lease lasts this long on the database's clock after each renewal."""
FENCE_SECONDS = 8.0
"""A worker starts nothing new this long (its monotonic clock) after its last renewal."""
HEARTBEAT_SECONDS = 3.0
POLL_SECONDS = 20.0
"""The longest a poll is held."""
MOST_SLOTS = 1 << 16
"""Of one worker."""
MOST_CHECKPOINTS = 100
"""That one `CheckpointQuery` may ask for."""
SNAPSHOT_EVERY = 64
"""Appends to a list channel before the whole list is written again."""
EVENT_MODE = "protocol"
"""The stream mode of runs whose frames are the event-streaming protocol's; not for requests."""
ROOT_CHANNEL = "__root__"
"""A state that is no object stands in this one channel; clients see the channel's value alone."""
RUN_TASK = "00000000-0000-0000-0000-000000000000"
"""The task of a `Write` that is a run's own command, at the checkpoint that it acts on."""
PENDING_TASK = "00000000-0000-0000-0000-000000000001"
"""Of one that is what a superstep's finished tasks make of the state while others wait."""


@attrs.frozen
class HeaderPatterns:
    """Names of request headers, lower case, `*` for anything; `exclude` wins."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@attrs.frozen
class GraphSpec:
    """A graph as a worker registers it. Schemas are JSON Schema bytes, null when not derivable."""

    graph_id: Annotated[str, Meta(min_length=1)]
    version: str
    description: str | None = None
    input_schema: bytes = b"null"
    output_schema: bytes = b"null"
    state_schema: bytes = b"null"
    config_schema: bytes = b"null"
    context_schema: bytes = b"null"
    drawing: bytes = b'{"nodes":[],"edges":[]}'
    """`{"nodes": [{id, type, data}], "edges": [{source, target, conditional?, data?}]}`."""
    drawing_xray: bytes | None = None
    """A list of the same with subgraphs unfolded one level deep, two, …; None if there are none."""
    subgraphs: bytes = b"{}"
    """`{namespace: {input_schema, output_schema, state_schema, …}}`."""
    name: str | None = None
    """What the graph's own assistant is called; None: as the graph's id."""
    config: bytes = b"{}"
    """What that assistant starts with; `context` too."""
    context: bytes = b"{}"
    headers: HeaderPatterns | None = None
    """Headers of requests that a run's `config.configurable` holds."""


@attrs.frozen
class Register:
    """`POST /workers`."""

    name: str
    slots: Annotated[int, Meta(ge=1, le=MOST_SLOTS)]
    graphs: list[GraphSpec]
    queue: str = "default"
    labels: dict[str, str] = attrs.field(factory=dict)
    auth: AuthSpec | None = None
    """It says who clients are and what they may do: see `AuthQuestion`."""


@attrs.frozen
class Registered:
    worker_id: str
    lease_seconds: float = LEASE_SECONDS
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    poll_seconds: float = POLL_SECONDS


@attrs.frozen
class Lease:
    """A worker's right to a run. `epoch` grows by one at each claim and is never reused."""

    run_id: str
    epoch: int


@attrs.frozen
class Poll:
    """`POST /workers/{id}/poll`; `active` names what it has taken up: the rest is offered again."""

    slots: int
    active: list[Lease]


@attrs.frozen
class Control:
    """The worker no longer holds this lease: stop the run, report nothing more of it."""

    run_id: str
    epoch: int
    action: Literal["cancel", "fenced"]


@attrs.frozen
class Write:
    """What a finished, failed or interrupted task of a superstep left behind.

    `result` is the update as clients see it, `interrupts` a JSON list of `{id, value}`,
    `opaque` whatever the executor needs to go on from here (jumps, sends, resume values).
    """

    checkpoint_id: str
    ns: str
    task_id: str
    result: bytes | None = None
    error: str | None = None
    interrupts: bytes | None = None
    opaque: bytes = b""


@attrs.frozen
class Snapshot:
    """A recorded checkpoint with its channels folded, as a run starts from it."""

    checkpoint_id: str
    ns: str
    step: int
    next: list[str]
    values: dict[str, bytes]
    versions: dict[str, str] = attrs.field(factory=dict)
    """`{channel: checkpoint_id of the part that heads it}`, see `Checkpoint.versions`."""
    depths: dict[str, int] = attrs.field(factory=dict)
    """Appends since the channel was last written whole; absent means 0."""
    codecs: dict[str, list[bytes]] = attrs.field(factory=dict)
    """`ChannelWrite.codec` of a channel's parts, the head's last; absent where they have none."""
    opaque: bytes = b""
    metadata: bytes = b"{}"
    created_at: str = ""
    writes: list[Write] = attrs.field(factory=list)
    children: list["Snapshot"] = attrs.field(factory=list)
    """The newest checkpoint of each subgraph at work under this one."""
    parent_id: str | None = None


@attrs.frozen
class Effect:
    """A side effect's recorded result.

    `key` is built from namespace, task and name. Task ids derive from the checkpoint they
    start at, so the key is stable over attempts, redrives and the run that answers an interrupt.
    """

    checkpoint_id: str
    key: str
    result: bytes


@attrs.frozen
class Task:
    """Work to do under a lease.

    `run`: `kwargs` is the run's JSON `{input, command, config, context, stream_mode,
    interrupt_before, interrupt_after, durability, subgraphs, …}`, config and context merged
    with the assistant's. `update_state`: `{values, as_node, config}`.
    """

    kind: RunKind
    run_id: str
    epoch: int
    attempt: int
    thread_id: str
    assistant_id: str
    graph_id: str
    version: str
    kwargs: bytes
    metadata: bytes = b"{}"
    snapshot: Snapshot | None = None
    effects: list[Effect] = attrs.field(factory=list)
    """Those recorded under `snapshot` and its children."""
    deadline_seconds: float | None = None
    resuming: bool = False
    """An earlier attempt recorded progress: go on from `snapshot`, ignore input and command."""
    announced: bool = False
    """Its `metadata` frame has been sent, before it gave its lease back to wait."""


@attrs.frozen
class Polled:
    tasks: list[Task]
    control: list[Control]
    questions: list[AuthQuestion] = attrs.field(factory=list)
    held_seconds: float | None = None
    """How long the plane held the poll: the rest is what its leases have lost on the road."""


@attrs.frozen
class Frame:
    """One SSE frame. `checkpoint_id` names the checkpoint whose folded values equal `data`."""

    event: str
    data: bytes
    checkpoint_id: str | None = None


@attrs.frozen
class ChannelWrite:
    """A channel that changed, as the part that heads its value from now on.

    With `base_id` the `value` is an array to append to the part of that version; it may be
    claimed only where the earlier elements are unchanged, and `depth` counts such parts since
    the channel was last written whole.
    """

    channel: str
    value: bytes
    base_id: str | None = None
    depth: int = 0
    codec: bytes | None = None


@attrs.frozen
class Checkpoint:
    """The state after a superstep.

    `channels` holds what changed, `versions` names for every channel the checkpoint that wrote
    its head part (this one's own id for those in `channels`).
    """

    checkpoint_id: str
    parent_id: str | None
    ns: str
    source: Literal["input", "loop", "update", "fork"]
    step: int
    created_at: str
    next: list[str]
    channels: list[ChannelWrite]
    versions: dict[str, str]
    tasks: bytes = b"[]"
    """`[{id, name, path, ns?}]` of `next`, results and interrupts aside."""
    metadata: bytes = b"{}"
    opaque: bytes = b""
    root_id: str | None = None
    """For a subgraph's checkpoint: the root graph's checkpoint it works under."""


@attrs.frozen
class Scheduled:
    """What follows a checkpoint, where that is known only once the checkpoint has been put.

    It joins the `Checkpoint` if that has not left yet.
    """

    checkpoint_id: str
    next: list[str]
    tasks: bytes = b"[]"
    """As `Checkpoint.tasks`."""
    channels: list[ChannelWrite] = attrs.field(factory=list)
    """What of its state is known only then, beside what it was put with."""


@attrs.frozen
class Outcome:
    """How an attempt ended.

    `released` gives the run back uncharged, at its last checkpoint; so does `waiting`, which
    keeps it until one of its `waits` is over.
    """

    status: Literal["success", "error", "timeout", "released", "waiting"]
    error: bytes | None = None
    """`{"error": type, "message": masked}`, as clients see it."""
    trace: str | None = None
    """The user's own frames, for operators."""
    interrupted: bool = False
    """Nodes are left to run: an interrupt or a breakpoint."""
    interrupts: bytes = b"{}"
    """`{task_id: [{id, value}]}`."""
    refused: bool = False
    """The run failed before it did anything: its thread stays as it was."""
    waits: list[Wait] = attrs.field(factory=list)
    """Of `waiting`: at least one, of different keys."""


Item = Frame | Checkpoint | Scheduled | Write | Effect | Usage


@attrs.frozen
class Report:
    """One batch of one run: `batch` counts from 1 within an epoch."""

    run_id: str
    epoch: int
    batch: int
    frames: list[Frame] = attrs.field(factory=list)
    checkpoints: list[Checkpoint] = attrs.field(factory=list)
    writes: list[Write] = attrs.field(factory=list)
    effects: list[Effect] = attrs.field(factory=list)
    outcome: Outcome | None = None
    scheduled: list[Scheduled] = attrs.field(factory=list)
    usages: list[Usage] = attrs.field(factory=list)


@attrs.frozen
class Verdict:
    """`accepted` also for a batch seen before; `gap`: send batch `expected` first."""

    run_id: str
    batch: int
    verdict: Literal["accepted", "fenced", "cancelled", "gap", "invalid"]
    expected: int = 0


@attrs.frozen
class CheckpointQuery:
    """`POST /workers/{id}/checkpoints`: which of its thread's a run asks for, newest first.

    Without a `checkpoint_id` or `before`, and with `limit` 1, the root's is the thread's head.
    """

    run_id: str
    epoch: int
    ns: str | None = ""
    """None for every graph's."""
    checkpoint_id: str | None = None
    before: str | None = None
    """Those strictly older than this checkpoint."""
    metadata: bytes = b"{}"
    """A JSON object that their metadata contains."""
    limit: Annotated[int, Meta(ge=1, le=MOST_CHECKPOINTS)] = 1


@attrs.frozen
class EraseRuns:
    """`POST /workers/{id}/erasures`: drop these runs' checkpoints from the run's own thread.

    Whose they are their metadata say. The thread stands at the newest that is left.
    """

    run_id: str
    epoch: int
    run_ids: list[str]


@attrs.frozen
class CopyThread:
    """`POST /workers/{id}/copies`: a new thread, of a given id, with another's history."""

    run_id: str
    epoch: int
    source_id: str
    target_id: str


@attrs.frozen
class Heartbeat:
    """`POST /workers/{id}/heartbeat`, sent by a process of its own."""

    active: list[Lease]


@attrs.frozen
class Renewed:
    lost: list[Control]


def pack(message: Any) -> bytes:
    return msgspec.msgpack.encode(message)


def unpack(body: bytes, type: type[T]) -> T:
    """Raises `msgspec.DecodeError` or its child `ValidationError`."""
    return msgspec.msgpack.decode(body, type=type)
