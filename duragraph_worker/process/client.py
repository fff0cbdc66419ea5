"""The plane as a worker sees it: requests over HTTP, each repeated until it is answered.

Owns the connection, the wire format, the waits and the errors. A plane that is away is waited for:
half a minute where user code asks, else for ever. Raised is only what no repetition can better.
Knows nothing of runs.
"""

import asyncio
import io
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import aiohttp
import msgspec
from yarl import URL

from duragraph import errors, ids
from duragraph.protocol import (
    MEDIA_TYPE,
    POLL_SECONDS,
    CheckpointQuery,
    CopyThread,
    EraseRuns,
    Poll,
    Polled,
    Register,
    Registered,
    Report,
    Snapshot,
    Verdict,
    pack,
    unpack,
)
from duragraph.questions import WORKER_HEADER, AuthAnswer
from duragraph.waiting import ChildStarted, StartChild
from duragraph_worker import serialize

T = TypeVar("T")
JSON = "application/json"

FIRST_WAIT = 0.05
LONGEST_WAIT = 2.0
REQUEST_SECONDS = 15.0
"""An answer that takes longer counts as lost, and the request is sent again."""
PATIENCE_SECONDS = 30.0
"""For so long a request of user code is sent again."""
CONNECT_SECONDS = 5.0
WRITTEN_AT_ONCE = 1 << 20
"""Bytes; a longer body goes in pieces between which the loop is free."""

_AWAY = errors.Unavailable, errors.Busy
_BY_STATUS: dict[int, type[errors.DuraGraphError]] = {
    HTTPStatus.UNAUTHORIZED: errors.Unauthorized,
    HTTPStatus.FORBIDDEN: errors.Unauthorized,
    HTTPStatus.REQUEST_TIMEOUT: errors.Unavailable,
    HTTPStatus.CONFLICT: errors.Conflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.TooLarge,
    HTTPStatus.TOO_MANY_REQUESTS: errors.Busy,
}

log = logging.getLogger(__name__)


class _Problem(msgspec.Struct):
    """The body of a refusal, as far as it is one of the plane's."""

    code: str = ""
    detail: str = ""
    hint: str | None = None


