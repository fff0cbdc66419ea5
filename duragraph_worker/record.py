"""Where an execution's progress goes: to the plane (`process/`) or a local thread (`local/`)."""

from typing import Protocol

from duragraph.protocol import Item


class Fenced(BaseException):
    """The lease is gone: stop, and write nothing more.

    A `BaseException`, so that a node's `except Exception` does not swallow it.
    """


class Recorder(Protocol):
    """Takes report items in order."""

    def put(self, item: Item) -> None:
        """Queue `item`; never waits."""

    async def room(self) -> None:
        """Wait until the unacknowledged lag is within bounds. Raises Fenced."""

    async def settled(self) -> None:
        """Wait until all that was put is recorded durably. Raises Fenced."""
