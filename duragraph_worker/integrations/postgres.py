"""What stores in PostgreSQL have in common: their connections, and which errors pass."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg

from duragraph_worker.clients import Clients

UNDONE = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Errors after which nothing of the statement has happened."""
LOST = (
    *UNDONE,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # Its parser, where a connection is cut in mid-answer.
    asyncpg.InternalClientError,
)
"""Those after which it may have happened, too."""


def pools(
    url: str, prepare: Callable[[Any], Awaitable[None]], options: Mapping[str, Any]
) -> Clients[Any]:
    """Of connections that are prepared once. `options` go to `asyncpg.create_pool`."""
    # Not "reset all", which would undo what a connection is prepared with.
    wanted = {"min_size": 0, "init": prepare, "reset": _as_it_is, **options}
    return Clients(lambda: asyncpg.create_pool(url, **wanted))


async def _as_it_is(_: Any) -> None:
    """No reset of a connection."""
