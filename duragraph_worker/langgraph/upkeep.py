"""What a checkpointer does to threads beside its own: delete, cut, copy.

The thread that the run itself is on stays while it runs; only other runs' traces go from it.
"""

from collections.abc import Sequence

from langgraph.checkpoint.serde.base import SerializerProtocol

from duragraph.protocol import CopyThread, EraseRuns, Task
from duragraph_worker.langgraph.blocking import BlockingSaver
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach


class Upkeep(BlockingSaver):
    """Over the plane's API, under the run's lease where that tells too little."""

    def __init__(
        self, task: Task, recorder: Recorder, reach: Reach, *, serde: SerializerProtocol | None
    ) -> None:
        super().__init__(serde=serde)
        self._task, self._recorder, self._reach = task, recorder, reach

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with all that hangs on it. Raises ValueError for the run's own."""
        await self._prune([thread_id], "delete")

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete threads, or cut them to their newest state; busy ones are left alone by that."""
        await self._prune(thread_ids, strategy)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Drop what runs have made of this run's thread. Raises Fenced."""
        if not run_ids:
            return
        await self._settle()
        task = self._task
        await self._reach.erase(EraseRuns(task.run_id, task.epoch, list(run_ids)))
        self.forget()

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Make a new thread with another's history. Raises NotFound, Conflict if it is there."""
        await self._settle()
        task = self._task
        await self._reach.copy(
            CopyThread(task.run_id, task.epoch, source_thread_id, target_thread_id)
        )

    def release(self) -> None:
        """Put what is kept back for what comes with it."""

    async def _settle(self) -> None:
        """Wait until all that this attempt knows is on record. Raises Fenced."""
        self.release()
        await self._recorder.settled()

    def forget(self) -> None:
        """Take nothing for known: the record has changed."""

    async def _prune(self, thread_ids: Sequence[str], strategy: str) -> None:
        if self._task.thread_id in thread_ids:
            raise ValueError(f"A run can't delete its own thread's history: {self._task.thread_id}")
        if thread_ids:
            body = {"thread_ids": list(thread_ids), "strategy": strategy}
            await self._reach.request("POST", "/threads/prune", body)
