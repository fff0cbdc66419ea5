"""Assistants as other agents see them: tools of MCP, cards and tasks of A2A. Read only.

A task is a run and those that went on with it; these name it by `a2a_task` in their metadata.
"""

import attrs

from duragraph.models import EMPTY, Json
from duragraph.pg import Connection

# Tools of one name are told apart by the end of their assistants' ids: it begins with the time.
_TOOL = """
select a.assistant_id, tool_name(a.name) || case when exists (
        select from assistant o where o.organization_id = a.organization_id
            and tool_name(o.name) = tool_name(a.name) and o.assistant_id <> a.assistant_id)
    then '-' || right(a.assistant_id::text, 8) else '' end as name,
    a.name as title, a.description, g.input_schema, g.output_schema
from assistant a
cross join lateral (select * from graph g where g.organization_id = a.organization_id
    and g.graph_id = a.graph_id order by registered_at desc limit 1) g
where a.organization_id = $1 and g.input_schema ->> 'type' = 'object'
"""


@attrs.frozen
class Tool:
    """An assistant whose graph takes an object; `name` is unique unless ids end alike."""

    assistant_id: str
    name: str
    title: str
    description: str | None
    input_schema: Json
    output_schema: Json


TOOLS = f"{_TOOL} order by a.created_at desc, a.assistant_id limit $2 offset $3"


async def tools(conn: Connection, organization_id: str, *, limit: int, offset: int) -> list[Tool]:
    """Newest first."""
    return [Tool(*r) for r in await conn.fetch(TOOLS, organization_id, limit, offset)]


TOOLS_NAMED = f"""
{_TOOL} and (tool_name(a.name) = $2
    or tool_name(a.name) = $3 and right(a.assistant_id::text, 8) = $4)
limit 2
"""


async def tools_named(conn: Connection, organization_id: str, name: str) -> list[Tool]:
    """Those that `name` may mean: none, the one, or two where it is not enough to tell."""
    plain, _, suffix = name.rpartition("-")
    found = await conn.fetch(TOOLS_NAMED, organization_id, name, plain, suffix)
    return [Tool(*r) for r in found]


CARD = """
select a.assistant_id, a.graph_id, a.name, a.description, g.input_schema
from assistant a
left join lateral (select * from graph g where g.organization_id = a.organization_id
    and g.graph_id = a.graph_id order by registered_at desc limit 1) g on true
where a.organization_id = $1 and a.assistant_id = $2
"""


@attrs.frozen
class Agent:
    """What A2A says of an assistant. `input_schema` is None while no worker served its graph."""

    assistant_id: str
    graph_id: str
    name: str
    description: str | None
    input_schema: Json | None


async def agent(conn: Connection, organization_id: str, assistant_id: str) -> Agent | None:
    record = await conn.fetchrow(CARD, organization_id, assistant_id)
    return None if record is None else Agent(*record)


# An answer that came too late changed nothing.
_LATE = "error ->> 'error' is not distinct from 'UnknownInterruptError'"

# A run that stopped at an interrupt is a success, and its thread waits for what goes on.
_STATE = f"""
case
    when r.status = 'pending' then 'submitted'
    when r.status = 'running' then 'working'
    when r.status in ('error', 'timeout') then 'failed'
    when r.status = 'interrupted' then 'canceled'
    when t.status = 'interrupted' and not exists (select from run l
        where l.organization_id = r.organization_id and l.thread_id = r.thread_id
            and l.created_at > r.created_at and l.erase_at is null and not l.{_LATE})
        then 'input-required'
    else 'completed'
end
"""
_TASK = f"""
select r.thread_id, coalesce(r.metadata ->> 'a2a_task', r.run_id::text), r.run_id, r.assistant_id,
    {_STATE}, r.updated_at, r.error, t.interrupts
from run r join thread t using (organization_id, thread_id)
where r.organization_id = $1 and r.assistant_id = $2 and r.kind = 'run' and r.erase_at is null
"""


@attrs.frozen
class Task:
    """`run_id` is the newest run of it. `interrupts` are its thread's, by graph task."""

    context_id: str
    root_id: str
    run_id: str
    assistant_id: str
    state: str
    updated_at: str
    error: Json | None = None
    interrupts: Json = EMPTY


TASK = f"""
{_TASK} and r.thread_id = $3 and (r.run_id = $4 or r.metadata ->> 'a2a_task' = $4::uuid::text)
order by r.{_LATE}, r.created_at desc limit 1
"""


async def task(
    conn: Connection, organization_id: str, assistant_id: str, context_id: str, root_id: str
) -> Task | None:
    """By its first run; also a run that was not made as a task."""
    record = await conn.fetchrow(TASK, organization_id, assistant_id, context_id, root_id)
    return None if record is None else Task(*record)


_RUNS_OF_TASKS = f"""
{_TASK} and r.metadata ? 'a2a_task' and ($3::uuid is null or r.thread_id = $3) and not r.{_LATE}
"""
_AS_TASK = (
    "as task(context_id, root_id, run_id, assistant_id, state, updated_at, error, interrupts)"
)

# Along the index, until there are enough: a join could read a context's tasks once for each.
TASKS = f"""
select * from (
    {_RUNS_OF_TASKS} and ($5::uuid is null or r.run_id < $5) order by r.run_id desc offset 0
) {_AS_TASK}
where ($4::text is null or state = $4) and run_id = (
    select l.run_id from run l where l.organization_id = $1 and l.thread_id = context_id
        and l.metadata ->> 'a2a_task' = root_id and not l.{_LATE}
    order by l.created_at desc limit 1)
order by run_id desc limit $6
"""


@attrs.frozen
class Filter:
    """Of one assistant; in a context; in a state."""

    assistant_id: str
    context_id: str | None
    state: str | None


async def tasks(
    conn: Connection, organization_id: str, filter: Filter, *, before: str | None, limit: int
) -> list[Task]:
    """Newest first, those whose newest run was made before the run `before`."""
    records = await conn.fetch(TASKS, organization_id, *attrs.astuple(filter), before, limit)
    return [Task(*r) for r in records]


COUNTED = 10_000
COUNT = f"""
select count(*) from (
    select distinct on (root_id) state from (
        {_RUNS_OF_TASKS} order by r.run_id desc limit {COUNTED}
    ) {_AS_TASK} order by root_id, run_id desc
) newest
where $4::text is null or state = $4
"""


async def count(conn: Connection, organization_id: str, filter: Filter) -> int:
    """How many there are among the newest COUNTED runs."""
    found: int = await conn.fetchval(COUNT, organization_id, *attrs.astuple(filter))
    return found


VALUES = """
select shown(c) from checkpoint c
where c.organization_id = $1 and c.thread_id = $2 and c.run_id = $3 and c.ns = ''
order by c.checkpoint_id desc limit 1
"""


async def values(
    conn: Connection, organization_id: str, thread_id: str, run_id: str
) -> Json | None:
    """The state that a run left, or came to so far."""
    held: Json | None = await conn.fetchval(VALUES, organization_id, thread_id, run_id)
    return held
