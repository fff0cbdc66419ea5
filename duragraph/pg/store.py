"""The store's items. What is found, compared and ranked in values is PostgreSQL's work alone.

A namespace is kept as its path, `.users.ada.` for `["users", "ada"]`: labels have no dots, so
what stands under a prefix is one range of the primary key.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import attrs
from asyncpg import Record

from duragraph import codec
from duragraph.errors import Invalid, TooLarge
from duragraph.models import Item, SearchItem
from duragraph.pg import BOUND, Connection

Vector: TypeAlias = Sequence[float]

INDEXED_CHARACTERS = 131_072
"""Of a value's text; a longer one is found by its beginning."""
SEARCH_BYTES, AT_ONCE = 64 << 20, 10
"""What a search may find in all, and how many items it fetches at a time."""

# Dashes that exclude nothing, of which PostgreSQL fails over some dozens in a row.
_idle_dash = re.compile(r'-(?![^\W_]|")')
_step = re.compile(r"(?:^|\.)(?:(\*)|([^.\[\]*]+))|\[(?:(\*)|(-?\d{1,9}))\]").match

_ITEM = """
string_to_array(btrim(s.path, '.'), '.') as namespace, s.key, s.value, s.created_at, s.updated_at
"""
_ALIVE = "(s.expires_at is null or s.expires_at > now())"
_LATER = "now() + make_interval(secs => ttl_minutes * 60)"


def path(namespace: Iterable[str]) -> str:
    return "." + "".join(f"{label}." for label in namespace)


def _beyond(path: str) -> str:
    """The end of the range of what begins with `path`: `/` follows the dot."""
    return path[:-1] + "/"


# All leaves under the paths to be indexed, in words; an item that has expired is a new one again.
# Arrays, since `jsonb_path_query` hands out what it found in quadratic time.
PUT = f"""
with x as (
    select $1::uuid as organization_id, $2::text as path, $3::text as key, $4::jsonb as value,
        $6::float8 as ttl_minutes
)
insert into store_item as s
    (organization_id, path, key, value, ttl_minutes, expires_at, vectors, words)
select x.*, {_LATER}, $7::real[], (
    select to_tsvector('english', left(string_agg(left(leaf, {INDEXED_CHARACTERS}), ' '),
        {INDEXED_CHARACTERS}))
    from (
        select leaf from unnest($5::text[]) as indexed
        cross join jsonb_array_elements(jsonb_path_query_array(x.value, indexed::jsonpath)) as found
        cross join jsonb_array_elements_text(jsonb_path_query_array(found,
            'strict $.** ? (@.type() == "string" || @.type() == "number")')) as leaf
        limit {INDEXED_CHARACTERS}
    ) leaves
)
from x
on conflict (organization_id, path, key) do update set
    value = excluded.value, ttl_minutes = excluded.ttl_minutes, expires_at = excluded.expires_at,
    vectors = excluded.vectors, words = excluded.words, updated_at = excluded.updated_at,
    created_at = case when {_ALIVE} then s.created_at else excluded.created_at end
"""


async def put(
    conn: Connection,
    organization_id: str,
    namespace: Sequence[str],
    key: str,
    *,
    value: bytes,
    index: Sequence[str],
    ttl: float | None,
    vectors: Sequence[Vector] | None,
) -> None:
    """Create or overwrite an item. `index`: where full text looks, as `$` or `a.b[*].c`.

    `ttl` in minutes; `vectors` of one length. Raises Invalid for a path that can't be read.
    """
    paths = [_jsonpath(each) for each in index]
    units = vectors and [_unit(each) for each in vectors]
    await conn.execute(PUT, organization_id, path(namespace), key, value, paths, ttl, units or None)


GET = f"""
select {_ITEM}, s.ttl_minutes is not null as mortal from store_item s
where s.organization_id = $1 and s.path = $2 and s.key = $3 and {_ALIVE}
"""


async def get(
    conn: Connection, organization_id: str, namespace: Sequence[str], key: str, *, refresh: bool
) -> Item | None:
    """`refresh`: an item with a time to live has it anew."""
    record = await conn.fetchrow(GET, organization_id, path(namespace), key)
    if record is None:
        return None
    *item, mortal = record
    if refresh and mortal:
        await conn.execute(REFRESH, organization_id, [path(namespace)], [key])
    return Item(*item)


