"""Tells of runs that ended: POSTs what `webhook_delivery` owes, again until it is accepted.

Signed by the Standard Webhooks scheme. Every plane delivers; a claim is a lease, so what one
was at when it died is delivered by another, under the same id.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
import structlog

from duragraph import __version__, metrics, pg
from duragraph.addresses import guarded
from duragraph.config import Config
from duragraph.errors import DuraGraphError
from duragraph.pg import Pool, webhooks
from duragraph.pg.webhooks import Delivery

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks for what is due."""
TRY_SECONDS = 15.0
"""How long a receiver has, from the look-up of its name to the head of its answer."""
LEASE_SECONDS = 2 * TRY_SECONDS
AT_ONCE, AT_ONCE_PER_HOST, BYTES_AT_ONCE = 128, 8, 64 << 20
SETTLED_AT_ONCE = 2
"""Of the engine's connections, which runs need more."""
RETRY_SECONDS = (1, 5, 30, 120, 600, 1800, 3600, 7200, 10800)
"""From each failure to the next try; after the last one a delivery is given up."""
ACCEPTED = range(200, 300)


class Webhooks:
    def __init__(self, config: Config, pool: Pool) -> None:
        self._secrets = config.webhook_secrets
        self._networks = config.webhook_networks
        self._pool = pool
        self._settling = asyncio.Semaphore(SETTLED_AT_ONCE)
        self._under_way: Counter[str] = Counter()
        self._bytes = 0
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Deliver for ever; to be supervised."""
        connector = aiohttp.TCPConnector(limit=0, socket_factory=guarded(self._networks))
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=TRY_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": f"duragraph/{__version__}"},
            ) as http,
            asyncio.TaskGroup() as deliveries,
        ):
            while True:
                self._ended.clear()
                for delivery in await self._claim():
                    self._under_way[delivery.host] += 1
                    self._bytes += len(delivery.body)
                    deliveries.create_task(self._deliver(http, delivery))
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._ended.wait()

    async def _claim(self) -> list[Delivery]:
        free, free_bytes = AT_ONCE - self._under_way.total(), BYTES_AT_ONCE - self._bytes
        full = [host for host, n in self._under_way.items() if n >= AT_ONCE_PER_HOST]
        if free <= 0 or free_bytes <= 0:
            return []
        try:
            async with pg.acquire(self._pool) as conn:
                return await webhooks.claim(
                    conn,
                    free,
                    less=full,
                    per_host=AT_ONCE_PER_HOST,
                    max_bytes=free_bytes,
                    seconds=LEASE_SECONDS,
                )
        except DuraGraphError as error:
            log.warning("can't look for webhooks", error=str(error), cause=str(error.__cause__))
            return []

    async def _deliver(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        try:
            problem = await self._post(http, delivery)
            async with self._settling, pg.acquire(self._pool) as conn:
                await _settle(conn, delivery, problem)
        except DuraGraphError as error:  # its lease will run out, and it is delivered again
            log.warning("webhook not settled", run_id=delivery.run_id, error=str(error))
        finally:
            self._bytes -= len(delivery.body)
            self._under_way[delivery.host] -= 1
            if not self._under_way[delivery.host]:
                del self._under_way[delivery.host]
            self._ended.set()

    async def _post(self, http: aiohttp.ClientSession, delivery: Delivery) -> str | None:
        """None if it was accepted, else what went wrong. Of the answer only the head is read."""
        body = _sent_now(delivery.body)
        headers = {"Content-Type": "application/json"} | signed(
            delivery.run_id, body, self._secrets, now=int(time.time())
        )
        try:
            async with http.post(
                delivery.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return None if answer.status in ACCEPTED else f"HTTP {answer.status}"
        except TimeoutError:
            return f"no answer within {TRY_SECONDS:g} s"
        except aiohttp.ClientResponseError as error:  # it would name the URL, which may be secret
            return f"{type(error).__name__}: {error.message!a}"[:500]
        except aiohttp.InvalidURL as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - whatever a URL and its receiver can cause: kept
            return f"{type(error).__name__}: {str(error)!a}"[:500]


def signed(id: str, body: bytes, secrets: Sequence[bytes], *, now: int) -> dict[str, str]:
    """The headers of the Standard Webhooks specification 1.0; one signature a secret."""
    headers = {"webhook-id": id, "webhook-timestamp": str(now)}
    content = b"%b.%d.%b" % (id.encode(), now, body)
    digests = (hmac.digest(secret, content, hashlib.sha256) for secret in secrets)
    if signatures := [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _sent_now(body: bytes) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return b'%b,"webhook_sent_at":"%b"}' % (bytes(body).rstrip()[:-1], now.encode())


async def _settle(conn: pg.Connection, delivery: Delivery, problem: str | None) -> None:
    told = {"run_id": delivery.run_id, "host": delivery.host, "attempt": delivery.attempt}
    if problem is None:
        await webhooks.delivered(conn, delivery.run_id)
        metrics.WEBHOOKS.labels("delivered").inc()
        log.info("webhook delivered", **told)
        return
    again = delivery.attempt <= len(RETRY_SECONDS)
    seconds = RETRY_SECONDS[delivery.attempt - 1] if again else None
    await webhooks.failed(conn, delivery.run_id, delivery.attempt, problem, retry_seconds=seconds)
    metrics.WEBHOOKS.labels("failed" if again else "given_up").inc()
    log.warning("webhook failed", **told, problem=problem, retry_seconds=seconds)
