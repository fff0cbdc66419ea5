"""A checkpointer's blocking methods, by its async ones: for graphs at work in other threads.

On the loop's own thread they work as far as nobody must be waited for, and else say so.
"""

import asyncio
import threading
from collections.abc import Collection, Coroutine, Iterator, Sequence
from typing import Any, Self, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

T = TypeVar("T")


class BlockingSaver(BaseCheckpointSaver[int]):
    """Bound to the loop that it is made on."""

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """No clone: what the saver knows of the attempt must be in one place."""
        self.serde = super().with_allowlist(extra_allowlist).serde
        return self

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._wait(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        async def every() -> Sequence[CheckpointTuple]:
            found = self.alist(config, filter=filter, before=before, limit=limit)
            return [each async for each in found]

        return iter(self._wait(every()))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self._wait(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        async def record() -> None:
            await self.aput_writes(config, writes, task_id, task_path)

        self._wait(record())

    def delete_thread(self, thread_id: str) -> None:
        self._wait(self.adelete_thread(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        self._wait(self.adelete_for_runs(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self._wait(self.acopy_thread(source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self._wait(self.aprune(thread_ids, strategy=strategy))

    def _wait(self, job: Coroutine[Any, Any, T]) -> T:
        """Raises RuntimeError on the loop's own thread, if the plane must answer first."""
        if threading.get_ident() != self._thread:
            return asyncio.run_coroutine_threadsafe(job, self._loop).result()
        try:
            job.send(None)
        except StopIteration as done:
            return cast("T", done.value)
        job.close()
        raise RuntimeError(
            "The plane must be asked for this, which would block the event loop: use the async "
            "methods (ainvoke, aget_state, …) in async nodes"
        )
