"""Any Python value as the JSON that LangGraph's own server shows clients.

Owns what messages, models, sets, times, bytes and the like look like there; restoring them is
the business of LangGraph's serializer. Never fails for a value that the state may hold.
"""

import base64
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta, timezone
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from langgraph.errors import (
    EmptyInputError,
    GraphBubbleUp,
    InvalidUpdateError,
    NodeCancelledError,
    NodeTimeoutError,
    TaskNotFound,
    UnknownInterruptError,
)
from langgraph.types import Send

from duragraph_worker.errors import masked

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_AS_TEXT = (
    UUID, Path, IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
)  # fmt: skip
TELLING = (
    EmptyInputError, GraphBubbleUp, InvalidUpdateError, NodeCancelledError, NodeTimeoutError,
    TaskNotFound, UnknownInterruptError,
)  # fmt: skip
"""LangGraph's errors whose messages are for clients, beside those that `masked` knows."""
_SELF_DESCRIBED = "model_dump", "dict", "_asdict"
_surrogate = re.compile("[\ud800-\udfff]")


def dump(value: Any) -> bytes:
    """One line of JSON, which PostgreSQL can hold: NUL and lone surrogates are replaced."""
    try:
        data = orjson.dumps(value, default=_plain, option=_OPTIONS)
    except TypeError as error:
        if "surrogates" not in str(error):
            raise
        data = orjson.dumps(_whole(value), default=_plain_whole, option=_OPTIONS)
    return _without_nul(data) if b"\\u0000" in data else data


def _plain(value: Any) -> Any:
    if isinstance(value, Send):
        return {"node": value.node, "args": value.arg}
    if not isinstance(value, type):
        for name in _SELF_DESCRIBED:
            if callable(describe := getattr(value, name, None)):
                return describe()
    if isinstance(value, TELLING):
        return {"error": type(value).__name__, "message": str(value)}
    if isinstance(value, _AS_TEXT):
        return str(value)
    for kind, plain in _KINDS.items():
        if isinstance(value, kind):
            return plain(value)
    return None


def _number(value: Decimal) -> int | float:
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)


_KINDS: dict[type | tuple[type, ...], Callable[[Any], Any]] = {
    BaseException: lambda error: orjson.Fragment(masked(error)),
    (set, frozenset, deque): list,
    (timezone, ZoneInfo): lambda zone: zone.tzname(None),
    timedelta: timedelta.total_seconds,
    Decimal: _number,
    re.Pattern: lambda pattern: pattern.pattern,
    (bytes, bytearray): lambda data: base64.b64encode(data).decode(),
}
"""What else has a JSON of its own; anything else is null."""


def _plain_whole(value: Any) -> Any:
    plain = _plain(value)
    return plain if isinstance(plain, orjson.Fragment) else _whole(plain)


def _whole(value: Any) -> Any:
    """With a question mark in place of each lone surrogate, which JSON can't hold."""
    if isinstance(value, str):
        return _surrogate.sub("?", value)
    if isinstance(value, Mapping):
        return {_whole(key): _whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque) and not hasattr(value, "_asdict"):
        return _all_whole(value)
    return value


def _all_whole(values: Iterable[Any]) -> list[Any]:
    return [_whole(each) for each in values]


def _without_nul(data: bytes) -> bytes:
    """An escaped backslash before `u0000` is no NUL."""
    return re.sub(rb"(?<!\\)((?:\\\\)*)\\u0000", lambda found: found[1] + "\ufffd".encode(), data)
