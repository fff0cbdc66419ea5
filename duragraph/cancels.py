"""Ending runs from outside: by their clients, or because a client or a plane went away.

Answers after COMMIT; then whoever follows a run and whoever holds its lease is told, and a loop
ends the child runs that it leaves.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from duragraph import pg
from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.frames import Batch
from duragraph.ids import new_id
from duragraph.models import CancelAction, OpenStatus
from duragraph.pg import Pool, endings, runs, waits
from duragraph.pg.endings import Ended
from duragraph.protocol import Control
from duragraph.streams import Streams
from duragraph.sweeps import every
from duragraph.waker import Waker

AT_ONCE = 500
"""Runs a transaction."""
NIL = "00000000-0000-0000-0000-000000000000"


class Cancels:
    def __init__(
        self,
        config: Config,
        pool: Pool,
        streams: Streams,
        dispatcher: Dispatcher,
        waker: Waker,
    ) -> None:
        self._config = config
        self._pool = pool
        self._streams = streams
        self._dispatcher = dispatcher
        self._waker = waker
        self._orphaned = asyncio.Event()

    async def run(self) -> None:
        """End child runs whose parents have ended; to be supervised."""
        seconds, failing = self._config.sweep_seconds, "can't end child runs"
        await every(seconds, self._end_children, look=self._orphaned, failing=failing)

    async def cancel(
        self,
        organization_id: str,
        thread_id: str,
        *,
        run_ids: Sequence[str],
        action: CancelAction,
    ) -> list[Ended]:
        """End those of these runs that are open; returns them. Raises Unavailable."""
        async with pg.acquire(self._pool) as conn, conn.transaction():
            ended = await endings.cancel(
                conn, organization_id, thread_id, run_ids=run_ids, action=action
            )
            await runs.promote(conn, [(organization_id, thread_id)])
        self.tell(ended)
        return ended

    async def _end_children(self) -> None:
        """A hundred at most. They are tied: with those that end, `tell` asks for the next look."""
        async with pg.acquire(self._pool) as conn:
            found = await waits.abandoned(conn)
        for organization_id, children in groupby(found, key=itemgetter(0)):
            _, threads, run_ids = zip(*children, strict=True)
            async with pg.acquire(self._pool) as conn:
                async with conn.transaction():
                    ended = await endings.cancel_many(
                        conn, organization_id, threads, run_ids=run_ids
                    )
                # Apart, as in `cancel_all`.
                await runs.promote(conn, [(organization_id, thread) for thread in threads])
            self.tell(ended)

    async def cancel_all(
        self, organization_id: str, *, status: OpenStatus, action: CancelAction
    ) -> int:
        """End the open runs of this status, a chunk a transaction; returns how many.

        Those that are created meanwhile are left alone. Raises Unavailable.
        """
        many, cursor, until = 0, (NIL, NIL), new_id()
        threads: list[str] = []
        while True:
            async with pg.acquire(self._pool) as conn:
                async with conn.transaction():
                    found = await runs.open_after(
                        conn, organization_id, status, cursor, until=until, limit=AT_ONCE
                    )
                    threads = list(dict.fromkeys([*threads[-1:], *(each for each, _ in found)]))
                    run_ids = [run_id for _, run_id in found]
                    ended = await endings.cancel_many(
                        conn, organization_id, threads, run_ids=run_ids, action=action
                    )
                # Apart: a thread made anew meanwhile would be locked out of turn. The last one may
                # have more to end, of which none is to start.
                if settled := threads[:-1] if found else threads:
                    await runs.promote(conn, [(organization_id, thread) for thread in settled])
            self.tell(ended)
            many += len(ended)
            if not found:
                return many
            cursor = found[-1]

    async def abandon(self, organization_id: str, thread_id: str, run_id: str) -> None:
        """End a run whose client hung up. At a shutdown the plane does that, and runs go on."""
        if not self._streams.closing:
            await self.cancel(organization_id, thread_id, run_ids=[run_id], action="interrupt")

    def tell(self, ended: Sequence[Ended]) -> None:
        """After the COMMIT that ended them: tell their followers and the workers that held them."""
        if ended:
            self._dispatcher.look()
        if any(run.tied for run in ended):
            self.untied()
        for run in ended:
            ids = run.organization_id, run.thread_id, run.run_id
            self._streams.publish(Batch(*ids, run.kind, run.ms, run.last_seq, (), "interrupted"))
            if run.worker_id is not None:
                self._dispatcher.revoked(run.worker_id, Control(run.run_id, run.epoch, "cancel"))

    def untied(self) -> None:
        """After the COMMIT that ended tied runs: parents go on, and children end."""
        self._waker.look()
        self._orphaned.set()
