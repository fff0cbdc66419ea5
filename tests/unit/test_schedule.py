"""Schedules are due when their zone's clock says so, also on the days when it is put."""

import random
import string
import tracemalloc
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from duragraph.errors import Invalid
from duragraph.schedule import LONGEST, Schedule
from tests.schedules import due, utc

FRIDAY = utc("2026-11-20 11:16:03.5")
NEW_YORK = "America/New_York"
CHANGES = [
    (NEW_YORK, "2031-03-09 07:00", "02:00 becomes 03:00"),
    (NEW_YORK, "2031-11-02 06:00", "02:00 becomes 01:00"),
    ("Europe/Berlin", "2031-03-30 01:00", "02:00 becomes 03:00"),
    ("Europe/Berlin", "2031-10-26 01:00", "03:00 becomes 02:00"),
    ("America/Havana", "2026-03-08 05:00", "00:00 becomes 01:00"),
    ("America/Havana", "2026-11-01 05:00", "01:00 becomes 00:00"),
    ("Australia/Sydney", "2031-04-05 16:00", "03:00 becomes 02:00"),
]
BY_THE_WALL = ["* * * * *", "*/15 * * * *", "0 * * * *", "5 */2 * * *", "*/20 2 * * *"]
BY_THE_DAY = ["30 2 * * *", "0 0 * * *", "15 1 * * *", "0,30 0-4 * * *", "0 3 * * *"]


@pytest.mark.parametrize("expression", BY_THE_WALL + BY_THE_DAY)
@pytest.mark.parametrize(("zone", "moment", "what"), CHANGES)
def test_nothing_is_lost_nor_doubled_when_the_clock_is_put(expression, zone, moment, what):
    start, end = utc(moment) - timedelta(hours=30), utc(moment) + timedelta(hours=30)
    schedule = Schedule.of(expression, zone)
    ticks, tick = [], schedule.after(start - timedelta(seconds=1))
    while tick <= end:
        ticks.append(tick)
        tick = schedule.after(tick)
    assert ticks == due(expression, zone, start, end)


@pytest.mark.parametrize("expression", BY_THE_WALL + BY_THE_DAY)
@pytest.mark.parametrize(("zone", "moment", "what"), CHANGES)
def test_the_next_tick_is_the_same_from_wherever_it_is_looked_for(expression, zone, moment, what):
    start, end = utc(moment) - timedelta(hours=6), utc(moment) + timedelta(hours=6)
    ticks = due(expression, zone, start, end + timedelta(days=2))
    schedule = Schedule.of(expression, zone)
    while start < end:
        assert schedule.after(start) == next(tick for tick in ticks if tick > start)
        start += timedelta(minutes=7)


def test_a_skipped_time_is_due_right_after_the_gap():
    schedule = Schedule.of("30 2 * * *", NEW_YORK)
    assert schedule.after(utc("2031-03-09 00:00-05:00")) == utc("2031-03-09 03:00-04:00")
    assert schedule.after(utc("2031-03-09 03:00-04:00")) == utc("2031-03-10 02:30-04:00")


def test_a_doubled_time_is_due_once():
    schedule = Schedule.of("30 1 * * *", NEW_YORK)
    assert schedule.after(utc("2031-11-02 00:00-04:00")) == utc("2031-11-02 01:30-04:00")
    assert schedule.after(utc("2031-11-02 01:10-05:00")) == utc("2031-11-03 01:30-05:00")


def test_hourly_is_every_hour_that_passes():
    schedule = Schedule.of("@hourly", NEW_YORK)
    for day in ("2031-03-09", "2031-11-02"):
        first = utc(f"{day} 04:00")
        assert schedule.after(first) - first == timedelta(hours=1)
        assert schedule.last(first, first + timedelta(hours=9)) - first == timedelta(hours=9)


