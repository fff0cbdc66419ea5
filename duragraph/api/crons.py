"""Crons: runs on a schedule, each on a thread of its own or all on one. The scheduler makes them.

Contract: the LangGraph server's crons API.
"""

from datetime import UTC, datetime
from typing import Literal, TypeVar

import attrs
import msgspec
from msgspec import UNSET, Raw, UnsetType

from duragraph import codec, ids, intake
from duragraph.addresses import check_url
from duragraph.api.fields import Limit, Object, Offset, select
from duragraph.api.idempotency import once
from duragraph.api.io import Call, Reply, page
from duragraph.errors import Invalid, NotFound, Refused, TooLarge
from duragraph.models import (
    Configuration,
    Cron,
    Durability,
    Id,
    Json,
    MultitaskStrategy,
    OnCompletion,
    RunnableConfig,
    SortOrder,
    StreamMode,
)
from duragraph.pg import Page, crons
from duragraph.schedule import Schedule

PAYLOAD_BYTES = 1 << 20
"""The scheduler holds some dozens at once."""

T = TypeVar("T")
U = TypeVar("U")

Field = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "user_id",
    "end_time",
    "schedule",
    "timezone",
    "payload",
    "next_run_date",
    "metadata",
    "on_run_completed",
    "enabled",
    "created_at",
    "updated_at",
]


@attrs.frozen(kw_only=True)
class CronPatch:
    """What of a cron can be changed, all of it optional; unknown keys are ignored."""

    schedule: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    end_time: datetime | UnsetType | None = UNSET
    """UTC unless it says otherwise; null clears it."""
    enabled: bool | UnsetType = UNSET
    on_run_completed: OnCompletion | UnsetType = UNSET
    input: Json | UnsetType = UNSET
    metadata: Object | UnsetType = UNSET
    config: RunnableConfig | UnsetType = UNSET
    context: Object | UnsetType = UNSET
    stream_mode: StreamMode | list[StreamMode] | UnsetType = UNSET
    stream_subgraphs: bool | UnsetType = UNSET
    stream_resumable: bool | UnsetType = UNSET
    interrupt_before: Literal["*"] | list[str] | UnsetType = UNSET
    interrupt_after: Literal["*"] | list[str] | UnsetType = UNSET
    multitask_strategy: MultitaskStrategy | UnsetType = UNSET
    durability: Durability | UnsetType = UNSET
    checkpoint_during: bool | UnsetType = UNSET
    webhook: str | UnsetType = UNSET


@attrs.frozen(kw_only=True)
class CronCreate(CronPatch):
    """The body of both requests that create crons."""

    assistant_id: str
    schedule: str


@once
async def create(call: Call, *, body: CronCreate) -> Cron:
    """Each tick makes a run on a new thread, which goes with it unless `on_run_completed: keep`.

    Raises NotFound (assistant), Invalid, Refused, TooLarge.
    """
    return await _create(call, None, body)


@once
async def create_for_thread(call: Call, thread_id: str, *, body: CronCreate) -> Cron:
    """Each tick makes a run on this thread. Raises as `create`."""
    return await _create(call, thread_id, body)


async def _create(call: Call, thread_id: str | None, body: CronCreate) -> Cron:
    org, cron_id = call.organization_id, ids.new_id()
    assistant_id = ids.assistant_id(body.assistant_id)
    metadata = intake.own_metadata(body.metadata or {})
    _check(call, body)
    on_run_completed = None if thread_id else body.on_run_completed or "delete"
    async with call.tenant() as conn, conn.transaction():
        target = await crons.target(conn, org, assistant_id, thread_id)
        if not target.assistant_exists:
            raise NotFound(f"Assistant '{body.assistant_id}' not found")
        if not target.thread_exists:
            raise NotFound(
                f"Thread with ID '{thread_id}' not found. Please verify the ID is correct and "
                "the thread hasn't been deleted or expired."
            )
        end_time, timezone = _utc(_or(body.end_time, None)), _or(body.timezone, None)
        due = Schedule.of(body.schedule, timezone, end_time).after(target.now)
        fields = crons.Fields(
            schedule=body.schedule,
            timezone=timezone,
            end_time=_text(end_time),
            next_run_date=_text(due),
            enabled=_or(body.enabled, True),
            on_run_completed=on_run_completed,
            metadata=codec.dumps(metadata),
            payload=_payload(_given(body) | {"assistant_id": assistant_id}, cron_id),
        )
        return await crons.create(
            conn,
            org,
            cron_id,
            fields,
            assistant_id=assistant_id,
            thread_id=thread_id,
            user_id="" if call.user is None else call.user.identity,
        )


async def get(call: Call, cron_id: str) -> Cron:
    async with call.tenant() as conn:
        found = await crons.get(conn, call.organization_id, cron_id)
    if found is None:
        raise NotFound
    return found


