"""PostgreSQL: the only record. One file a table group; SQL stands above the function that runs it.

Ids and timestamps are text as on the wire, `json` is `Raw` bytes that nobody parses.
"""

import sysconfig
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar, cast

import asyncpg
import attrs
from asyncpg.pool import PoolConnectionProxy
from msgspec import Raw

from duragraph.codec import storable
from duragraph.errors import Busy, Conflict, DuraGraphError, Invalid, Unavailable
from duragraph.models import SortOrder

DEFAULT_ORGANIZATION = "00000000-0000-0000-0000-000000000000"

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SCHEMA_LOCK = 0x6475_7261
_UUID_BYTES = 16

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Pool: TypeAlias = "asyncpg.Pool[Any]"
SortBy = TypeVar("SortBy", bound=str)

SEARCH_SECONDS = 10
BOUND = f"set local statement_timeout = '{SEARCH_SECONDS}s'"
"""For searches through what users stored: they end in time, with Unavailable."""


@attrs.frozen
class Page(Generic[SortBy]):
    """Which of the rows that a search found, in which order."""

    sort_by: SortBy
    sort_order: SortOrder
    limit: int
    offset: int


OPEN, CLOSED = "{}", '{"$or":[]}'


@attrs.frozen(kw_only=True)
class Limits:
    """What a user may see: filters of metadata, as JSON for `permits`; if not said, nothing."""

    threads: str = CLOSED
    assistants: str = CLOSED
    crons: str = CLOSED


class TenantConnection(asyncpg.Connection):
    """Remembers what its session is set to; a `SET LOCAL` a read would cost 4x.

    While it is being set nothing is remembered: cancelled, it may be set or not.
    """

    __slots__ = ("limits", "organization_id")

    async def serve(self, organization_id: str) -> None:
        if getattr(self, "organization_id", None) != organization_id:
            self.organization_id = None
            await self.execute(SET_ORGANIZATION, organization_id)
            self.organization_id = organization_id

    async def limit(self, limits: Limits) -> None:
        if getattr(self, "limits", None) != limits:
            self.limits = None
            await self.execute(SET_LIMITS, *attrs.astuple(limits))
            self.limits = limits


SET_ORGANIZATION = "select set_config('app.organization_id', $1, false)"

SET_LIMITS = """
select set_config('app.threads', $1, false), set_config('app.assistants', $2, false),
    set_config('app.crons', $3, false)
"""


async def open_pool(
    dsn: str,
    role: str,
    *,
    size: int,
    least: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Pool:
    """`role` is `duragraph_api`, bound by the tenant policy, or `duragraph_engine`.

    Or `duragraph_user`, which is `duragraph_api` within limits.
    `settings` are those that defaults in `schema.sql` read.
    Generic plans and no sequential scans: a plan made while `run` is small would otherwise
    stay a scan of it until the next autoanalyze. Raises Unavailable.
    """
    with translated():
        return await asyncpg.create_pool(
            dsn,
            min_size=least,
            max_size=size,
            connection_class=TenantConnection,
            init=_init,
            reset=_keep,
            server_settings={
                "role": role,
                "timezone": "UTC",
                "application_name": role,
                "plan_cache_mode": "force_generic_plan",
                "enable_seqscan": "off",
                "jit": "off",
                "lock_timeout": "5s",
                **(settings or {}),
            },
        )


def thread_ttl(minutes: float | None, strategy: str) -> dict[str, str]:
    """The settings that give new threads a time to live."""
    if minutes is None:
        return {}
    return {"app.thread_ttl_minutes": f"{minutes!r}", "app.thread_ttl_strategy": strategy}


@asynccontextmanager
async def acquire(pool: Pool) -> AsyncIterator[Connection]:
    """A connection, within which foreign errors become ours. Raises Unavailable."""
    with translated():
        async with pool.acquire() as conn:
            yield conn


@asynccontextmanager
async def tenant(pool: Pool, organization_id: str) -> AsyncIterator[Connection]:
    """A connection that sees `organization_id`'s rows only. Raises Unavailable."""
    async with acquire(pool) as conn:
        await cast("TenantConnection", conn).serve(organization_id)
        yield conn


@asynccontextmanager
async def limited(pool: Pool, organization_id: str, limits: Limits) -> AsyncIterator[Connection]:
    """As `tenant`, of the `duragraph_user` pool: sees only what the limits let through."""
    async with tenant(pool, organization_id) as conn:
        await cast("TenantConnection", conn).limit(limits)
        yield conn


@contextmanager
def translated() -> Iterator[None]:
    """Foreign errors become ours here: a client sees neither SQL nor a driver's words."""
    try:
        yield
    except (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # what a connection says that is lost between two messages
        asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError,
        asyncpg.CannotConnectNowError,
    ) as error:
        raise Unavailable("The database is not reachable.", hint="Try again shortly.") from error
    except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError) as error:
        raise Busy("Too much happens to this at once.", hint="Try again shortly.") from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict from error
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
        raise Invalid("A value can't be stored.", hint="Check encodings and sizes.") from error
    except asyncpg.PostgresError as error:
        raise DuraGraphError("Internal Server Error") from error


