"""The worker's end of its heartbeat child: starts it, tells it the leases, hears its news.

The child renews; what a renewal or a loss means is the caller's business.
"""

import asyncio
import contextlib
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

import msgspec

from duragraph.protocol import Control, Lease
from duragraph_worker.process import heartbeat

RESTART_SECONDS = 0.2
_LONGEST_LINE = 1 << 24

log = logging.getLogger(__name__)


class _News(msgspec.Struct):
    """A line of the child's."""

    sent: float = 0.0
    active: list[Lease] = []
    lost: list[Control] = []
    failed: str | None = None


class Heartbeat:
    """Keeps a child alive that renews the leases held."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        every: float,
        renewed: Callable[[Lease, float], None],
        lost: Callable[[Control], None],
    ) -> None:
        """`renewed` is told when (monotonic) the acknowledged request was *sent*: the safe end."""
        self._order = {"url": url, "headers": dict(headers), "every": every}
        self._renewed = renewed
        self._lost = lost
        self._held: set[Lease] = set()
        self._dropped: list[Lease] = []
        self._child: Process | None = None
        self._failing = False

    def hold(self, leases: Iterable[Lease]) -> None:
        """Renew these from now on: the child is told before any task started after this runs."""
        taken = [lease for lease in leases if lease not in self._held]
        self._held.update(taken)
        self._say(taken)

    def drop(self, lease: Lease) -> None:
        """Renew this no longer. The child learns it with the next news, which saves a write."""
        self._held.discard(lease)
        self._dropped.append(lease)

    async def run(self) -> NoReturn:
        """Until cancelled. Restarts the child when it ends."""
        while True:
            child = await asyncio.create_subprocess_exec(
                # Isolated and by its path: the package and the user's PYTHONPATH stay out of it.
                *(sys.executable, "-I", heartbeat.__file__),
                stdin=PIPE,
                stdout=PIPE,
                limit=_LONGEST_LINE,
            )
            try:
                await self._listen(child)
            finally:
                self._child = None
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                code = await child.wait()
            log.warning("the heartbeat process ended, starting another", extra={"code": code})
            await asyncio.sleep(RESTART_SECONDS)

    async def _listen(self, child: Process) -> None:
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018 - piped above
        child.stdin.write(json.dumps(self._order).encode() + b"\n")
        self._child = child
        self._say(self._held)
        async for line in child.stdout:
            self._hear(line)

    def _say(self, taken: Iterable[Lease]) -> None:
        """Write lines to the child, if it lives; a new one is told everything anyway."""
        if self._child is None or self._child.stdin is None or self._child.stdin.is_closing():
            return
        lines = [f"-{lease.run_id} {lease.epoch}\n" for lease in self._dropped]
        lines += [f"+{lease.run_id} {lease.epoch}\n" for lease in taken]
        self._dropped.clear()
        if lines:
            self._child.stdin.write("".join(lines).encode())

    def _hear(self, line: bytes) -> None:
        try:
            news = msgspec.json.decode(line, type=_News)
        except msgspec.DecodeError as error:
            news = _News(failed=f"an answer that is not the plane's: {error}")
        if news.failed is not None and not self._failing:
            log.warning("leases can't be renewed at present", extra={"why": news.failed})
        self._failing = news.failed is not None
        for lost in news.lost:
            self._lost(lost)
        gone = {(lost.run_id, lost.epoch) for lost in news.lost}
        for lease in news.active:
            if (lease.run_id, lease.epoch) not in gone:
                self._renewed(lease, news.sent)
        self._say(())
