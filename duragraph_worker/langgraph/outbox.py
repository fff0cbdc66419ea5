"""The way of what an attempt puts to its recorder: in order, and together with what shows it.

An attempt may be lost between any two reports, and what leaves at once is in one of them.
"""

import asyncio

from duragraph.protocol import Item
from duragraph_worker.record import Recorder

TURNS = 5
"""Of the loop within which LangGraph's stream shows what a task wrote."""


class Outbox:
    """Bound to the loop that it is used on."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._held: list[Item] = []

    @property
    def holds(self) -> bool:
        """Whether anything waits to leave."""
        return bool(self._held)

    def put(self, item: Item) -> None:
        """Behind what is held, if anything is."""
        if self._held:
            self._held.append(item)
        else:
            self._recorder.put(item)

    def hold(self, item: Item) -> None:
        """Until `release`, with all that is put meanwhile."""
        self._held.append(item)

    def hold_briefly(self, item: Item) -> None:
        """As `hold`, but for some turns of the loop at most: perhaps nobody asked to see it."""
        self._held.append(item)
        if len(self._held) == 1:
            self._turn(TURNS, self._held)

    def release(self) -> None:
        if not self._held:
            return
        held, self._held = self._held, []
        for item in held:
            self._recorder.put(item)

    def _turn(self, left: int, held: list[Item]) -> None:
        """What is held since must not leave too early."""
        if held is not self._held:
            return
        if left:
            asyncio.get_running_loop().call_soon(self._turn, left - 1, held)
        else:
            self.release()