@pytest.mark.parametrize(
    ("expression", "next_due"),
    [
        ("* * * * *", "2026-11-20 11:17"),
        ("5/15 * * * *", "2026-11-20 11:20"),
        ("1-5/2 * * * *", "2026-11-20 12:01"),
        ("*/90 * * * *", "2026-11-20 12:00"),
        ("0 0 * * mon-fri", "2026-11-23 00:00"),
        ("0 0 * * 7", "2026-11-22 00:00"),
        ("0 0 * * SAT-SUN", "2026-11-21 00:00"),
        ("0 0 * * MON-SUN", "2026-11-21 00:00"),
        ("0 0 1 JAN *", "2027-01-01 00:00"),
        ("0 0 L * *", "2026-11-30 00:00"),
        ("0 0 * * MON#2", "2026-12-14 00:00"),
        ("0 0 ? * *", "2026-11-21 00:00"),
        ("0 0 13 * FRI", "2026-11-27 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("  0\t0 * * *  ", "2026-11-21 00:00"),
        ("@hourly", "2026-11-20 12:00"),
        ("@Daily", "2026-11-21 00:00"),
        ("@midnight", "2026-11-21 00:00"),
        ("@weekly", "2026-11-22 00:00"),
        ("@monthly", "2026-12-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
    ],
)
def test_what_a_schedule_may_say(expression, next_due):
    assert Schedule.of(expression, None).after(FRIDAY) == utc(next_due)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "zz",
        "@reboot",
        "@every 5m",
        "0 0 * *",
        "* * * * * *",
        "0 0 1 1 * 2030",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "0 0 * * 8",
        "*/0 * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
        "22-2 * * * *",
        "? * * * *",
        "\u0661 * * * *",
        "0 0 31 2 *",
        "0 0 31 2 */8",
        "1," * LONGEST + "1 * * * *",
    ],
)
def test_what_is_no_schedule_is_refused_in_the_references_words(expression):
    with pytest.raises(Invalid, match="Ensure the schedule uses the standard cron format") as error:
        Schedule.of(expression, None)
    assert str(error.value).startswith(f"Invalid cron schedule: '{expression}'. Reason: ")
    assert error.value.hint


def test_a_text_too_long_is_not_taken_apart():
    text = "ab " * 1_000_000
    tracemalloc.start()
    with pytest.raises(Invalid):
        Schedule.of(text, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(text)


@pytest.mark.parametrize("zone", ["X/Y", "", "europe/berlin", "../etc", "Europe", "/etc/localtime"])
def test_what_is_no_zone_is_refused_in_the_references_words(zone):
    with pytest.raises(Invalid) as error:
        Schedule.of("* * * * *", zone)
    assert str(error.value) == (
        f"Invalid timezone: '{zone}'. Use IANA timezone format (e.g. 'America/New_York')."
    )


def test_any_text_is_a_schedule_or_refused():
    chance = random.Random(5)
    letters = string.digits + "*/,-#?LW" + "MONSUNFEB"
    parts = ["*", "*/2", "5-9", "L", "LW", "SUN-7", "1#2", "5L", "L/2", "31", "2", "MON"]
    for _ in range(3000):
        fields = [
            chance.choice(parts)
            if chance.random() < 0.7
            else "".join(chance.choices(letters, k=chance.randint(1, 5)))
            for _ in range(5)
        ]
        try:
            schedule = Schedule.of(" ".join(fields), "Europe/Berlin")
        except Invalid:
            continue
        assert schedule.after(FRIDAY) > FRIDAY


def test_nothing_is_due_after_the_end():
    schedule = Schedule.of("0 0 * * *", None, utc("2026-11-22 00:00"))
    assert schedule.after(utc("2026-11-21 12:00")) == utc("2026-11-22 00:00")
    assert schedule.after(utc("2026-11-22 00:00")) is None
    assert schedule.last(FRIDAY, utc("2026-12-24 00:00")) == utc("2026-11-22 00:00")


@pytest.mark.parametrize("expression", ["* * * * *", "7 */5 * * *", "30 2 * * *", "0 0 * * SUN"])
@pytest.mark.parametrize("days", [1, 9])
def test_the_last_tick_is_the_one_that_counting_up_ends_with(expression, days):
    schedule, since = Schedule.of(expression, NEW_YORK), utc("2031-03-07 13:30:10")
    until = since + timedelta(days=days)
    last, tick = None, schedule.after(since)
    while tick <= until:
        last, tick = tick, schedule.after(tick)
    assert schedule.last(since, until) == last


def test_the_last_tick_is_found_between_two_moments():
    schedule = Schedule.of("0 * * * *", None)
    assert schedule.last(FRIDAY, utc("2026-11-20 15:59")) == utc("2026-11-20 15:00")
    assert schedule.last(FRIDAY, utc("2026-11-20 11:59")) is None


def test_the_calendar_ends():
    schedule = Schedule(fields="0 0 1 1 *", zone=ZoneInfo("UTC"), end=None)
    assert schedule.after(utc("9999-06-01 00:00")) is None
