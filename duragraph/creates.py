"""Creating runs: committed in groups, leased in the same statement to workers that wait.

Answers after COMMIT. A run that no worker waits for is left to the claims of `dispatch.py`.
"""

import asyncio
from collections.abc import Sequence

import attrs
import msgspec

from duragraph import codec, metrics, pg
from duragraph.assistants import Stale
from duragraph.cancels import Cancels
from duragraph.commit import MOST, GroupCommit
from duragraph.dispatch import Dispatcher
from duragraph.errors import Busy, Conflict, DuraGraphError, NotFound
from duragraph.models import CancelAction, Run
from duragraph.pg import Pool, endings, idempotency, runs
from duragraph.pg.endings import Ended
from duragraph.pg.idempotency import Key
from duragraph.pg.leases import Claimed
from duragraph.pg.runs import Created, NewRun
from duragraph.seats import Needs, Seat

TRIES = 3
"""Of a creation that meets another on its thread."""
INSTEAD = frozenset({"interrupt", "rollback"})
"""The strategies that end a thread's open runs."""
CHANGED = "The thread changed meanwhile; try again."
TAKEN = (
    "Thread is already running a task. Wait for it to finish or choose a different multitask "
    "strategy."
)


class Changed(Exception):
    """A creation met another: nothing stands in its way any more."""


class Creates:
    def __init__(self, pool: Pool, dispatcher: Dispatcher, cancels: Cancels) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._cancels = cancels
        self._commit: GroupCommit[NewRun, Created | None] = GroupCommit(
            self._flush, key=lambda new: (new.organization_id, new.thread_id)
        )

    async def run(self) -> None:
        """To be supervised."""
        await self._commit.run()

    async def create(self, new: NewRun) -> Created:
        """Create a run.

        Raises NotFound (thread or assistant), Conflict (busy under `reject`), Stale, Unavailable.
        """
        for _ in range(TRIES):
            created = await self._submit(new)
            if created is not None:
                return created
            async with pg.acquire(self._pool) as conn:
                await _refuse(conn, new)
        raise _still_met([new])

    async def _submit(self, new: NewRun) -> Created | None:
        """A flush can't be cancelled: if its client leaves meanwhile, the run is ended after it."""
        made = self._commit.submit(new)
        if new.on_disconnect != "cancel":
            return await made
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            if await made is not None:
                await self._cancels.abandon(new.organization_id, new.thread_id, new.run_id)
            raise

    async def create_all(self, new: Sequence[NewRun], *, key: Key | None = None) -> list[Created]:
        """Create all of these runs or none, each on a thread of its own, and keep `key` with them.

        Under `interrupt` and `rollback` the thread's open runs end in the same transaction.
        Under a key that was used before: the runs as they were created then. Raises as `create`,
        and Conflict if the key was used for something else.
        """
        for _ in range(TRIES):
            try:
                return await self._create_all(new, key)
            except Changed:
                continue
        raise _still_met(new)

    async def _create_all(self, new: Sequence[NewRun], key: Key | None) -> list[Created]:
        async with pg.acquire(self._pool) as conn, conn.transaction():
            if key is not None and (before := await idempotency.claim(conn, key)) is not None:
                return [Created(run) for run in msgspec.json.decode(before, type=list[Run])]
            created, ended = await place(conn, new)
            if key is not None:
                answer = codec.dumps([each.run for each in created])
                await idempotency.answer(conn, key, answer)
        self.placed(new, created, ended)
        return created

    def placed(
        self, new: Sequence[NewRun], created: Sequence[Created], ended: Sequence[Ended]
    ) -> None:
        """After the COMMIT of what `place` did: tell who waits for it."""
        self._cancels.tell(ended)
        metrics.CREATED.inc(len(created))
        for one, made in zip(new, created, strict=True):
            if made.claimable:
                self._dispatcher.waits(_needs(one))

    async def _flush(self, batch: Sequence[NewRun]) -> list[Created | None]:
        matches = [self._match(new) for new in batch]
        leased = [
            new if seat is None else _leased(new, seat)
            for new, seat in zip(batch, matches, strict=True)
        ]
        created: dict[str, Created] = {}
        try:
            async with pg.acquire(self._pool) as conn:
                created = await runs.create(conn, leased)
                claimed = [
                    _claimed(new, created[new.run_id])
                    for new, seat in zip(leased, matches, strict=True)
                    if seat is not None and _was_leased(created.get(new.run_id))
                ]
                tasks = await self._dispatcher.tasks(conn, claimed)
        finally:
            for new, seat in zip(leased, matches, strict=True):
                if seat is not None and not _was_leased(created.get(new.run_id)):
                    seat.free += 1
        for task, claim in zip(tasks, claimed, strict=True):
            self._dispatcher.offer(claim.worker_id, task)
        metrics.CREATED.inc(len(created))
        metrics.MATCHED.inc(len(claimed))
        metrics.BATCH.labels("create").observe(len(created))
        for new in leased:
            made = created.get(new.run_id)
            if made is not None and made.claimable:
                self._dispatcher.waits(_needs(new))
        return [created.get(new.run_id) for new in batch]

    def _match(self, new: NewRun) -> Seat | None:
        """A waiting worker for `new`; none for one that is to run later."""
        return None if new.after_seconds > 0 else self._dispatcher.match(_needs(new))


