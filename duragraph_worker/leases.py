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
from typing import Any, NoReturn

from duragraph.protocol import Control, Lease
from duragraph_worker import heartbeat

RESTART_SECONDS = 0.2
_LONGEST_LINE = 1 << 24

log = logging.getLogger(__name__)


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
        self._child: Process | None = None

    def hold(self, leases: Iterable[Lease]) -> None:
        """Renew these from now on: the child is told before any task started after this runs."""
        taken = [lease for lease in leases if lease not in self._held]
        self._held.update(taken)
        self._say("+", taken)

    def drop(self, lease: Lease) -> None:
        self._held.discard(lease)
        self._say("-", [lease])

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
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 - piped above
        child.stdin.write(json.dumps(self._order).encode() + b"\n")
        self._child = child
        self._say("+", self._held)
        async for line in child.stdout:
            self._hear(json.loads(line))

    def _say(self, sign: str, leases: Iterable[Lease]) -> None:
        """Write lines to the child, if it lives; a new one is told everything anyway."""
        if self._child is None or self._child.stdin is None or self._child.stdin.is_closing():
            return
        lines = "".join(f"{sign}{lease.run_id} {lease.epoch}\n" for lease in leases)
        self._child.stdin.write(lines.encode())

    def _hear(self, news: dict[str, Any]) -> None:
        if "failed" in news:
            log.warning("leases could not be renewed", extra={"why": news["failed"]})
            return
        for lost in news["lost"]:
            self._lost(Control(**lost))
        gone = {(lost["run_id"], lost["epoch"]) for lost in news["lost"]}
        for lease in news["active"]:
            if (lease["run_id"], lease["epoch"]) not in gone:
                self._renewed(Lease(**lease), news["sent"])
