import asyncio
import contextlib

from duragraph import tasks


async def test_a_loop_that_dies_is_told_once():
    failed = asyncio.Event()
    supervisor = tasks.Supervisor(fail=failed.set)

    async def dies():
        raise RuntimeError("out of work")

    supervisor.start("dies", dies())
    await asyncio.wait_for(failed.wait(), 5)


async def test_a_stop_ends_loops_that_swallow_a_cancellation(monkeypatch):
    monkeypatch.setattr(tasks, "INSIST_SECONDS", 0.01)
    supervisor = tasks.Supervisor(fail=lambda: None)
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