async def place(conn: pg.Connection, new: Sequence[NewRun]) -> tuple[list[Created], list[Ended]]:
    """Create these runs, each on a thread of its own, as part of the caller's transaction.

    Returns them, and the open runs that ended for them. Raises as `Creates.create`, and Changed.
    """
    ended = [run for one in new for run in await _make_way(conn, one)]
    created: dict[str, Created] = {}
    for start in range(0, len(new), MOST):  # a statement's cost grows as the square of its runs
        created |= await runs.create(conn, new[start : start + MOST])
    for one in new:
        if one.run_id not in created:
            await _refuse(conn, one)
            raise Changed
    return [created[one.run_id] for one in new], ended


async def _make_way(conn: pg.Connection, new: NewRun) -> list[Ended]:
    """End the open runs in whose place `new` is to stand."""
    if new.multitask_strategy not in INSTEAD:
        return []
    action: CancelAction = "rollback" if new.multitask_strategy == "rollback" else "interrupt"
    return await endings.cancel(conn, new.organization_id, new.thread_id, action=action)


async def _refuse(conn: pg.Connection, new: NewRun) -> None:
    """Raises what stands in the way of `new`; nothing does if the thread changed meanwhile."""
    revision, thread_exists, open_runs = await runs.why_not(conn, new)
    if revision is None or not (thread_exists or new.make_thread):
        raise NotFound("Thread or assistant not found.")
    if revision != new.revision:
        raise Stale
    if open_runs and new.kind == "update_state":
        raise Conflict(f"Thread {new.thread_id} has in-flight runs.")
    if open_runs and new.multitask_strategy == "reject":
        raise Conflict(TAKEN)


def _still_met(new: Sequence[NewRun]) -> DuraGraphError:
    """Of creations that met others at each try: somebody runs there, and comes and goes."""
    if any(one.multitask_strategy == "reject" for one in new):
        return Conflict(TAKEN)
    return Busy(hint=CHANGED)


def _needs(new: NewRun) -> Needs:
    return new.organization_id, new.queue, new.graph_id


def _leased(new: NewRun, seat: Seat) -> NewRun:
    version = seat.version(new.graph_id)
    return attrs.evolve(new, worker_id=seat.worker.worker_id, graph_version=version)


def _was_leased(created: Created | None) -> bool:
    return created is not None and created.leased


def _claimed(new: NewRun, created: Created) -> Claimed:
    assert new.worker_id is not None
    assert new.graph_version is not None
    return Claimed(
        run_id=new.run_id,
        organization_id=new.organization_id,
        thread_id=new.thread_id,
        assistant_id=new.assistant_id,
        graph_id=new.graph_id,
        graph_version=new.graph_version,
        kind=new.kind,
        kwargs=new.kwargs,
        metadata=bytes(created.run.metadata),
        worker_id=new.worker_id,
        epoch=1,
        attempt=1,
        start_id=new.checkpoint_id or created.head_id,
        resuming=False,
    )
