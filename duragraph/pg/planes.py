"""Planes that live, and the runs whose client hangs on one that does not."""

from duragraph.pg import Connection

SEEN = """
insert into plane (plane_id, until) values ($1, now() + make_interval(secs => $2))
on conflict (plane_id) do update set until = excluded.until
"""


async def seen(conn: Connection, plane_id: str, *, seconds: float) -> None:
    """The plane counts as alive for so long."""
    await conn.execute(SEEN, plane_id, seconds)


ORPHANS = """
select organization_id, thread_id, run_id from run r
where r.plane_id is not null and r.status in ('pending', 'running')
    and not exists (select from plane p where p.plane_id = r.plane_id and p.until > now())
order by thread_id limit 500
"""


async def orphans(conn: Connection) -> list[tuple[str, str, str]]:
    """(organization, thread, run) that were to end with their client, whose plane died."""
    records = await conn.fetch(ORPHANS)
    return [(r["organization_id"], r["thread_id"], r["run_id"]) for r in records]


LET_GO = """
with x as (
    select run_id from run where plane_id = $1 and status in ('pending', 'running')
    order by run_id for update
)
update run r set plane_id = null from x where r.run_id = x.run_id
"""

LEAVE = "delete from plane where plane_id = $1 or until < now() - interval '1 day'"


async def leave(conn: Connection, plane_id: str) -> None:
    """A plane stops. Its clients did not leave, so their runs go on."""
    await conn.execute(LET_GO, plane_id)
    await conn.execute(LEAVE, plane_id)
