"""When schedules are due, by a search through every minute: what `Schedule` must agree with.

And a clock that a test sets, in place of the database's.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs

MINUTE = timedelta(minutes=1)


@attrs.define
class Clock:
    now: datetime | None = None

    async def __call__(self, conn):
        return self.now


def due(expression, zone, start, end):
    """All ticks from `start` to `end`, for schedules that say nothing of days."""
    minutes, hours, *days = expression.split()
    assert days == ["*", "*", "*"]
    wanted = {(h, m) for h in numbers(hours, 24) for m in numbers(minutes, 60)}
    wild = minutes.startswith("*") or hours.startswith("*")
    found, before = set(), None
    moment = start - timedelta(days=1)
    while moment <= end:
        local = moment.astimezone(ZoneInfo(zone))
        at = local.replace(tzinfo=None)
        skipped = gap(before, at) if before is not None and not wild else ()
        if (local.hour, local.minute) in wanted and (wild or local.fold == 0):
            found.add(moment)
        if any((each.hour, each.minute) in wanted for each in skipped):
            found.add(moment)
        before, moment = at, moment + MINUTE
    return sorted(moment for moment in found if moment >= start)


def gap(before, at):
    """The wall's minutes between two that follow each other in truth."""
    while (before := before + MINUTE) < at:
        yield before


def numbers(field, end):
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        low = 0 if first == "*" else int(first)
        high = end - 1 if first == "*" else int(last or first)
        yield from range(low, high + 1, int(step or 1))


def utc(text):
    """`2031-03-09 07:00`, or with a zone's offset, as a time in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
