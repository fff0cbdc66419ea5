"""Sweeps go on after errors, and judge nobody who had no time to speak."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from duragraph import sweeps
from duragraph.errors import Unavailable


@pytest.fixture
def pass_seconds(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(sweeps, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def pass_seconds(seconds):
        clock.now += seconds

    return pass_seconds


@pytest.fixture
def patience(pass_seconds):
    """With ten seconds of it, over already, and a sweep that was just now."""
    patience = sweeps.Patience(10, gap_seconds=4)
    for _ in range(4):
        patience.is_over()
        pass_seconds(3)
    assert patience.is_over()
    return patience


def test_nobody_is_judged_at_a_start(pass_seconds):
    patience = sweeps.Patience(10, gap_seconds=20)
    assert not patience.is_over()
    pass_seconds(9)
    assert not patience.is_over()
    pass_seconds(1)
    assert patience.is_over()


def test_nobody_is_judged_after_a_gap(patience, pass_seconds):
    pass_seconds(5)
    assert not patience.is_over()


def test_steady_sweeps_go_on_judging(patience, pass_seconds):
    pass_seconds(4)
    assert patience.is_over()


async def test_a_sweep_that_fails_is_followed_by_the_next():
    sweeps_begun, third = 0, asyncio.Event()

    async def sweep():
        nonlocal sweeps_begun
        sweeps_begun += 1
        if sweeps_begun == 3:
            third.set()
        raise Unavailable

    loop = asyncio.ensure_future(sweeps.every(0, sweep, failing="can't sweep"))
    async with asyncio.timeout(5):
        await third.wait()
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop


async def test_a_sweep_comes_when_asked_for_or_when_the_last_one_said():
    pauses, look, done = [None, 0], asyncio.Event(), asyncio.Event()

    async def sweep():
        if not pauses:
            done.set()
            return None
        if (pause := pauses.pop()) is None:
            asyncio.get_running_loop().call_soon(look.set)
        return pause

    loop = asyncio.ensure_future(sweeps.every(3600, sweep, failing="can't sweep", look=look))
    async with asyncio.timeout(5):
        await done.wait()
    loop.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loop
