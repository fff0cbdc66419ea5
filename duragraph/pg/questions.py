"""What a thread asks people, for those who answer. Read only."""

import attrs
import msgspec

from duragraph.models import Json, ThreadStatus
from duragraph.pg import Connection


@attrs.frozen
class Asking:
    """A thread's open questions; `assistant_id` is that of its last run."""

    status: ThreadStatus
    assistant_id: str | None
    interrupts: Json

    @property
    def ids(self) -> set[str]:
        by_task = msgspec.json.decode(self.interrupts, type=dict[str, list[_Interrupt]])
        return {asked.id for some in by_task.values() for asked in some if asked.id is not None}


class _Interrupt(msgspec.Struct):
    id: str | None = None


ASKING = """
select status, metadata ->> 'assistant_id', interrupts from thread
where organization_id = $1 and thread_id = $2 and erase_at is null
"""


async def asking(conn: Connection, organization_id: str, thread_id: str) -> Asking | None:
    record = await conn.fetchrow(ASKING, organization_id, thread_id)
    return None if record is None else Asking(*record)


WAITING = """
select json_object_agg(e.key,
    (select json_agg(i.value -> 'id') from json_array_elements(e.value) i))
from thread t cross join json_each(t.interrupts) e
where t.organization_id = $1 and t.thread_id = $2
"""


async def waiting(conn: Connection, organization_id: str, thread_id: str) -> Json | None:
    """`{task_id: [interrupt_id]}` of the interrupts its last run ended with; None if none."""
    found: Json | None = await conn.fetchval(WAITING, organization_id, thread_id)
    return found
