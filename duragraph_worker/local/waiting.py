"""What a plane does for runs that wait, done here: it ends sleeps, takes signals, runs children.

Owns the graphs that this process knows by their ids. A sleep's end is kept in the thread's record
as soon as it begins, so that a thread on disk sleeps on over a restart.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakValueDictionary

from duragraph import ids
from duragraph.errors import NotFound
from duragraph.protocol import Effect
from duragraph.waiting import TIMED_OUT, Wait
from duragraph_worker import serialize
from duragraph_worker.executor.waiting import Child
from duragraph_worker.local.threads import Thread
from duragraph_worker.plan import Plan

_UNTIL = ":until"
"""What the key of an effect ends with that tells when a wait is over by itself."""


class Planned(Protocol):
    @property
    def plan(self) -> Plan: ...


GRAPHS: WeakValueDictionary[str, Planned] = WeakValueDictionary()
"""By id; of several the one that was defined last, as in a notebook."""


def plan_of(graph_id: str) -> Plan:
    """Raises NotFound naming the graphs there are."""
    if (graph := GRAPHS.get(graph_id)) is not None:
        return graph.plan
    known = ", ".join(sorted(GRAPHS)) or "none"
    raise NotFound(
        f"No graph {graph_id!r} is defined in this process; there are: {known}",
        hint="With no server, child runs are of graphs: import it, or give its class.",
    )


class Waits:
    """Of one open run. It starts the run's children, too."""

    def __init__(
        self, thread: Thread, run_child: Callable[[Plan, Child], Coroutine[Any, Any, bytes]]
    ) -> None:
        self._thread, self._run_child = thread, run_child
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._signals: list[tuple[str, bytes]] = []
        self._run_ids: dict[str, str] = {}
        self._children: dict[str, asyncio.Task[bytes]] = {}

    async def start(self, child: Child) -> str:
        """See `executor.waiting.Children`."""
        if child.key not in self._run_ids:
            plan = plan_of(child.assistant) if child.graph is None else child.graph.plan
            run_id = self._run_ids[child.key] = ids.new_id()
            job = self._children[run_id] = asyncio.create_task(self._run_child(plan, child))
            job.add_done_callback(lambda _: self._news.set())
        return self._run_ids[child.key]

    def signal(self, name: str, value: Any) -> None:
        """Safe to call from a thread. Raises TypeError for what is no JSON."""
        signal = name, serialize.encode(value)
        self._loop.call_soon_threadsafe(self._take, signal)

    def _take(self, signal: tuple[str, bytes]) -> None:
        self._signals.append(signal)
        self._news.set()

    async def until_one_is_over(self, waits: Sequence[Wait]) -> None:
        """Record the results of all that are."""
        while True:
            self._news.clear()
            next_end = min(map(self._end, waits))
            if over := [*self._over(waits)]:
                for effect in over:
                    self._thread.put(effect)
                await self._thread.settled()
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0, next_end - time.time())):
                    await self._news.wait()

    def _end(self, wait: Wait) -> float:
        """When it is over by itself, if ever: seconds since the epoch."""
        if wait.seconds is None:
            return float("inf")
        key = wait.key + _UNTIL
        if (kept := self._thread.record.effect(wait.checkpoint_id, key)) is not None:
            return float(kept)
        end = time.time() + wait.seconds
        self._thread.put(Effect(wait.checkpoint_id, key, serialize.encode(end)))
        return end

    def _over(self, waits: Sequence[Wait]) -> Iterator[Effect]:
        used = set[tuple[str, bytes]]()
        for wait in waits:
            timed_out = self._end(wait) <= time.time()
            if wait.kind == "sleep" and timed_out:
                yield Effect(wait.checkpoint_id, wait.key, b"null")
            elif wait.kind == "run" and (job := self._children[wait.run_id or ""]).done():
                yield Effect(wait.checkpoint_id, wait.key, job.result())
            elif wait.kind == "signal":
                signal = next((s for s in self._signals if s[0] == wait.name), None)
                if signal is not None:
                    used.add(signal)
                    yield Effect(wait.checkpoint_id, wait.key, signal[1])
                elif timed_out:
                    yield Effect(wait.checkpoint_id, wait.key + TIMED_OUT, b"null")
        for signal in used:
            self._signals.remove(signal)

    async def close(self) -> None:
        """The run has ended: cancel its children that have not."""
        for job in self._children.values():
            job.cancel()
        await asyncio.gather(*self._children.values(), return_exceptions=True)
