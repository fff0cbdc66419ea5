"""LangGraph's `BaseStore` over the plane's store: what a run's nodes remember across threads.

Asks the plane through the run's `Reach`, on the event loop that the run is on; called from other
threads and loops it goes there. Reads of a batch see what stood there before its writes, and the
last write of a key counts, as in LangGraph's own stores.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from duragraph_worker import serialize
from duragraph_worker.langgraph.embedding import Index, Vector
from duragraph_worker.langgraph.serialize import dump
from duragraph_worker.served import Reach

AT_ONCE = 16
"""Requests of one batch under way."""
PAGE = 1000
"""What the plane lists at most in one answer."""
QUERY_CHARACTERS = 16_384
"""Of a search's query; agents ask with whole messages, and the plane refuses longer ones."""

Path = tuple[str, ...]
S = TypeVar("S")
T = TypeVar("T")


class Store(BaseStore):
    """One run's store. Errors of the plane are raised as `duragraph.errors` has them."""

    supports_ttl = True

    def __init__(
        self, reach: Reach, *, ttl: TTLConfig | None = None, index: Index | None = None
    ) -> None:
        """To be made on the run's loop. `ttl`: what holds where an operation names none.

        With an `index` a query finds by meaning, without one by words.
        """
        self._reach = reach
        self._index = index
        self._loop = asyncio.get_running_loop()
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """From any thread but the loop's own, which would wait for itself.

        Raises InvalidStateError there.
        """
        if _running() is self._loop:
            raise asyncio.InvalidStateError(
                "The store was called synchronously from an async node, which would block the "
                "event loop for ever: write `await store.aget(...)` for `store.get(...)`, and so "
                "`asearch`, `aput`, `adelete` and `alist_namespaces`"
            )
        return asyncio.run_coroutine_threadsafe(self._batch(list(ops)), self._loop).result()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        work = self._batch(list(ops))
        if _running() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _batch(self, ops: Sequence[Op]) -> list[Result]:
        for op in ops:
            validate_op_namespace(op)
        reads = [op for op in ops if not isinstance(op, PutOp)]
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        found = iter(await _each(self._read, reads))
        await self._write(list(puts.values()))
        return [None if isinstance(op, PutOp) else next(found) for op in ops]

    async def _read(self, op: GetOp | SearchOp | ListNamespacesOp) -> Result:
        match op:
            case GetOp():
                return await self._get(op)
            case SearchOp():
                return await self._search(op)
            case ListNamespacesOp():
                return await self._namespaces(op)

    async def _get(self, op: GetOp) -> Item | None:
        if not op.namespace:
            return None
        asked = {
            "namespace": ".".join(op.namespace),
            "key": op.key,
            "refresh_ttl": "true" if op.refresh_ttl else "false",
        }
        found = await self._ask("GET", f"/store/items?{urlencode(asked)}")
        return None if found is None else Item(**found)

    async def _write(self, ops: Sequence[PutOp]) -> None:
        vectors = await self._index.vectors(ops) if self._index else [None] * len(ops)
        await _each(self._put, list(zip(ops, vectors, strict=True)))

    async def _put(self, put: tuple[PutOp, list[Vector] | None]) -> None:
        op, vectors = put
        item: dict[str, Any] = {"namespace": op.namespace, "key": op.key}
        if op.value is None:
            await self._ask("DELETE", "/store/items", item)
            return
        paths = [path for each in op.index for path in _apart(each)] if op.index else op.index
        value = msgspec.Raw(dump(op.value))
        kept = {"value": value, "index": paths, "ttl": op.ttl, "vectors": vectors}
        await self._ask("PUT", "/store/items", item | kept)

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        """A query ranks and hides nothing: what it does not find follows what it finds."""
        end = op.offset + op.limit
        if not op.query:
            return await self._found(op, {}, limit=op.limit, offset=op.offset)
        if self._index:
            by: dict[str, Any] = {"vector": await self._index.query(op.query)}
        else:
            by = {"query": op.query[:QUERY_CHARACTERS]}
        ranked = await self._found(op, by, limit=end)
        if len(ranked) < end:
            known = {(item.namespace, item.key) for item in ranked}
            others = await self._found(op, {}, limit=end)
            ranked += [item for item in others if (item.namespace, item.key) not in known]
        return ranked[op.offset : end]

    async def _found(
        self, op: SearchOp, by: dict[str, Any], *, limit: int, offset: int = 0
    ) -> list[SearchItem]:
        asked = {
            "namespace_prefix": op.namespace_prefix,
            "filter": op.filter,
            "refresh_ttl": op.refresh_ttl,
        }
        path = "/store/items/search"
        found = await self._pages(path, asked | by, "items", limit=limit, offset=offset)
        return [SearchItem(**item) for item in found]

    async def _namespaces(self, op: ListNamespacesOp) -> list[Path]:
        conditions = op.match_conditions or ()
        prefix = _merged([c.path for c in conditions if c.match_type == "prefix"])
        suffix = _merged([c.path[::-1] for c in conditions if c.match_type == "suffix"])
        if prefix is None or suffix is None:
            return []
        asked = {"prefix": prefix, "suffix": suffix[::-1], "max_depth": op.max_depth}
        path, at = "/store/namespaces", {"limit": op.limit, "offset": op.offset}
        return [tuple(each) for each in await self._pages(path, asked, "namespaces", **at)]

    async def _pages(
        self, path: str, asked: dict[str, Any], kind: str, *, limit: int, offset: int
    ) -> list[Any]:
        """`limit` of what the plane lists, in as many requests as that takes."""
        found: list[Any] = []
        while (left := min(PAGE, limit - len(found))) > 0:
            at = {"limit": left, "offset": offset + len(found)}
            page = (await self._ask("POST", path, asked | at))[kind]
            found += page
            if len(page) < left:
                break
        return found

    async def _ask(
        self, method: Literal["GET", "PUT", "POST", "DELETE"], path: str, body: object = None
    ) -> Any:
        answer = await self._reach.request(method, path, body)
        return serialize.decode(answer) if answer else None


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _each(ask: Callable[[S], Awaitable[T]], given: Sequence[S]) -> Sequence[T]:
    """The answers, in the order of what is `given`."""
    if len(given) == 1:
        return [await ask(given[0])]
    room = asyncio.Semaphore(AT_ONCE)

    async def in_turn(one: S) -> T:
        async with room:
            return await ask(one)

    return await asyncio.gather(*map(in_turn, given))


def _apart(path: str) -> Iterator[str]:
    """LangGraph's `a.{b,c}` as `a.b` and `a.c`: the plane knows no braces."""
    head, brace, rest = path.partition("{")
    if not brace:
        yield path
        return
    inside, _, tail = rest.partition("}")
    for name in inside.split(","):
        yield from _apart(f"{head}{name.strip()}{tail}")


def _merged(paths: Sequence[Path]) -> Path | None:
    """The one path that matches what all of them match, from their first labels on; or None."""
    every: Path | None = ()
    return reduce(_both, paths, every)


def _both(path: Path | None, other: Path) -> Path | None:
    if path is None:
        return None
    longest = max(path, other, key=len)
    pairs = list(zip(path, other, strict=False))
    if any("*" not in pair and pair[0] != pair[1] for pair in pairs):
        return None
    return tuple(b if a == "*" else a for a, b in pairs) + longest[len(pairs) :]
