"""Answers of models to ask for once, and what makes two questions the same.

A cache is kept in this process's memory or in the plane's store. It holds no streams and no
usage: an answer from here comes in one piece and costs nothing.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlencode

import attrs
import msgspec

from duragraph.errors import DuraGraphError
from duragraph_worker.coerce import message
from duragraph_worker.llm.providers import Output, Parameters
from duragraph_worker.llm.tools import Tool
from duragraph_worker.messages import AIMessage, Message
from duragraph_worker.serialize import canonical, decode, encode

NAMESPACE = "llm_cache"
"""In the plane's store."""

_WORDS = (
    "type",
    "content",
    "name",
    "additional_kwargs",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_id",
    "status",
)
"""Of a message, what its model is told. Ids, usage and the like are not."""

log = logging.getLogger(__name__)


class _Item(msgspec.Struct):
    value: msgspec.Raw


class Store(Protocol):
    """The plane, as far as a cache asks it: `served.Reach`."""

    async def request(self, method: str, path: str, body: object | None = None) -> bytes: ...


@attrs.define(eq=False)
class Cache:
    """For `@llm_node(cache=…)`: an answer is good for `ttl` seconds.

    `shared` keeps answers in the plane's store, for all workers, where there is a plane. Otherwise
    they are this object's, at most `size` of them; nodes may share one object.
    """

    ttl: float = attrs.field(validator=attrs.validators.gt(0))
    shared: bool = attrs.field(default=False, kw_only=True)
    size: int = attrs.field(default=1000, kw_only=True, validator=attrs.validators.ge(1))
    _kept: dict[str, tuple[float, bytes]] = attrs.field(factory=dict, init=False)
    """By key, oldest first: when it ends, and the answer."""
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    async def get(self, key: str, store: Store | None) -> AIMessage | None:
        """The answer, if there is one and it is not too old."""
        if self.shared and store is not None:
            found = await _fetched(store, key)
        else:
            found = self._remembered(key)
        try:
            reply = None if found is None else message(decode(found))
        except ValueError as error:
            # Others may write to the plane's store, too.
            log.warning("what a cache holds is no answer of a model", extra={"why": str(error)})
            return None
        return reply if isinstance(reply, AIMessage) else None

    async def put(self, key: str, reply: AIMessage, store: Store | None) -> None:
        answer = encode(attrs.evolve(reply, id=None, usage_metadata=None))
        if self.shared and store is not None:
            await _stored(store, key, answer, minutes=self.ttl / 60)
        else:
            self._remember(key, answer)

    def _remembered(self, key: str) -> bytes | None:
        until, answer = self._kept.get(key, (0.0, None))
        return answer if monotonic() < until else None

    def _remember(self, key: str, answer: bytes) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = monotonic() + self.ttl, answer
            while len(self._kept) > self.size:
                del self._kept[next(iter(self._kept))]


def fingerprint(
    models: Sequence[str],
    messages: Iterable[Message],
    *,
    tools: Iterable[Tool],
    output: Output | None,
    parameters: Parameters,
    **more: Any,
) -> str:
    """The same for questions in the same words, with the same configuration."""
    asked = {
        "models": models,
        "messages": [_said(each) for each in messages],
        "tools": [(tool.name, tool.description, tool.parameters) for tool in tools],
        "output": output,
        "parameters": attrs.evolve(parameters, request_timeout=None),
        **more,
    }
    return blake2b(canonical(asked), digest_size=16).hexdigest()


def _said(each: Message) -> dict[str, Any]:
    return {name: getattr(each, name, None) for name in _WORDS}


async def _fetched(store: Store, key: str) -> bytes | None:
    where = urlencode({"namespace": NAMESPACE, "key": key, "refresh_ttl": "false"})
    try:
        found = await store.request("GET", f"/store/items?{where}")
    except DuraGraphError as error:
        log.warning("the plane's store can't be read, asking a model", extra={"why": str(error)})
        return None
    item = msgspec.json.decode(found, type=_Item | None)
    return None if item is None else bytes(item.value)


async def _stored(store: Store, key: str, answer: bytes, *, minutes: float) -> None:
    item = {
        "namespace": [NAMESPACE],
        "key": key,
        "value": msgspec.Raw(answer),
        "index": False,
        "ttl": minutes,
    }
    try:
        await store.request("PUT", "/store/items", item)
    except DuraGraphError as error:
        log.warning("the plane's store takes no answer", extra={"why": str(error)})
