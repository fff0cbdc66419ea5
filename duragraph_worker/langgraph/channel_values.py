"""A channel's value on record: JSON for clients, and the bytes that LangGraph restores.

Owns the claim that a list only grew: the packed bytes of its earlier elements must be those on
record, which also holds where a node changed an element in place. Each value is packed once,
each element becomes JSON once.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import attrs
import orjson
from langgraph.checkpoint.serde.base import SerializerProtocol

from duragraph.protocol import SNAPSHOT_EVERY, ChannelWrite
from duragraph_worker.langgraph import serialize

_LIST, _TYPED = b"L", b"T"
_COUNT = struct.Struct(">I")
_FIXED_LIST, _LIST_16, _LIST_32 = 0x90, 0xDC, 0xDD
_HEADERS = {_LIST_16: 3, _LIST_32: 5}
"""Bytes before a MessagePack array's elements; 1 for up to 15 of them."""
_PLAIN: Final = (str, bool, int, type(None))
"""JSON tells these exactly; floats, among them NaN, it does not."""


@attrs.frozen
class Packed:
    """A value as LangGraph restores it: a list's elements, or `kind`'s bytes of the whole."""

    kind: str
    data: bytes
    count: int | None = None
    """Of a list's elements."""

    @classmethod
    def of(cls, value: Any, serde: SerializerProtocol) -> "Packed":
        """Raises what `serde` does where it can't serialize the value."""
        kind, data = serde.dumps_typed(value)
        if type(value) is list and kind == "msgpack":
            return cls(kind, data[_header(data) :], len(value))
        return cls(kind, data)

    @classmethod
    def load(cls, parts: Sequence[bytes]) -> "Packed":
        """From a channel's codecs, in order."""
        if parts[0][:1] == _LIST:
            counts = [_COUNT.unpack_from(part, 1)[0] for part in parts]
            elements = b"".join(part[1 + _COUNT.size :] for part in parts)
            return cls("msgpack", elements, sum(counts))
        kind, _, data = parts[-1][1:].partition(b"\0")
        return cls(kind.decode(), data)

    def codec(self, base: "Packed | None" = None) -> bytes:
        """The part of it that `base` lacks."""
        if self.count is None:
            return _TYPED + self.kind.encode() + b"\0" + self.data
        count, data = self.count, self.data
        if base is not None:
            count, data = count - (base.count or 0), data[len(base.data) :]
        return _LIST + _COUNT.pack(count) + data

    def restore(self, serde: SerializerProtocol) -> Any:
        if self.count is None:
            return serde.loads_typed((self.kind, self.data))
        return serde.loads_typed(("msgpack", b"\xdd" + _COUNT.pack(self.count) + self.data))

    def extends(self, base: "Packed") -> bool:
        """Whether it is a list that begins with all of `base`, byte by byte."""
        return (
            self.count is not None
            and base.count is not None
            and self.count >= base.count
            and self.data.startswith(base.data)
        )


class Cell:
    """A channel's value as it is on record. Never changes."""

    __slots__ = ("_json", "depth", "packed", "version")

    def __init__(
        self, json: list[bytes], packed: Packed | None, *, version: str, depth: int = 0
    ) -> None:
        """`json` are the elements of a list, joined in some way, or the whole value alone."""
        self._json = json
        self.packed = packed
        """None where the JSON tells all."""
        self.version = version
        """The checkpoint whose part heads the value."""
        self.depth = depth

    @classmethod
    def load(cls, json: bytes, codecs: Sequence[bytes], *, version: str, depth: int) -> "Cell":
        """From the record."""
        packed = Packed.load(codecs) if codecs else None
        if packed is None or packed.count is None:
            return cls([json], packed, version=version, depth=depth)
        elements = [json[1:-1]] if packed.count else []
        return cls(elements, packed, version=version, depth=depth)

    @property
    def json(self) -> bytes:
        """As clients see it."""
        if self.packed is None or self.packed.count is None:
            return self._json[0]
        if len(self._json) > 1:
            self._json = [b",".join(self._json)]
        return b"[" + self._json[0] + b"]" if self._json else b"[]"

    def restore(self, serde: SerializerProtocol) -> Any:
        """The value, as a new object."""
        return orjson.loads(self._json[0]) if self.packed is None else self.packed.restore(serde)

    def follow(
        self, channel: str, value: Any, *, version: str, serde: SerializerProtocol
    ) -> tuple["Cell", ChannelWrite | None]:
        """The value after this one, and what to record of it, if anything."""
        if type(value) in _PLAIN:
            cell, write = write_whole(channel, value, version=version, serde=serde)
            same = self.packed is None and cell.packed is None and self.json == cell.json
            return (self, None) if same else (cell, write)
        packed = Packed.of(value, serde)
        if packed == self.packed:
            return self, None
        base = self.packed
        if base is None or not packed.extends(base) or self.depth + 1 >= SNAPSHOT_EVERY:
            return self._replace(channel, value, packed, version=version)
        fresh = serialize.dump(value[base.count :])
        cell = Cell([*self._json, fresh[1:-1]], packed, version=version, depth=self.depth + 1)
        return cell, ChannelWrite(
            channel, fresh, base_id=self.version, depth=cell.depth, codec=packed.codec(base)
        )

    def again(self, channel: str, *, version: str) -> tuple["Cell", ChannelWrite]:
        """The same value as a part of its own, for a checkpoint that was put without it."""
        codec = self.packed.codec() if self.packed is not None else None
        cell = Cell(self._json, self.packed, version=version)
        return cell, ChannelWrite(channel, self.json, codec=codec)

    def _replace(
        self, channel: str, value: Any, packed: Packed, *, version: str
    ) -> tuple["Cell", ChannelWrite]:
        """Whole again; what of its JSON is known is used."""
        base = self.packed
        if base is None or not packed.extends(base):
            return _whole(channel, value, packed, version=version)
        fresh = serialize.dump(value[base.count :])[1:-1]
        cell = Cell([*self._json, *([fresh] if fresh else [])], packed, version=version)
        return cell, ChannelWrite(channel, cell.json, codec=packed.codec())


def write_whole(
    channel: str, value: Any, *, version: str, serde: SerializerProtocol
) -> tuple[Cell, ChannelWrite]:
    """A channel's first value, or one that nothing on record helps with."""
    if type(value) not in _PLAIN:
        return _whole(channel, value, Packed.of(value, serde), version=version)
    json = serialize.dump(value)
    if type(value) is not str or orjson.loads(json) == value:
        return Cell([json], None, version=version), ChannelWrite(channel, json)
    return _whole(channel, value, Packed.of(value, serde), version=version)


def _whole(channel: str, value: Any, packed: Packed, *, version: str) -> tuple[Cell, ChannelWrite]:
    json = serialize.dump(value)
    elements = [json] if packed.count is None else [json[1:-1]] if packed.count else []
    return Cell(elements, packed, version=version), ChannelWrite(
        channel, json, codec=packed.codec()
    )


def _header(data: bytes) -> int:
    return _HEADERS.get(data[0], 1)
