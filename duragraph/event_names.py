"""How frames are named whose data is already as the event-streaming protocol has it.

Workers write these names, `thread_events.py` reads them.
"""

from typing import ClassVar

import attrs


@attrs.frozen
class EventName:
    """One event of channel `method`; node names hold no `|`."""

    method: str
    at_ms: int
    """When it happened, by the worker's clock, as its checkpoints' times are."""
    node: str = ""
    namespace: tuple[str, ...] = ()

    PREFIX: ClassVar = "event|"

    def __str__(self) -> str:
        return "|".join(["event", self.method, str(self.at_ms), self.node, *self.namespace])

    @classmethod
    def parse(cls, name: str) -> "EventName":
        """Of a name that begins with PREFIX. Raises ValueError for what no worker should send."""
        _, method, at_ms, node, *namespace = name.split("|")
        return cls(method, int(at_ms), node, tuple(namespace))
