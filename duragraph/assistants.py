"""Assistants as runs are made from them, remembered between requests.

A remembered one may be old: a run is created against its `revision`, and where that has moved
the creation answers `Stale` and the caller resolves afresh. So memory never decides.
"""

from duragraph import ids, pg
from duragraph.errors import Invalid, NotFound
from duragraph.pg import Pool, assistants
from duragraph.pg.assistants import Resolved

REMEMBERED = 10_000


class Assistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, str], Resolved] = {}

    async def resolve(self, organization_id: str, name: str, *, afresh: bool = False) -> Resolved:
        """By UUID or graph name. Raises NotFound for an unknown UUID, Invalid for another name."""
        assistant_id = ids.assistant_id(name)
        key = organization_id, assistant_id
        if not afresh and (known := self._known.get(key)):
            return known
        self._known.pop(key, None)
        async with pg.tenant(self._pool, organization_id) as conn:
            found = await assistants.resolve(conn, organization_id, assistant_id)
            graphs = await assistants.graphs(conn, organization_id) if found is None else []
        if found is None:
            if assistant_id == name.lower() or name in graphs:
                raise NotFound("Thread or assistant not found.")
            raise Invalid(
                f"Invalid assistant: '{name}'. Must be either: a valid assistant UUID, "
                f"or a registered graph: {', '.join(graphs) or 'none so far'}",
                hint="Start a worker that serves this graph.",
            )
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = found
        return found
