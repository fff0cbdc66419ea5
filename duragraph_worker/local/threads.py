"""Threads of local runs: what a plane would record, in memory or as one append-only file each.

Owns the folding of recorded items into the `Snapshot` a run starts from. A file's last record may
be torn by a crash; it is dropped at the next opening.
"""

import asyncio
import os
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, get_args
from urllib.parse import quote

import msgspec

from duragraph import protocol
from duragraph.protocol import ChannelWrite, Checkpoint, Effect, Snapshot, Write
from duragraph_worker import serialize

_LENGTH = struct.Struct("<I")
Kept = Checkpoint | Write | Effect
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Kept)}


class Record:
    """One thread's checkpoints, task writes and effects."""

    def __init__(self) -> None:
        self.checkpoints: dict[str, Checkpoint] = {}
        self.head: str | None = None
        """The root checkpoint that the thread stands at."""
        self._parts: dict[tuple[str, str], ChannelWrite] = {}
        self._writes: defaultdict[str, dict[str, Write]] = defaultdict(dict)
        self._effects: defaultdict[str, list[Effect]] = defaultdict(list)

    def add(self, item: Kept) -> None:
        if isinstance(item, Checkpoint):
            self.checkpoints[item.checkpoint_id] = item
            for part in item.channels:
                self._parts[part.channel, item.checkpoint_id] = part
            if not item.ns:
                self.head = item.checkpoint_id
        elif isinstance(item, Write):
            self._writes[item.checkpoint_id][item.task_id] = item
        else:
            self._effects[item.checkpoint_id].append(item)

    def writes(self, checkpoint_id: str) -> list[Write]:
        return list(self._writes[checkpoint_id].values())

    def effects(self, snapshot: Snapshot | None) -> list[Effect]:
        """Those recorded under `snapshot` and its children."""
        if snapshot is None:
            return []
        below = [effect for child in snapshot.children for effect in self.effects(child)]
        return self._effects[snapshot.checkpoint_id] + below

    def memos(self, run_id: str) -> list[Effect]:
        """Those recorded under the run itself."""
        return self._effects[run_id]

    def effect(self, checkpoint_id: str, key: str) -> bytes | None:
        """The result of that effect."""
        recorded = (e.result for e in self._effects[checkpoint_id] if e.key == key)
        return next(recorded, None)

    def snapshot(self, checkpoint_id: str | None = None) -> Snapshot | None:
        """The checkpoint, or the newest of the root, as a run starts from it."""
        checkpoint = self.checkpoints.get(checkpoint_id or self.head or "")
        if checkpoint is None:
            return None
        heads = {name: self._parts[name, at] for name, at in checkpoint.versions.items()}
        return Snapshot(
            checkpoint.checkpoint_id,
            checkpoint.ns,
            checkpoint.step,
            checkpoint.next,
            values={name: self._fold(head) for name, head in heads.items()},
            versions=checkpoint.versions,
            depths={name: head.depth for name, head in heads.items() if head.depth},
            opaque=checkpoint.opaque,
            metadata=checkpoint.metadata,
            created_at=checkpoint.created_at,
            writes=self.writes(checkpoint.checkpoint_id),
            children=[] if checkpoint.ns else list(self._children(checkpoint.checkpoint_id)),
            parent_id=checkpoint.parent_id,
        )

    def _children(self, root_id: str) -> Iterator[Snapshot]:
        newest = {
            each.ns: each.checkpoint_id
            for each in self.checkpoints.values()
            if each.root_id == root_id
        }
        for checkpoint_id in newest.values():
            if (child := self.snapshot(checkpoint_id)) is not None:
                yield child

    def _fold(self, head: ChannelWrite) -> bytes:
        parts = [head.value]
        while head.base_id is not None:
            head = self._parts[head.channel, head.base_id]
            parts.append(head.value)
        if len(parts) == 1:
            return head.value
        return serialize.join_array(part[1:-1] for part in reversed(parts) if part != b"[]")

    def history(self) -> Iterator[Checkpoint]:
        """The root's checkpoints, newest first, along the line of the head."""
        at = self.head
        while at is not None:
            checkpoint = self.checkpoints[at]
            yield checkpoint
            at = checkpoint.parent_id


class Thread:
    """A record that grows with a run; with a `path`, on disk as well."""

    def __init__(self, thread_id: str, path: Path | None = None) -> None:
        self.thread_id = thread_id
        self.record = Record()
        self.busy = False
        self._path = path
        self._file: BinaryIO | None = None
        if path is not None and path.exists():
            _read(path, self.record)

    def put(self, item: Kept) -> None:
        self.record.add(item)
        if self._path is not None:
            self._append(self._path, msgspec.msgpack.encode((type(item).__name__, item)))

    def _append(self, path: Path, body: bytes) -> None:
        if self._file is None:
            self._file = path.open("ab")
        self._file.write(_LENGTH.pack(len(body)) + body)
        self._file.flush()

    async def settled(self) -> None:
        """On disk, whatever happens to the machine."""
        if self._file is not None:
            await asyncio.to_thread(os.fsync, self._file.fileno())

    def close(self) -> None:
        """Let go of the file until the next run."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Threads:
    """The threads of one graph object, by id."""

    def __init__(self, directory: str | Path | None = None) -> None:
        self._directory = Path(directory) if directory is not None else None
        self._open: dict[str, Thread] = {}

    def get(self, thread_id: str) -> Thread:
        """The thread, made if it isn't there."""
        if thread_id not in self._open:
            path = None
            if self._directory is not None:
                self._directory.mkdir(parents=True, exist_ok=True)
                path = self._directory / f"{quote(thread_id, safe='')}.thread"
            self._open[thread_id] = Thread(thread_id, path)
        return self._open[thread_id]

    def forget(self, thread_id: str) -> None:
        """Drop a thread that lives in memory."""
        if self._directory is None:
            self._open.pop(thread_id, None)


def _read(path: Path, record: Record) -> None:
    data, at = path.read_bytes(), 0
    while (end := _record_end(data, at)) is not None:
        kind, body = msgspec.msgpack.decode(
            data[at + _LENGTH.size : end], type=tuple[str, msgspec.Raw]
        )
        record.add(protocol.unpack(bytes(body), _KINDS[kind]))
        at = end
    if at < len(data):
        os.truncate(path, at)


def _record_end(data: bytes, at: int) -> int | None:
    if at + _LENGTH.size > len(data):
        return None
    end = at + _LENGTH.size + int(_LENGTH.unpack_from(data, at)[0])
    return end if end <= len(data) else None
