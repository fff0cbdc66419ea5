"""Assistants as runs are made from them, remembered between requests.

A remembered one may be old: a run is created against its `revision`, and where that has moved
the creation raises `Stale` and starts afresh. So memory never decides.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from duragraph import ids, pg
from duragraph.errors import Conflict, Invalid, NotFound
from duragraph.pg import Pool, assistants
from duragraph.pg.assistants import Resolved

T = TypeVar("T")

REMEMBERED = 10_000


class Stale(Conflict):
    """The assistant changed while a run of it was being created."""


class Assistants:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, str], Resolved] = {}

    async def use(
        self, organization_id: str, name: str, create: Callable[[Resolved], Awaitable[T]]
    ) -> T:
        """What `create` makes of the assistant; called again, with what changed, if it is Stale.

        By UUID or graph name. Raises NotFound for an unknown UUID, Invalid for another name, and
        what `create` raises.
        """
        while True:
            assistant = await self._resolve(organization_id, name)
            try:
                return await create(assistant)
            except Stale:
                self._known.pop((organization_id, assistant.assistant_id), None)

    async def use_all(
        self,
        organization_id: str,
        names: Iterable[str],
        create: Callable[[Mapping[str, Resolved]], Awaitable[T]],
    ) -> T:
        """As `use`, of several: `create` is given them by the names that they were called."""
        asked = dict.fromkeys(names)
        while True:
            found = {name: await self._resolve(organization_id, name) for name in asked}
            try:
                return await create(found)
            except Stale:
                for each in found.values():
                    self._known.pop((organization_id, each.assistant_id), None)

    async def _resolve(self, organization_id: str, name: str) -> Resolved:
        assistant_id = ids.assistant_id(name)
        key = organization_id, assistant_id
        if known := self._known.get(key):
            return known
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
