"""Idempotency keys: what was answered under each, kept in the transaction that made it."""

import attrs

from duragraph.errors import Busy, Conflict
from duragraph.models import Json
from duragraph.pg import Connection, rows


@attrs.frozen
class Key:
    """A request's `Idempotency-Key`. `request` is the SHA-256 of what it asks for."""

    organization_id: str
    key: str
    request: bytes


# Who comes second waits here until the first has committed, or is the first if that rolled back.
CLAIM = """
insert into idempotency_key (organization_id, key, request) values ($1, $2, $3)
on conflict do nothing
"""

FIND = "select request, answer from idempotency_key where organization_id = $1 and key = $2"


async def claim(conn: Connection, key: Key) -> Json | None:
    """What was answered under the key; None if it was free and is this transaction's now.

    Raises Conflict if it stands for another request.
    """
    if rows(await conn.execute(CLAIM, *attrs.astuple(key))):
        return None
    record = await conn.fetchrow(FIND, key.organization_id, key.key)
    if record is None:
        raise Busy(hint="The Idempotency-Key was just forgotten; try again.")
    if record["request"] != key.request:
        raise Conflict(
            "The Idempotency-Key was used for another request.",
            hint="Send the same method, path and body again, or take a new key.",
        )
    answer: Json = record["answer"]
    return answer


ANSWER = "update idempotency_key set answer = $3 where organization_id = $1 and key = $2"


async def answer(conn: Connection, key: Key, answer: bytes) -> None:
    """Keep what was made under a claimed key. In the claim's transaction."""
    await conn.execute(ANSWER, key.organization_id, key.key, answer)


FORGET = """
delete from idempotency_key where (organization_id, key) in (
    select organization_id, key from idempotency_key
    where created_at < now() - make_interval(secs => $1)
    order by created_at limit 1000 for update skip locked)
"""


async def forget(conn: Connection, *, after_seconds: float) -> None:
    await conn.execute(FORGET, after_seconds)
