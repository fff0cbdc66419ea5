"""Crons: what clients make of them, and what the scheduler claims of all tenants'."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

import attrs

from duragraph.models import Cron, Json, OnCompletion, SortOrder
from duragraph.pg import Connection, Page, columns, rows

COLUMNS = columns(Cron)

SortBy = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "next_run_date",
    "end_time",
    "created_at",
    "updated_at",
]


@attrs.frozen
class Target:
    """What a new cron is to run on, and the database's time."""

    assistant_exists: bool
    thread_exists: bool
    now: datetime


# Both are locked until the cron is there, so that whoever deletes them deletes it too; in the order
# in which deletions lock them. A temporary thread would be gone before its first tick.
TARGET = """
select
    exists (select from assistant
        where organization_id = $1 and assistant_id = $2 for key share),
    $3::uuid is null or exists (select from thread
        where organization_id = $1 and thread_id = $3 and erase_at is null and not temporary
        for key share),
    now()
"""


async def target(
    conn: Connection, organization_id: str, assistant_id: str, thread_id: str | None
) -> Target:
    """Part of the transaction that creates the cron."""
    record = await conn.fetchrow(TARGET, organization_id, assistant_id, thread_id)
    assert record is not None
    assistant_exists, thread_exists, now = record
    return Target(assistant_exists, thread_exists, datetime.fromisoformat(now))


@attrs.frozen
class Fields:
    """What clients set, and when that makes the cron due."""

    schedule: str
    timezone: str | None
    end_time: str | None
    next_run_date: str | None
    enabled: bool
    on_run_completed: OnCompletion | None
    metadata: bytes
    payload: bytes


CREATE = f"""
insert into cron (organization_id, cron_id, assistant_id, thread_id, schedule, timezone, end_time,
    next_run_date, enabled, on_run_completed, metadata, payload, user_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
returning {COLUMNS}
"""


async def create(
    conn: Connection,
    organization_id: str,
    cron_id: str,
    fields: Fields,
    *,
    assistant_id: str,
    thread_id: str | None,
    user_id: str,
) -> Cron:
    ids = organization_id, cron_id, assistant_id, thread_id
    record = await conn.fetchrow(CREATE, *ids, *attrs.astuple(fields), user_id)
    assert record is not None
    return Cron(*record)


GET = f"select {COLUMNS} from cron where organization_id = $1 and cron_id = $2"


async def get(conn: Connection, organization_id: str, cron_id: str) -> Cron | None:
    record = await conn.fetchrow(GET, organization_id, cron_id)
    return None if record is None else Cron(*record)


GET_LOCKED = f"""
select {COLUMNS}, now() from cron where organization_id = $1 and cron_id = $2 for update of cron
"""


async def get_locked(
    conn: Connection, organization_id: str, cron_id: str
) -> tuple[Cron, datetime] | None:
    """For the transaction that updates it; with the database's time."""
    record = await conn.fetchrow(GET_LOCKED, organization_id, cron_id)
    if record is None:
        return None
    *columns, now = record
    return Cron(*columns), datetime.fromisoformat(now)


UPDATE = f"""
update cron set schedule = $3, timezone = $4, end_time = $5, next_run_date = $6, enabled = $7,
    on_run_completed = $8, metadata = $9, payload = $10, updated_at = clock_timestamp()
where organization_id = $1 and cron_id = $2
returning {COLUMNS}
"""


async def update(conn: Connection, organization_id: str, cron_id: str, fields: Fields) -> Cron:
    """Get it locked first, in that transaction."""
    record = await conn.fetchrow(UPDATE, organization_id, cron_id, *attrs.astuple(fields))
    assert record is not None
    return Cron(*record)


DELETE = "delete from cron where organization_id = $1 and cron_id = $2"


async def delete(conn: Connection, organization_id: str, cron_id: str) -> bool:
    return rows(await conn.execute(DELETE, organization_id, cron_id)) > 0


@attrs.frozen
class Filter:
    """Metadata that is contained, and ids; None passes all."""

    metadata: bytes
    assistant_id: str | None
    thread_id: str | None
    enabled: bool | None


_MATCHING = """
organization_id = $1 and metadata @> $2 and ($3::uuid is null or assistant_id = $3)
    and ($4::uuid is null or thread_id = $4) and ($5::bool is null or enabled = $5)
"""

# A column can't be a parameter, so there is one statement for each way to sort.
SEARCH = {
    (column, order): f"""
select {COLUMNS} from cron where {_MATCHING}
order by {column} {order}, cron_id limit $6 offset $7
"""
    for column in get_args(SortBy)
    for order in get_args(SortOrder)
}


async def search(
    conn: Connection, organization_id: str, filter: Filter, page: Page[SortBy]
) -> list[Cron]:
    statement, wanted = SEARCH[page.sort_by, page.sort_order], attrs.astuple(filter)
    records = await conn.fetch(statement, organization_id, *wanted, page.limit, page.offset)
    return [Cron(*r) for r in records]


COUNT = f"select count(*) from cron where {_MATCHING}"


async def count(conn: Connection, organization_id: str, filter: Filter) -> int:
    found: int = await conn.fetchval(COUNT, organization_id, *attrs.astuple(filter))
    return found


NOW = "select now()"


async def now(conn: Connection) -> datetime:
    """The time that decides what is due: the database's."""
    return datetime.fromisoformat(await conn.fetchval(NOW))


FIRST_DUE = """
select least(
    (select min(next_run_date) from cron where enabled and thread_id is null),
    (select min(next_run_date) from cron where enabled and thread_id is not null))
"""


async def first_due(conn: Connection) -> datetime | None:
    """When the next cron of all is due, or was."""
    found = await conn.fetchval(FIRST_DUE)
    return None if found is None else datetime.fromisoformat(found)


@attrs.frozen
class Due:
    """A cron that is claimed: this transaction makes its run and moves it on, or nothing."""

    cron_id: str
    organization_id: str
    assistant_id: str
    thread_id: str | None
    schedule: str
    timezone: str | None
    end_time: str | None
    next_run_date: str
    on_run_completed: OnCompletion | None
    payload: Json
    user_id: str


_DUE_COLUMNS = columns(Due, "c")
_DUE = "c.enabled and c.next_run_date <= $1 and c.thread_id"

# Threads are locked with their crons: who deletes one takes both, in the other order, and so
# neither waits for the other. What is locked is taken by who locked it, or by the next claim.
CLAIM = f"""
with free as materialized (
    select {_DUE_COLUMNS} from cron c where {_DUE} is null
    order by c.next_run_date, c.cron_id limit $2 for update of c skip locked
), bound as materialized (
    select {_DUE_COLUMNS} from cron c join thread t using (organization_id, thread_id)
    where {_DUE} is not null
    order by c.next_run_date, c.cron_id limit $2 for update of c, t skip locked
)
select * from (select * from free union all select * from bound) c
order by next_run_date, cron_id
"""


async def claim(conn: Connection, now: datetime, *, limit: int) -> list[Due]:
    """Lock crons that are due, up to `limit` with a thread and as many without."""
    return [Due(*r) for r in await conn.fetch(CLAIM, now.isoformat(), limit)]


ADVANCE = """
update cron c set next_run_date = x.next_run_date
from unnest($1::uuid[], $2::timestamptz[]) as x(cron_id, next_run_date)
where c.cron_id = x.cron_id
"""


async def advance(conn: Connection, following: Mapping[str, datetime | None]) -> None:
    """When each of these claimed crons is due next; None: never again."""
    dates = [None if due is None else due.isoformat() for due in following.values()]
    await conn.execute(ADVANCE, list(following), dates)
