"""Cron schedules: when they are due next, in their own time zone.

Five fields, or a name such as `@daily`. Clocks that change are met as in Debian's cron: what names
an hour runs once a day, right after the gap if its time was skipped and at the first of two equal
times; what starts with `*` follows the clock on the wall.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo, available_timezones

import attrs
from cronsim import CronSim, CronSimError

from duragraph.errors import Invalid

FIELDS = 5
LONGEST = 1000
"""Characters of a schedule."""
FIRST_SPAN = timedelta(hours=1)

NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_zones = lru_cache(1)(available_timezones)


@attrs.frozen
class Schedule:
    """`fields` are five, as `cronsim` reads them; nothing is due after `end`."""

    fields: str
    zone: ZoneInfo
    end: datetime | None

    @classmethod
    def of(cls, expression: str, timezone: str | None, end: datetime | None = None) -> Self:
        """Raises Invalid, in the wire's own words, for what is no schedule or never due."""
        if timezone is not None and timezone not in _zones():
            raise Invalid(
                f"Invalid timezone: '{timezone}'. Use IANA timezone format "
                "(e.g. 'America/New_York')."
            )
        return cls(_fields(expression), ZoneInfo(timezone or "UTC"), end)

    def after(self, moment: datetime) -> datetime | None:
        """When it is next due, later than `moment`, in UTC; None: never."""
        return next(self._ticks(moment), None)

    def last(self, since: datetime, until: datetime) -> datetime | None:
        """The latest time it was due, later than `since` and not after `until`; None: never.

        Looked for backwards in growing steps: there may be a tick a minute.
        """
        span = FIRST_SPAN
        while True:
            start, last = max(since, until - span), None
            for tick in self._ticks(start):
                if tick > until:
                    break
                last = tick
            if last is not None or start == since:
                return last
            span *= 4

    def _ticks(self, moment: datetime) -> Iterator[datetime]:
        try:
            for tick in CronSim(self.fields, moment.astimezone(self.zone)):
                due = tick.astimezone(UTC)
                if self.end is not None and due > self.end:
                    return
                # The second of two equal hours is searched from the first.
                if due > moment:
                    yield due
        except OverflowError:  # the calendar ends
            return


def _fields(expression: str) -> str:
    if len(expression) > LONGEST:
        raise _invalid(expression, f"It has over {LONGEST} characters.")
    fields = NAMED.get(expression.strip().lower(), expression).upper().split()
    if len(fields) != FIELDS:
        raise _invalid(expression, f"It takes {FIELDS} fields.")
    days = (2, 4)
    fields = ["*" if n in days and f == "?" else f for n, f in enumerate(fields)]
    # A range may end on Sunday, which is 0 and 7.
    fields[4] = fields[4].replace("-SUN", "-7")
    try:
        due = next(CronSim(" ".join(fields), datetime.now(UTC)), None)
    except CronSimError as error:
        raise _invalid(expression, f"{error}.") from None
    if due is None:
        raise _invalid(expression, "It is never due.")
    return " ".join(fields)


def _invalid(expression: str, why: str) -> Invalid:
    return Invalid(
        f"Invalid cron schedule: '{expression}'. Reason: Invalid cron schedule. Ensure the "
        "schedule uses the standard cron format (minute hour day_of_month month day_of_week). "
        "Example: '*/5 * * * *' for every 5 minutes.",
        hint=why,
    )
