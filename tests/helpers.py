"""What tests speak with: a plane over HTTP, and a worker moved by hand."""

from typing import Any

import aiohttp
import attrs
import msgspec
from aiohttp import web

from duragraph import protocol
from duragraph.protocol import (
    GraphSpec,
    Lease,
    Outcome,
    Polled,
    Register,
    Registered,
    Report,
    Task,
    Verdict,
)


@attrs.frozen
class Plane:
    """A running plane. `http` is bound to its URL."""

    url: str
    http: aiohttp.ClientSession
    app: web.Application

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> "Answer":
        if json is not None:
            options["data"] = msgspec.json.encode(json)
        async with self.http.request(method, path, **options) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, **options: Any) -> "Answer":
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> "Answer":
        return await self.call("POST", path, json, **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> "Answer":
        return await self.call("PATCH", path, json, **options)

    async def delete(self, path: str, **options: Any) -> "Answer":
        return await self.call("DELETE", path, **options)

    async def start_run(self, thread_id: str, **fields: Any) -> str:
        """Make a run of the graph `g`; returns its id."""
        body = {"assistant_id": "g", "input": {}, "if_not_exists": "create", **fields}
        answer = await self.post(f"/threads/{thread_id}/runs", body)
        assert answer.status == 200, answer.body
        return str(answer.json["run_id"])

    async def worker(self, *graphs: GraphSpec | str, slots: int = 10) -> "Hand":
        """Register a worker that does nothing by itself."""
        specs = [g if isinstance(g, GraphSpec) else GraphSpec(g, "1") for g in graphs]
        registered = await self._message("/workers", Register("hand", slots, specs), Registered)
        return Hand(self, registered.worker_id, slots)

    async def _message(self, path: str, message: Any, type: Any) -> Any:
        answer = await self.call("POST", "/api/v1" + path, data=protocol.pack(message))
        assert answer.status == 200, answer.body
        return protocol.unpack(answer.body, type)


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@attrs.define
class Hand:
    """A worker whose every message a test sends."""

    plane: Plane
    worker_id: str
    slots: int

    async def poll(self, *active: Lease) -> Polled:
        message = protocol.Poll(self.slots, list(active))
        return await self.plane._message(f"/workers/{self.worker_id}/poll", message, Polled)

    async def task(self, *active: Lease) -> Task:
        """The next task; waits for it, naming the leases held meanwhile."""
        while not (polled := await self.poll(*active)).tasks:
            pass
        return polled.tasks[0]

    async def report(self, task: Task, *, batch: int = 1, **parts: Any) -> Verdict:
        report = Report(task.run_id, task.epoch, batch, **parts)
        verdicts = await self.plane._message(
            f"/workers/{self.worker_id}/report", [report], list[Verdict]
        )
        return verdicts[0]

    async def finish(self, task: Task, **parts: Any) -> Verdict:
        return await self.report(task, outcome=Outcome("success"), **parts)