def columns(noun: Any, table: str = "") -> str:
    """The columns of an attrs class: its fields, less those with a default."""
    return ", ".join(
        f"{table}.{f.name}" if table else f.name
        for f in attrs.fields(noun)
        if f.default is attrs.NOTHING
    )


def rows(tag: str) -> int:
    """The count in a command's tag, `DELETE 3` -> 3."""
    return int(tag.rpartition(" ")[2])


def schema_sql() -> str:
    """`schema.sql`, from the source tree or from where the wheel put it."""
    for root in (Path(__file__).parents[2], Path(sysconfig.get_path("data")) / "share/duragraph"):
        if (path := root / "schema.sql").exists():
            return path.read_text()
    raise DuraGraphError("schema.sql is missing.", hint="Install duragraph again.")


APPLIED = """
select obj_description(to_regclass('organization'), 'pg_class') is not distinct from $1::text
    and to_regrole('duragraph_api') is not null and to_regrole('duragraph_engine') is not null
    and to_regrole('duragraph_user') is not null
"""


async def apply_schema(dsn: str) -> None:
    """Unless it stands there already: its locks would get in the way of the planes at work.

    Idempotent; concurrent planes take turns. Raises Unavailable.
    """
    sql = schema_sql()
    mark = f"schema.sql {sha256(sql.encode()).hexdigest()}"
    with translated():
        conn = await asyncpg.connect(dsn)
        try:
            async with conn.transaction():
                await conn.execute(f"select pg_advisory_xact_lock({_SCHEMA_LOCK})")
                if not await conn.fetchval(APPLIED, mark):
                    await conn.execute(sql)
                    await conn.execute(f"comment on table organization is '{mark}'")
        finally:
            await conn.close()


async def _init(conn: "asyncpg.Connection[Any]") -> None:
    await conn.set_type_codec(
        "uuid", schema="pg_catalog", encoder=_uuid_out, decoder=_uuid_in, format="binary"
    )
    await conn.set_type_codec(
        "json", schema="pg_catalog", encoder=_json_out, decoder=Raw, format="binary"
    )
    await conn.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_jsonb_out, decoder=_jsonb_in, format="binary"
    )
    await conn.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_time_out, decoder=_time_in, format="tuple"
    )


async def _keep(conn: "asyncpg.Connection[Any]") -> None:
    """In place of the reset query that asyncpg runs at every release; we leave no state behind."""


def _uuid_out(value: str) -> bytes:
    encoded = bytes.fromhex(str(value).replace("-", ""))
    if len(encoded) != _UUID_BYTES:  # the server would take it for a broken connection
        raise ValueError("a UUID has 32 hexadecimal digits")
    return encoded


def _uuid_in(value: bytes) -> str:
    h = value.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def _json_out(value: bytes) -> bytes:
    return storable(bytes(value))


def _jsonb_out(value: bytes) -> bytes:
    return b"\x01" + bytes(value)


def _jsonb_in(value: bytes) -> Raw:
    return Raw(value[1:])


def _time_in(value: tuple[int]) -> str:
    return (_EPOCH + timedelta(microseconds=value[0])).isoformat(timespec="microseconds")


def _time_out(value: str) -> tuple[int]:
    return ((datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1),)