async def update(call: Call, cron_id: str, *, body: CronPatch) -> Cron:
    """What is omitted stays, metadata is merged. It is due anew only if that was changed.

    Raises NotFound, Invalid, Refused, TooLarge.
    """
    if body == CronPatch():
        raise Refused("Request body cannot be empty")
    _check(call, body)
    async with call.tenant() as conn, conn.transaction():
        found = await crons.get_locked(conn, call.organization_id, cron_id)
        if found is None:
            raise NotFound(f"Cron '{cron_id}' not found")
        fields = _patched(*found, body)
        return await crons.update(conn, call.organization_id, cron_id, fields)


def _patched(cron: Cron, now: datetime, body: CronPatch) -> crons.Fields:
    schedule, timezone = _or(body.schedule, cron.schedule), _or(body.timezone, cron.timezone)
    before = None if cron.end_time is None else datetime.fromisoformat(cron.end_time)
    end_time = before if body.end_time is UNSET else _utc(body.end_time)
    enabled = _or(body.enabled, cron.enabled)
    due = cron.next_run_date
    kept = (schedule, timezone, end_time) == (cron.schedule, cron.timezone, before)
    if not kept or (enabled and not cron.enabled):
        due = _text(Schedule.of(schedule, timezone, end_time).after(now))
    given = _given(body)
    metadata = msgspec.json.decode(cron.metadata, type=dict[str, Raw]) | given.get("metadata", {})
    if "metadata" in given:
        given["metadata"] = metadata
    payload = msgspec.json.decode(cron.payload, type=dict[str, Raw])
    return crons.Fields(
        schedule=schedule,
        timezone=timezone,
        end_time=_text(end_time),
        next_run_date=due,
        enabled=enabled,
        on_run_completed=_or(body.on_run_completed, cron.on_run_completed),
        metadata=codec.dumps(metadata),
        payload=_payload(payload | given, cron.cron_id),
    )


async def delete(call: Call, cron_id: str) -> None:
    """Runs that it made stay. Raises NotFound."""
    async with call.tenant() as conn:
        deleted = await crons.delete(conn, call.organization_id, cron_id)
    if not deleted:
        raise NotFound


@attrs.frozen
class CronCount:
    assistant_id: Id | None = None
    thread_id: Id | None = None
    metadata: Object = attrs.field(factory=dict)


@attrs.frozen
class CronSearch(CronCount):
    enabled: bool | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: crons.SortBy = "created_at"
    sort_order: SortOrder = "desc"
    select: list[Field] | None = None


async def search(call: Call, *, body: CronSearch) -> Reply[list[Cron]]:
    """Newest first by default."""
    async with call.tenant() as conn:
        found = await crons.search(
            conn,
            call.organization_id,
            _filter(body, enabled=body.enabled),
            Page(body.sort_by, body.sort_order, body.limit + 1, body.offset),
        )
    return page(select(found, body.select), body.limit, body.offset)


async def count(call: Call, *, body: CronCount) -> int:
    async with call.tenant() as conn:
        return await crons.count(conn, call.organization_id, _filter(body))


def _check(call: Call, body: CronPatch) -> None:
    if body.webhook is not UNSET:
        check_url(body.webhook, call.deps.config.webhook_networks)


def _given(body: CronPatch) -> Object:
    """What `body` names, less the keys that the server sets."""
    given = attrs.asdict(body, recurse=False, filter=lambda _, value: value is not UNSET)
    if body.metadata:
        given["metadata"] = intake.own_metadata(body.metadata)
    if body.context:
        given["context"] = intake.own_context(body.context)
    return given


def _payload(fields: Object, cron_id: str) -> bytes:
    """What each tick's run is made from. Raises Invalid, Refused and TooLarge if none could be."""
    config = fields.get("config", {})
    if isinstance(config, Raw):
        config = msgspec.json.decode(config)
    codec.check(config, Configuration, where="$.config")
    own = intake.own_context(config.get("configurable", {}))
    config = config | {"configurable": own | {"cron_id": cron_id}}
    payload = codec.dumps(fields | {"config": config})
    if len(payload) > PAYLOAD_BYTES:
        raise TooLarge(f"Cron too large (limit: {PAYLOAD_BYTES} bytes)")
    body = intake.cron_body(Raw(payload), None)
    intake.mirrored(body.config, body.context)
    return payload


def _filter(body: CronCount, *, enabled: bool | None = None) -> crons.Filter:
    return crons.Filter(codec.dumps(body.metadata), body.assistant_id, body.thread_id, enabled)


def _utc(moment: datetime | None) -> datetime | None:
    """Without a zone it is UTC. Raises Invalid near the ends of the calendar."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Invalid("`end_time` is beyond the calendar.") from None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _or(given: T | UnsetType, otherwise: U) -> T | U:
    return otherwise if given is UNSET else given
