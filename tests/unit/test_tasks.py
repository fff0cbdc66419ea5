import asyncio
import contextlib

import pytest

from duragraph import tasks


async def test_a_loop_that_dies_is_told_to_who_watches():
    supervisor = tasks.Supervisor()

    async def dies():
        raise RuntimeError("out of work")

    supervisor.start("dies", dies())
    with pytest.raises(tasks.LoopDied, match="dies"):
        await asyncio.wait_for(supervisor.watch(), 5)


async def test_a_stop_ends_loops_that_swallow_a_cancellation(monkeypatch):
    monkeypatch.setattr(tasks, "INSIST_SECONDS", 0.01)
    supervisor = tasks.Supervisor()
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def deaf_at_first():
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.Event().wait()
        cancelled.set()
        await asyncio.Event().wait()

    supervisor.start("deaf at first", deaf_at_first())
    await started.wait()
    await asyncio.wait_for(supervisor.stop(), 5)
    assert cancelled.is_set()
    await asyncio.wait_for(supervisor.stop(), 5)
