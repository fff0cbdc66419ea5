"""Identifiers. All sort by time as strings; clients order checkpoints by comparing them."""

import time
from functools import lru_cache
from random import getrandbits
from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

NAMESPACE_GRAPH = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace LangGraph derives system assistants' ids from."""

_GREGORIAN_TO_UNIX = 0x01B21DD213814000


def new_id() -> str:
    """A UUIDv7 for a run, a thread or a worker."""
    return str(uuid7())


@lru_cache(1024)
def system_assistant_id(graph_id: str) -> str:
    """The id of the assistant that every registered graph has, equal on every server."""
    return str(uuid5(NAMESPACE_GRAPH, graph_id))


def assistant_id(name: str) -> str:
    """What clients call an assistant, a UUID or the name of a graph, as a UUID."""
    try:
        return str(UUID(name))
    except ValueError:
        return system_assistant_id(name)


def checkpoint_id(parent: str | None = None) -> str:
    """A UUIDv6 (RFC 9562 5.6) above `parent`'s, whatever the clocks of their makers say."""
    ticks = time.time_ns() // 100 + _GREGORIAN_TO_UNIX
    if parent is not None:
        ticks = max(ticks, _ticks(parent) + 1)
    h = f"{ticks >> 12:012x}6{ticks & 0x0FFF:03x}{1 << 63 | getrandbits(62):016x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def _ticks(id: str) -> int:
    h = id.replace("-", "")
    return int(h[:12] + h[13:16], 16)
