"""One task under its lease: executes its graph and turns every end of it into an outcome.

Knows no plane and no slots. Whatever a graph does, exactly one of these comes out: an outcome
to report, or None where the plane wants to hear no more.
"""

import asyncio
import logging
from typing import Literal

import attrs

from duragraph.protocol import Frame, Outcome, Task
from duragraph_worker import serialize
from duragraph_worker.errors import masked, trace
from duragraph_worker.process.report import Recording
from duragraph_worker.record import Fenced
from duragraph_worker.served import Reach, Served

log = logging.getLogger(__name__)


@attrs.define(eq=False)
class Attempt:
    """From the task's arrival to its last acknowledgement."""

    task: Task
    recording: Recording
    reach: Reach
    graph: Served | None
    """None for a graph that is not served here: the task goes back."""
    job: asyncio.Task[None] | None = None
    phase: Literal["starting", "executing", "reporting"] = "starting"
    stopped: Literal["lost", "released"] | None = None

    @property
    def slots(self) -> int:
        """A state update is over in a moment and may not wait for runs."""
        return 1 if self.task.kind == "run" else 0

    def stop(self, why: Literal["lost", "released"]) -> None:
        """Cancel the nodes at work. What is being reported already goes on to be."""
        if self.stopped is not None or self.phase == "reporting":
            return
        self.stopped = why
        # A task cancelled before its first step would never come to its end either.
        if self.phase == "executing" and self.job is not None:
            self.job.cancel()

    async def outcome(self) -> Outcome | None:
        """Execute the task, within its deadline. Raises CancelledError only if not stopped."""
        self.phase = "executing"
        try:
            outcome = self._unstopped() if self.stopped else await self._execute()
        except Fenced:
            return None
        except asyncio.CancelledError:
            if self.stopped is None:
                raise
            return self._unstopped()
        else:
            if outcome is not None and outcome.trace is not None:
                # Clients get less of it, and whoever writes the graph looks here.
                log.warning("a run failed", extra=self._names | {"exception": outcome.trace})
            return outcome
        finally:
            self.phase = "reporting"

    @property
    def _names(self) -> dict[str, str]:
        return {"run_id": self.task.run_id, "graph": self.task.graph_id}

    async def _execute(self) -> Outcome:
        if self.graph is None:
            log.error("a task for a graph or version that is not served here", extra=self._names)
            return Outcome("released")
        deadline = asyncio.timeout(self.task.deadline_seconds)
        if self.task.kind == "run" and not self.task.announced:
            began = {"run_id": self.task.run_id, "attempt": self.task.attempt}
            self.recording.put(Frame("metadata", serialize.encode(began)))
        try:
            async with deadline:
                return await self.graph.execute(self.task, self.recording, self.reach)
        except Exception as error:
            if deadline.expired():
                limit = f"The run took longer than its {self.task.deadline_seconds:g} seconds"
                return self._failed("timeout", TimeoutError(limit))
            log.exception("the executor failed", extra=self._names)
            return self._failed("error", error)

    def _failed(self, status: Literal["error", "timeout"], error: Exception) -> Outcome:
        told = masked(error)
        self.recording.put(Frame("error", told))
        return Outcome(status, error=told, trace=trace(error))

    def _unstopped(self) -> Outcome | None:
        return Outcome("released") if self.stopped == "released" else None
