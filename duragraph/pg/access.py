"""What PostgreSQL knows of users: that there are any, and what one of them sees.

The filters themselves are policies of the role `duragraph_user`, see `schema.sql`.
"""

from collections.abc import Sequence

from duragraph.pg import Connection

AUTH = "select auth from organization where organization_id = $1"


async def auth(conn: Connection, organization_id: str) -> bytes | None:
    """The `protocol.AuthSpec` registered last, as JSON; None if there was none."""
    kept: bytes | None = await conn.fetchval(AUTH, organization_id)
    return kept


SET_AUTH = "update organization set auth = $2 where organization_id = $1"


async def set_auth(conn: Connection, organization_id: str, spec: bytes | None) -> None:
    await conn.execute(SET_AUTH, organization_id, spec)


SEES = {
    "thread": """
select exists (select from thread where organization_id = $1 and thread_id = $2
    and erase_at is null)
""",
    "assistant": """
select exists (select from assistant where organization_id = $1 and assistant_id = $2)
""",
    "cron": """
select exists (select from cron where organization_id = $1 and cron_id = $2)
""",
}


async def sees(conn: Connection, organization_id: str, noun: str, id: str) -> bool:
    """Whether this thread, assistant or cron exists, for whom the connection serves."""
    found: bool = await conn.fetchval(SEES[noun], organization_id, id)
    return found


SEEN_THREADS = """
select thread_id from thread where organization_id = $1 and thread_id = any($2::uuid[])
    and erase_at is null
"""


async def seen_threads(
    conn: Connection, organization_id: str, thread_ids: Sequence[str]
) -> list[str]:
    """Those of them that exist, for whom the connection serves."""
    records = await conn.fetch(SEEN_THREADS, organization_id, thread_ids)
    return [record["thread_id"] for record in records]


THREAD_OF = "select thread_id from run where organization_id = $1 and run_id = $2"


async def thread_of(conn: Connection, organization_id: str, run_id: str) -> str | None:
    found: str | None = await conn.fetchval(THREAD_OF, organization_id, run_id)
    return found


OPEN_RUNS = """
select thread_id, array_agg(run_id order by run_id) as run_ids from run
where organization_id = $1 and status in ('pending', 'running')
    and ($2 = 'all' or status = $2)
group by thread_id order by thread_id
"""


async def open_runs(
    conn: Connection, organization_id: str, status: str
) -> list[tuple[str, list[str]]]:
    """(thread, its open runs) of this status, `all` for both, for whom the connection serves."""
    records = await conn.fetch(OPEN_RUNS, organization_id, status)
    return [(record["thread_id"], record["run_ids"]) for record in records]


GRAPH_OF = "select graph_id from assistant where organization_id = $1 and assistant_id = $2"


async def graph_of(conn: Connection, organization_id: str, assistant_id: str) -> str | None:
    found: str | None = await conn.fetchval(GRAPH_OF, organization_id, assistant_id)
    return found


PERMITS = "select permits($1, $2)"


async def permits(conn: Connection, filter: str, metadata: bytes) -> bool:
    """Whether the filter would let through what has this metadata."""
    found: bool = await conn.fetchval(PERMITS, filter.encode(), metadata)
    return found
