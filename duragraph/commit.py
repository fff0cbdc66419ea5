"""Group commit with a window of zero: flush whenever no flush is in flight.

What arrives during a flush is the next batch, so a lone request never waits and a crowd
shares one COMMIT. A timed window would only add its own latency.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from duragraph.errors import DuraGraphError, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 256
"""Items a flush."""


class GroupCommit(Generic[Item, Result]):
    """Each item is judged on its own: when a batch fails, its items are retried singly."""

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        key: Callable[[Item], Hashable],
    ) -> None:
        """`flush` answers in its items' order; at most one item a `key` stands in a batch."""
        self._flush = flush
        self._key = key
        self._queue: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """The item's own result, after COMMIT. Raises what its flush raised."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append((item, done))
        self._arrived.set()
        return done

    async def run(self) -> None:
        """Flush for ever; to be supervised."""
        while True:
            await self._arrived.wait()
            while batch := self._take():
                await self._settle(batch)
            self._arrived.clear()

    def _take(self) -> list[tuple[Item, "asyncio.Future[Result]"]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        later: list[tuple[Item, asyncio.Future[Result]]] = []
        keys: set[Hashable] = set()
        while self._queue and len(batch) < MOST:
            item, done = self._queue.popleft()
            if done.done():
                continue  # its request was cancelled before anything was sent
            key = self._key(item)
            if key in keys:
                later.append((item, done))
            else:
                keys.add(key)
                batch.append((item, done))
        self._queue.extendleft(reversed(later))
        return batch

    async def _settle(self, batch: "list[tuple[Item, asyncio.Future[Result]]]") -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except DuraGraphError as error:
            if len(batch) == 1 or isinstance(error, Unavailable):
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                return
            for one in batch:
                await self._settle([one])
            return
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)
