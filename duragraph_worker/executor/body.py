"""One execution of a node's body: what it waits for, and when the run may let go of it.

What waits through `ctx` holds its caller and never returns. Once nothing else goes on through
`ctx`, the body is cancelled and its run waits, held by nobody; when a wait is over the body runs
again and finds the result on record.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar

from duragraph.waiting import Wait
from duragraph_worker.errors import GraphWait, OpenWait

T = TypeVar("T")

TURNS = 10
"""Of the loop, before a body counts as still: what begins next does so within a few."""

_in_effect: ContextVar[str | None] = ContextVar("in_effect", default=None)


def refuse_in_effect() -> None:
    """Raises RuntimeError where the function of an effect has called: it is one step."""
    if (effect := _in_effect.get()) is not None:
        raise RuntimeError(
            f"effect {effect!r} would wait: sleep, wait for signals and start child runs outside "
            "of effects. A tool that does takes `ctx` and is no effect"
        )


class Body:
    """Made where the body will be awaited; `leave` it there, too."""

    def __init__(self, before: Mapping[str, int]) -> None:
        """`before` counts what earlier executions have shown."""
        job = asyncio.current_task()
        assert job is not None
        self._job, self.loop = job, job.get_loop()
        self._before = before
        self.shown: dict[str, int] = {}
        self._names: set[str] = set()
        """Of effects and waits."""
        self._asked: dict[str, int] = {}
        self._open: dict[str, tuple[OpenWait, asyncio.Future[None]]] = {}
        self._busy = self._changes = self._cancels = 0
        self._parked = self._left = False

    def news(self, what: str) -> bool:
        """Whether an earlier execution has not shown it yet, as often as this one has."""
        self.shown[what] = count = self.shown.get(what, 0) + 1
        return count > self._before.get(what, 0)

    @contextmanager
    def at_work(self, effect: str | None = None) -> Iterator[None]:
        """While something goes on that is not to be cancelled, maybe the function of an effect."""
        token = _in_effect.set(effect)
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            _in_effect.reset(token)
            self._changed()

    def ask(self, scope: str) -> int:
        """How many questions this part of it has asked before."""
        before = self._asked.get(scope, 0)
        self._asked[scope] = before + 1
        return before

    def sync(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop, for a sync body in its thread."""
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - the one that does not raise
            work.close()
            raise RuntimeError("`.sync` is for sync bodies, which run in threads: await it here")
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop).result()
        except CancelledError:
            # The run has let go of the body; of this thread, too.
            raise GraphWait(()) from None

    def claim(self, name: str) -> bool:
        """Whether it is used for the first time."""
        fresh = name not in self._names
        self._names.add(name)
        return fresh

    async def suspend(self, wait: Wait) -> NoReturn:
        """Wait for what only another execution will see."""
        future: asyncio.Future[None] = self.loop.create_future()
        if self._left or self._parked:
            future.cancel()
        self._open[wait.key] = OpenWait(wait, time.monotonic()), future
        self._changed()
        try:
            await future
        finally:
            if not self._parked:
                del self._open[wait.key]
        raise AssertionError("nobody ends the wait of a body")

    def suspended(self) -> tuple[OpenWait, ...] | None:
        """What it waits for, if the CancelledError that came out of it is of our making."""
        if not self._parked:
            return None
        self._parked = False
        ours = self._job.uncancel() <= self._cancels
        return tuple(wait for wait, _ in self._open.values()) if ours else None

    def leave(self) -> None:
        """The body is over: what it has left behind ends, and holds nobody."""
        self._left = True
        if self._parked:  # it ended in spite of the cancel
            self._parked = False
            self._job.uncancel()
        for _, future in self._open.values():
            future.cancel()

    def _changed(self) -> None:
        self._changes += 1
        if self._open and not self._busy:
            self.loop.call_soon(self._settle, self._changes, TURNS)

    def _settle(self, changes: int, turns: int) -> None:
        if changes != self._changes or self._left or self._parked or not self._open:
            return
        if turns:
            self.loop.call_soon(self._settle, changes, turns - 1)
            return
        self._parked, self._cancels = True, self._job.cancelling()
        self._job.cancel()
