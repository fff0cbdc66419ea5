"""Packages that come with an extra: without it, one error says what installs it."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ModuleNotFoundError):
    """A package is not installed that one of our extras brings."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around the imports of what `duragraph[extra]` installs. Raises MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name!r} is not installed: pip install 'duragraph[{extra}]'", name=error.name
        ) from error
