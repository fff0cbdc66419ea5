"""State values to JSON bytes and back.

Owns what a value looks like on the wire; knows nothing of graphs. What a declared type restores
from plain JSON is `state.reviver`'s business.
"""

from collections.abc import Iterable
from typing import Any

import msgspec


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(
        f"{type(value).__name__} can't be written as JSON: use plain values, dataclasses, attrs "
        f"classes or pydantic models, not {value!r:.100}"
    )


encode = msgspec.json.Encoder(enc_hook=_plain).encode
canonical = msgspec.json.Encoder(enc_hook=_plain, order="deterministic").encode
"""The same bytes for equal values: to compare, not to show."""
decode = msgspec.json.Decoder().decode


def join_object(fields: Iterable[tuple[str, bytes]]) -> bytes:
    """A JSON object of values that are JSON already."""
    return b"{" + b",".join([encode(key) + b":" + value for key, value in fields]) + b"}"


def join_array(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def extend_object(head: bytes, tail: bytes) -> bytes:
    """Two JSON objects as one; `tail`'s keys come last."""
    if head == b"{}":
        return tail
    return head if tail == b"{}" else head[:-1] + b"," + tail[1:]
