"""Deliveries that webhooks are owed. The trigger `owe_webhook` makes them as runs end.

A claim is a lease by time, not a transaction: `due_at` lies beyond the try that it is for.
"""

from collections.abc import Sequence

import attrs

from duragraph.pg import Connection

KEPT_DAYS = 7
"""How long a delivery that was given up stays to be seen."""

# Without a name and a password before it; never null, which would compare with nothing.
_HOST = "coalesce(lower(substring(url from '^[a-zA-Z]+://(?:[^/?#]*@)?([^/?#@]*)')), '')"


@attrs.frozen
class Delivery:
    """One try, the `attempt`-th. `body` is JSON without `webhook_sent_at`."""

    run_id: str
    url: str
    host: str
    body: bytes
    attempt: int
    created_at: str


# The first thousand are looked at, less those for hosts that have enough under way: a receiver
# that hangs may owe any number of them without standing before the others.
CLAIM = f"""
with due as materialized (
    select run_id, due_at, row_number() over (partition by {_HOST} order by due_at) as nth,
        sum(bytes) over (order by due_at, run_id) - bytes as before
    from (
        select run_id, url, due_at, pg_column_size(body) as bytes from webhook_delivery
        where due_at <= now() and gave_up_at is null and {_HOST} <> all ($2::text[])
        order by due_at limit 1000
    ) d
), x as materialized (
    select d.run_id from webhook_delivery d join due using (run_id)
    where nth <= $3 and before < $5 and d.due_at <= now()
    order by due.due_at limit $1 for update of d skip locked
)
update webhook_delivery d set attempt = d.attempt + 1, due_at = now() + make_interval(secs => $4)
from x where d.run_id = x.run_id
returning d.run_id, d.url, {_HOST} as host, d.body, d.attempt, d.created_at
"""


async def claim(
    conn: Connection,
    limit: int,
    *,
    less: Sequence[str],
    per_host: int,
    max_bytes: int,
    seconds: float,
) -> list[Delivery]:
    """Up to `limit` that are due, at most `per_host` of each host and none of those in `less`.

    No more are taken once their bodies have `max_bytes`. They are due again after
    `seconds`, unless `delivered` or `failed` says otherwise.
    """
    records = await conn.fetch(CLAIM, limit, less, per_host, seconds, max_bytes)
    return [Delivery(*r) for r in records]


DELIVERED = "delete from webhook_delivery where run_id = $1"


async def delivered(conn: Connection, run_id: str) -> None:
    await conn.execute(DELIVERED, run_id)


# Only the try that holds the lease may say so; a tenth more or less keeps herds apart.
FAILED = """
update webhook_delivery set last_error = $3,
    due_at = now() + make_interval(secs => coalesce($4, 0) * (0.95 + random() / 10)),
    gave_up_at = case when $4::float8 is null then now() end
where run_id = $1 and attempt = $2
"""


async def failed(
    conn: Connection, run_id: str, attempt: int, why: str, *, retry_seconds: float | None
) -> None:
    """It is due again after `retry_seconds`; None gives it up."""
    await conn.execute(FAILED, run_id, attempt, why, retry_seconds)


FORGET = f"""
delete from webhook_delivery where run_id in (
    select run_id from webhook_delivery where gave_up_at < now() - interval '{KEPT_DAYS} days'
    limit 1000 for update skip locked)
"""


async def forget(conn: Connection) -> None:
    """Deliveries that were given up and have been seen long enough."""
    await conn.execute(FORGET)
