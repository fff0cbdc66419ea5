"""Crons that are due: each tick makes its run and moves the cron on, in one transaction.

Every plane schedules; crons are taken with SKIP LOCKED, so there is no leader. Ticks that were
missed because no plane was there make one run together, if the last of them is not too long ago.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeAlias

import attrs
import structlog
from structlog.typing import FilteringBoundLogger

from duragraph import creates, intake, metrics, pg
from duragraph.assistants import Stale
from duragraph.config import Config
from duragraph.creates import Changed, Creates
from duragraph.errors import Busy, Conflict, Invalid, NotFound, Unavailable
from duragraph.identities import named
from duragraph.ids import new_id
from duragraph.pg import Connection, Pool, assistants, crons
from duragraph.pg.crons import Due
from duragraph.pg.endings import Ended
from duragraph.pg.runs import Created, NewRun
from duragraph.schedule import Schedule
from duragraph.sweeps import every

GRACE = timedelta(days=1)
"""A tick missed for longer is not made up for."""
MOST = 20
"""Crons with a thread, and as many without, that one transaction holds."""
AGAIN_SECONDS = 0.2
"""Until the next look when all that is due is in other hands."""

Clock: TypeAlias = Callable[[Connection], Awaitable[datetime]]

log = structlog.get_logger(__name__)


@attrs.define
class Made:
    """What came of a transaction's ticks, to be told of after its COMMIT."""

    outcomes: list[str] = attrs.field(factory=list)
    new: list[NewRun] = attrs.field(factory=list)
    created: list[Created] = attrs.field(factory=list)
    ended: list[Ended] = attrs.field(factory=list)


class Scheduler:
    def __init__(
        self, config: Config, pool: Pool, creates: Creates, *, clock: Clock = crons.now
    ) -> None:
        self._config = config
        self._pool = pool
        self._creates = creates
        self._clock = clock

    async def run(self) -> None:
        """Look for ever, sleeping until a cron is due; to be supervised."""
        await every(self._config.sweep_seconds, self.look, failing="can't schedule")

    async def look(self) -> float:
        """Fire what is due. Returns the seconds until the next look. Raises Unavailable, Busy."""
        async with pg.acquire(self._pool) as conn:
            due, now = await crons.first_due(conn), await self._clock(conn)
            if due is None:
                return self._config.sweep_seconds
            if due > now:
                return (due - now).total_seconds()
            made, moved = Made(), dict[str, datetime | None]()
            async with conn.transaction():
                for cron in await crons.claim(conn, now, limit=MOST):
                    try:
                        moved[cron.cron_id] = await _fire(conn, cron, now, made)
                    except Busy as error:
                        log.info("a cron waits", cron_id=cron.cron_id, reason=str(error))
                await crons.advance(conn, moved)
        self._creates.placed(made.new, made.created, made.ended)
        for outcome in made.outcomes:
            metrics.TICKS.labels(outcome).inc()
        return 0 if moved else AGAIN_SECONDS


async def _fire(conn: Connection, cron: Due, now: datetime, made: Made) -> datetime | None:
    """Make the run of a claimed cron, if it is to have one, and return when it is due next.

    Raises Busy and Unavailable when the same tick may succeed later.
    """
    line = log.bind(cron_id=cron.cron_id, tick=cron.next_run_date)
    try:
        schedule = _schedule(cron)
    except Invalid as error:
        line.warning("a cron is never due again", reason=str(error))
        return None
    if (tick := _tick(cron, schedule, now)) is None:
        line.warning("a tick was missed")
        made.outcomes.append("missed")
    else:
        made.outcomes.append(await _outcome(conn, cron, tick, made, line))
    return schedule.after(now)


async def _outcome(
    conn: Connection, cron: Due, tick: datetime, made: Made, line: FilteringBoundLogger
) -> str:
    """`fired`; or `skipped` (its thread is busy) or `failed`, and that tick is dropped."""
    try:
        new, created, ended = await _create(conn, cron, tick)
    except (Busy, Unavailable):
        raise
    except Conflict as error:
        line.info("a tick was skipped", reason=str(error))
        return "skipped"
    except Exception as error:  # noqa: BLE001 - logged: one cron may not stop all others
        line.warning("a tick failed", exc_info=error)
        return "failed"
    made.new.append(new)
    made.created += created
    made.ended += ended
    return "fired"


async def _create(
    conn: Connection, cron: Due, tick: datetime
) -> tuple[NewRun, list[Created], list[Ended]]:
    """The run of one tick. Raises as `Creates.create`."""
    for _ in range(creates.TRIES):
        try:
            with pg.translated():
                async with conn.transaction():
                    new = await _new_run(conn, cron, tick)
                    return new, *(await creates.place(conn, [new]))
        except (Stale, Changed):
            continue
    raise Busy(hint=creates.CHANGED)


async def _new_run(conn: Connection, cron: Due, tick: datetime) -> NewRun:
    assistant = await assistants.resolve(conn, cron.organization_id, cron.assistant_id)
    if assistant is None:
        raise NotFound("Assistant not found.")
    return intake.new_run(
        assistant,
        intake.cron_body(cron.payload, cron.on_run_completed),
        organization_id=cron.organization_id,
        run_id=new_id(),
        thread_id=cron.thread_id,
        request_id=None,
        marks={"cron_id": cron.cron_id, "cron_run_date": tick.isoformat()},
        asker=named(cron.user_id).configurable() if cron.user_id else None,
    )


def _schedule(cron: Due) -> Schedule:
    end = None if cron.end_time is None else datetime.fromisoformat(cron.end_time)
    return Schedule.of(cron.schedule, cron.timezone, end)


def _tick(cron: Due, schedule: Schedule, now: datetime) -> datetime | None:
    """The last tick that is due, for which all before it are made up; None if it is too old."""
    due = datetime.fromisoformat(cron.next_run_date)
    oldest = max(due, now - GRACE)
    return schedule.last(oldest, now) or (due if due == oldest else None)
