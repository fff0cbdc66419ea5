"""Long parts of channels that were read, so that a long thread is not read again for each answer.

Whether a part is still there, and who may see it, is not known here: only the database says so, by
naming it in the very answer that it is then put in. What a name stands for never changes.
"""

from collections import OrderedDict
from collections.abc import Mapping

from duragraph.models import Json

LEAST_BYTES = 16 << 10
"""A shorter part is as soon read as left out."""

Place = tuple[str, str, str]
"""Organization, thread and namespace."""
Held = Mapping[str, Json]
"""Parts by name: version and channel."""


class PartCache:
    """Of each place that was read, the long parts that were in the last answer.

    At most `most_bytes`: what was not read for longest goes first.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._places: OrderedDict[Place, Held] = OrderedDict()

    def held(self, place: Place) -> Held:
        return self._places.get(place, {})

    def keep(self, place: Place, parts: Held) -> None:
        """In place of what is held; that stays if nothing here is long, or if it is too much."""
        long = {name: part for name, part in parts.items() if len(part) >= LEAST_BYTES}
        if not 0 < _size(long) <= self._most:
            return
        self._bytes += _size(long) - _size(self._places.pop(place, {}))
        self._places[place] = long
        while self._bytes > self._most:
            _, gone = self._places.popitem(last=False)
            self._bytes -= _size(gone)


def _size(parts: Held) -> int:
    return sum(map(len, parts.values()))
