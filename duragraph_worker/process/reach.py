"""What a run may ask of the plane beyond its task, under its lease."""

from collections.abc import Mapping

import attrs

from duragraph.errors import Conflict
from duragraph.protocol import CheckpointQuery, CopyThread, EraseRuns, Snapshot
from duragraph.questions import WORKER_HEADER
from duragraph.waiting import ChildStarted, StartChild
from duragraph_worker.process.client import Plane
from duragraph_worker.record import Fenced


@attrs.frozen
class LeasedReach:
    """`served.Reach` over the worker's own connection."""

    plane: Plane
    worker_id: str

    @property
    def url(self) -> str:
        return self.plane.url

    @property
    def headers(self) -> Mapping[str, str]:
        return self.plane.headers | {WORKER_HEADER: self.worker_id}

    async def checkpoints(self, query: CheckpointQuery) -> list[Snapshot]:
        try:
            return await self.plane.checkpoints(self.worker_id, query)
        except Conflict as error:
            raise Fenced from error

    async def erase(self, message: EraseRuns) -> None:
        try:
            await self.plane.erase(self.worker_id, message)
        except Conflict as error:
            raise Fenced from error

    async def copy(self, message: CopyThread) -> None:
        await self.plane.copy(self.worker_id, message)

    async def start_child(self, message: StartChild) -> ChildStarted:
        try:
            return await self.plane.start_child(self.worker_id, message)
        except Conflict as error:
            raise Fenced from error

    async def request(self, method: str, path: str, body: object | None = None) -> bytes:
        return await self.plane.request(self.worker_id, method, path, body)
