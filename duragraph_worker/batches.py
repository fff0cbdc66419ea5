"""Many items, as many at once as a vendor takes."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """The items, at most so many at once."""
    return (items[at : at + size] for at in range(0, len(items), size))