# Rows that are locked are skipped: another reader is refreshing them.
REFRESH = f"""
with x as materialized (
    select s.path, s.key from unnest($2::text[], $3::text[]) as read(path, key)
    join store_item s on s.organization_id = $1 and s.path = read.path and s.key = read.key
    order by s.path, s.key for update of s skip locked
)
update store_item s set expires_at = {_LATER}
from x where s.organization_id = $1 and s.path = x.path and s.key = x.key
"""

DELETE = "delete from store_item where organization_id = $1 and path = $2 and key = $3"


async def delete(
    conn: Connection, organization_id: str, namespace: Sequence[str], key: str
) -> None:
    await conn.execute(DELETE, organization_id, path(namespace), key)


@attrs.frozen
class Condition:
    """On what stands at `at` in a value: `$eq` … `$lte` an operand, or that it is an `object`."""

    at: Sequence[str]
    operator: str
    given: Any = None


# What is missing is null. Only numbers compare with numbers, and strings with strings.
_MATCHES = """
not exists (
    select from jsonb_to_recordset($4) as c(at text[], operator text, given jsonb)
    cross join lateral (select coalesce(s.value #> at, 'null') as found,
        coalesce(given, 'null') as operand) f
    cross join lateral (select case
        when jsonb_typeof(found) <> jsonb_typeof(operand) then null
        when jsonb_typeof(operand) = 'number' then sign(found::numeric - operand::numeric)
        when jsonb_typeof(operand) <> 'string' then null
        when (found #>> '{}') collate "C" < operand #>> '{}' then -1
        else (found <> operand)::int end as compared) o
    where case operator
        when '$eq' then found = operand
        when '$ne' then found <> operand
        when '$gt' then compared > 0
        when '$gte' then compared >= 0
        when '$lt' then compared < 0
        when '$lte' then compared <= 0
        when 'object' then jsonb_typeof(found) = 'object' end is not true)
"""

_UNDER = f"s.organization_id = $1 and s.path >= $2 and s.path < $3 and {_ALIVE} and {_MATCHES}"

LIST = f"""
select {_ITEM}, null::float8 as score, s.ttl_minutes is not null as mortal from store_item s
where {_UNDER}
order by s.updated_at desc, s.path, s.key limit $5 offset $6
"""

# One of the words will do, and more are better; where some are excluded, all others must be there.
FIND = f"""
with asked as materialized (
    select case when q::text like '%!%' then q
        else replace(q::text, ' & ', ' | ')::tsquery end as query
    from websearch_to_tsquery('english', $7) q
)
select {_ITEM}, ts_rank(s.words, query, 32)::float8 as score, s.ttl_minutes is not null as mortal
from store_item s, asked
where {_UNDER} and s.words @@ query
order by score desc, s.updated_at desc, s.path, s.key limit $5 offset $6
"""

# The best of an item's vectors counts. Those of another length are another model's.
NEAR = f"""
select {_ITEM}, score, s.ttl_minutes is not null as mortal
from store_item s cross join lateral (
    select max(dot)::float8 as score from generate_subscripts(s.vectors, 1) i cross join lateral (
        select sum(a * b) as dot from unnest(s.vectors[i:i], $7::real[]) as p(a, b)) d
) n
where {_UNDER} and array_length(s.vectors, 2) = cardinality($7::real[])
order by score desc, s.updated_at desc, s.path, s.key limit $5 offset $6
"""


async def search(
    conn: Connection,
    organization_id: str,
    prefix: Sequence[str],
    conditions: Sequence[Condition],
    *,
    query: str | Vector | None,
    limit: int,
    offset: int,
    refresh: bool,
) -> list[SearchItem]:
    """The last changed first, or, with a `query` in words or as a vector, the best first.

    Raises Unavailable when it takes longer than `pg.SEARCH_SECONDS`, and TooLarge.
    """
    first = path(prefix)
    arguments = (
        organization_id,
        first,
        _beyond(first),
        codec.dumps(conditions),
        limit,
        offset,
    )
    async with conn.transaction():
        await conn.execute(BOUND)
        if query is None:
            records = await _within_bounds(conn, LIST, *arguments)
        elif isinstance(query, str):
            records = await _within_bounds(conn, FIND, *arguments, _idle_dash.sub(" ", query))
        else:
            records = await _within_bounds(conn, NEAR, *arguments, _unit(query))
        mortal = [(path(r["namespace"]), r["key"]) for r in records if refresh and r["mortal"]]
        if mortal:
            await conn.execute(REFRESH, organization_id, *zip(*mortal, strict=True))
    return [SearchItem(*tuple(r)[:-1]) for r in records]


