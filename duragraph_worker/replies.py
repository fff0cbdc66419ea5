"""Replies of vendors that break off or that nobody can read."""

from collections.abc import Iterator
from contextlib import contextmanager


class ReplyError(ConnectionError):
    """A vendor's reply broke off, or can't be read."""


@contextmanager
def reading(
    vendor: str,
    wrong: tuple[type[Exception], ...] = (ValueError, TypeError, LookupError, AttributeError),
) -> Iterator[None]:
    """Around what reads a reply: raises ReplyError where that has not its vendor's shape."""
    try:
        yield
    except wrong as error:
        raise ReplyError(f"{vendor}'s reply can't be read: {error!r}") from error


def cut_off(vendor: str) -> ReplyError:
    """What is raised when a stream ends before its reply does."""
    return ReplyError(f"{vendor}'s reply was cut off: its stream ended before the reply did")
