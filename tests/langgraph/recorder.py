"""A recorder of what an attempt puts, for tests that look at it or lose some of it."""

import asyncio
from typing import Any

import attrs

from duragraph.protocol import Checkpoint, Scheduled
from duragraph_worker.process.report import completed

TURNS = 9
"""Of the loop until a report is answered."""


@attrs.define
class Kept:
    """What an attempt put, in order."""

    items: list[Any] = attrs.field(factory=list)
    turns: list[int] = attrs.field(factory=list)
    """For each of them the turn of the loop: what was put in one leaves at once."""
    left: int = 0
    """How many of them were put before the loop's present turn: those may have left."""

    def put(self, item: Any) -> None:
        """What follows a checkpoint leaves with it, as in a worker's own report."""
        last = self.items[-1] if self.items else None
        if isinstance(item, Scheduled):
            assert isinstance(last, Checkpoint)
            self.items[-1] = completed(last, item)
        else:
            self.items.append(item)
            self.turns.append(self.left)
        asyncio.get_running_loop().call_soon(self._leave, len(self.items))

    def _leave(self, items: int) -> None:
        self.left = items

    async def room(self) -> None:
        """All is taken at once."""

    async def settled(self) -> None:
        """A plane's answer takes some turns of the loop."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