async def _within_bounds(conn: Connection, sql: str, *arguments: Any) -> list[Record]:
    """All rows, fetched some at a time, if their values have SEARCH_BYTES. Raises TooLarge."""
    records: list[Record] = []
    left = SEARCH_BYTES
    async for record in conn.cursor(sql, *arguments, prefetch=AT_ONCE):
        left -= len(record["value"])
        if left < 0:
            raise TooLarge(
                f"The items found are too large together (limit: {SEARCH_BYTES} bytes)",
                hint="Search with a lower limit.",
            )
        records.append(record)
    return records


_FITS = """
cardinality(labels) >= greatest(cardinality($4::text[]), cardinality($5::text[]))
and not exists (
    select from unnest($4::text[]) with ordinality as p(label, i)
    where label not in ('*', labels[i]))
and not exists (
    select from unnest($5::text[]) with ordinality as p(label, i)
    where label not in ('*', labels[cardinality(labels) - cardinality($5::text[]) + i]))
"""

# From one namespace to the next along the key, past all items of the first; and past all that is
# deeper than asked once one of those fits. Lazy: what lies beyond the limit is not looked at.
NAMESPACES = f"""
with recursive step(path, labels, fits) as (
    select left($2, -1) collate "C", '{{}}'::text[] collate "C", false
    union all
    select n.path, n.labels, {_FITS.replace("labels", "n.labels")}
    from step cross join lateral (
        select s.path, string_to_array(btrim(s.path, '.'), '.') as labels from store_item s
        where s.organization_id = $1 and s.path >= $2 and s.path < $3 and {_ALIVE}
            and s.path > case when step.fits and cardinality(step.labels) >= $6
                then '.' || array_to_string(step.labels[:$6], '.') || '/' else step.path end
        order by s.path limit 1
    ) n
)
select labels[:coalesce($6, cardinality(labels))] as namespace from step where fits
limit $7 offset $8
"""


async def namespaces(
    conn: Connection,
    organization_id: str,
    *,
    prefix: Sequence[str],
    suffix: Sequence[str],
    max_depth: int | None,
    limit: int,
    offset: int,
) -> list[list[str]]:
    """Those that hold items, in order, cut to `max_depth`; `*` stands for any label.

    Raises Unavailable when it takes longer than `pg.SEARCH_SECONDS`.
    """
    known = prefix[: prefix.index("*")] if "*" in prefix else prefix
    first = path(known)
    async with conn.transaction(readonly=True):
        await conn.execute(BOUND)
        records = await conn.fetch(
            NAMESPACES,
            organization_id,
            first,
            _beyond(first),
            prefix,
            suffix,
            max_depth,
            limit,
            offset,
        )
    return [r["namespace"] for r in records]


FORGET = """
delete from store_item where (organization_id, path, key) in (
    select organization_id, path, key from store_item where expires_at < now()
    order by expires_at limit 1000 for update skip locked)
"""


async def forget(conn: Connection) -> None:
    """Erase what has expired."""
    await conn.execute(FORGET)


def _unit(vector: Vector) -> list[float]:
    """Of length 1, so that products are cosines; zeros stay zeros."""
    length = math.hypot(*vector)
    return [each / length for each in vector] if 0 < length < math.inf else [0.0] * len(vector)


def _jsonpath(given: str) -> str:
    """LangGraph's `a.b[*].c` or `$` as PostgreSQL has it. Raises Invalid."""
    steps, at = ["$"], 0
    while given != "$" and at < max(len(given), 1):
        step = _step(given, at)
        if step is None:
            raise Invalid(
                f"Invalid index path {given!r}", hint="Write it as `$`, `title` or `parts[*].text`."
            )
        every, name, all_of, number = step.groups()
        at = step.end()
        if name is not None:
            steps.append("." + json.dumps(name, ensure_ascii=False))
        elif every or all_of:
            steps.append(".*" if every else "[*]")
        else:
            n = int(number)
            steps.append(f"[{n}]" if n >= 0 else f"[last - {-n - 1}]")
    return "".join(steps)