class Plane:
    """One plane, under one address, with one connection pool. Use as a context manager."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        """`url` is the plane's root, such as `http://localhost:8123`."""
        self.url = str(URL(url)).rstrip("/")
        self.headers = {} if api_key is None else {"x-api-key": api_key}
        self._workers = f"{self.url}/api/v1/workers"
        self._reachable = True
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self.headers | {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    def heartbeat_url(self, worker_id: str) -> str:
        """Where the child of `leases.py` renews this worker's leases."""
        return f"{self._workers}/{worker_id}/heartbeat"

    async def register(self, body: Register) -> Registered:
        """Raises Unauthorized or Invalid."""
        return await self._ask(self._workers, body, Registered)

    async def poll(self, worker_id: str, body: Poll, *, held: float = POLL_SECONDS) -> Polled:
        """Wait up to `held` seconds for work. Raises NotFound for a worker the plane forgot."""
        url = f"{self._workers}/{worker_id}/poll"
        return await self._ask(url, body, Polled, seconds=held + REQUEST_SECONDS)

    async def report(self, worker_id: str, reports: list[Report]) -> list[Verdict]:
        """One verdict a report, in their order. Raises NotFound, TooLarge or Invalid."""
        url = f"{self._workers}/{worker_id}/report"
        return await self._ask(url, reports, list[Verdict])

    async def checkpoints(self, worker_id: str, query: CheckpointQuery) -> list[Snapshot]:
        """What the query's lease may read. Raises Conflict once that is gone."""
        return await self._ask(f"{self._workers}/{worker_id}/checkpoints", query, list[Snapshot])

    async def erase(self, worker_id: str, message: EraseRuns) -> None:
        """Raises Conflict once the message's lease is gone."""
        await self._ask(f"{self._workers}/{worker_id}/erasures", message, None)

    async def copy(self, worker_id: str, message: CopyThread) -> None:
        """Raises Conflict once its lease is gone or where the target is, NotFound."""
        await self._ask(f"{self._workers}/{worker_id}/copies", message, None)

    async def start_child(self, worker_id: str, message: StartChild) -> ChildStarted:
        """Raises Conflict once the message's lease is gone, NotFound for the assistant, Invalid."""
        return await self._ask(f"{self._workers}/{worker_id}/children", message, ChildStarted)

    async def request(
        self, worker_id: str, method: str, path: str, body: object | None = None
    ) -> bytes:
        """The client API: see `served.Reach`. Raises Unavailable after PATIENCE_SECONDS."""
        headers = {"content-type": JSON, "accept": JSON, "idempotency-key": ids.new_id()}
        headers[WORKER_HEADER] = worker_id
        data = b"" if body is None else serialize.encode(body)
        url = self.url + path
        return await self._repeat(
            lambda: self._send(method, url, data, REQUEST_SECONDS, headers),
            patience=PATIENCE_SECONDS,
        )

    async def answer(self, worker_id: str, answers: list[AuthAnswer]) -> None:
        """To questions that came with a poll. Any plane may be told: it passes them on."""
        await self._ask(f"{self._workers}/{worker_id}/answers", answers, None)

    async def drain(self, worker_id: str) -> None:
        """Ask for no more work, and for that of polls that ended. Raises NotFound."""
        await self._ask(f"{self._workers}/{worker_id}/drain", {}, None)

    @overload
    async def _ask(self, url: str, message: Any, answer: type[T], *, seconds: float = ...) -> T: ...

    @overload
    async def _ask(self, url: str, message: Any, answer: None) -> None: ...

    async def _ask(
        self, url: str, message: Any, answer: type[T] | None, *, seconds: float = REQUEST_SECONDS
    ) -> T | None:
        """The answer, decoded unless `answer` is None: then that there is one is all."""
        body = pack(message)

        async def exchange() -> T | None:
            payload = await self._send("POST", url, body, seconds)
            return None if answer is None else unpack(payload, answer)

        return await self._repeat(exchange)

    async def _repeat(
        self, exchange: Callable[[], Awaitable[T]], *, patience: float = math.inf
    ) -> T:
        """Raises what no repetition can better, and Unavailable: no try begins after `patience`."""
        end = time.monotonic() + patience
        for wait in _waits():
            try:
                reply = await exchange()
            except _AWAY as error:
                trouble = str(error)
            except msgspec.DecodeError as error:
                trouble = f"an answer that is not the plane's: {error}"
            else:
                self._note(None)
                return reply
            self._note(trouble)
            if time.monotonic() + wait > end:
                raise errors.Unavailable(
                    f"The plane at {self.url} has not done within {patience:g} s what was asked "
                    f"of it: {trouble}"
                )
            await asyncio.sleep(wait)
        raise AssertionError("the waits never end")

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes,
        seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        data = body if len(body) <= WRITTEN_AT_ONCE else io.BytesIO(body)
        request = self._session.request(method, url, data=data, timeout=timeout, headers=headers)
        try:
            async with request as response:
                payload = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.Unavailable(f"{type(error).__name__}: {error}") from error
        if response.ok:
            return payload
        raise _problem(response.status, payload)

    def _note(self, trouble: str | None) -> None:
        """Log once as the plane goes, and once as it comes back."""
        if trouble is not None and self._reachable:
            log.warning(
                "the plane is away, waiting for it", extra={"url": self.url, "why": trouble}
            )
        elif trouble is None and not self._reachable:
            log.info("the plane is back", extra={"url": self.url})
        self._reachable = trouble is None


def _waits() -> Iterator[float]:
    """Seconds between tries: doubling up to a bound, with jitter, without end."""
    for attempt in itertools.count():
        yield min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter


def _problem(status: int, payload: bytes) -> errors.DuraGraphError:
    """The error an answer means. A 404 without the plane's code may be a proxy's: it can pass."""
    try:
        problem = msgspec.json.decode(payload, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    message = problem.detail or f"status {status}, and not in a plane's words"
    if status == HTTPStatus.NOT_FOUND and problem.code == errors.NotFound.code:
        return errors.NotFound(message, hint=problem.hint)
    if status == HTTPStatus.NOT_FOUND or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.Unavailable(message)
    return _BY_STATUS.get(status, errors.Invalid)(message, hint=problem.hint)
