"""A graph as a worker serves it, whoever wrote it, and what its runs may ask of the plane.

`authoring/hosted.py` serves plans, `langgraph/hosted.py` LangGraph's graphs, `langgraph/auth.py`
auth handlers; `process/` knows all of them by these words alone.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from duragraph.protocol import (
    CheckpointQuery,
    CopyThread,
    EraseRuns,
    GraphSpec,
    Outcome,
    Snapshot,
    Task,
)
from duragraph.questions import AuthAnswer, AuthQuestion, AuthSpec
from duragraph.waiting import ChildStarted, StartChild
from duragraph_worker.record import Recorder


class Reach(Protocol):
    """The plane, as far as a run under its lease may ask it for more than its task holds."""

    @property
    def url(self) -> str:
        """The root of the client API."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the worker shows there."""

    async def checkpoints(self, query: CheckpointQuery) -> list[Snapshot]:
        """Recorded checkpoints of the run's thread. Raises record.Fenced once the lease is gone."""

    async def erase(self, message: EraseRuns) -> None:
        """Drop what runs have made of this thread's history. Raises record.Fenced."""

    async def copy(self, message: CopyThread) -> None:
        """A thread's history on a new one. Raises Conflict, also without the lease; NotFound."""

    async def start_child(self, message: StartChild) -> ChildStarted:
        """A run of another assistant. Raises record.Fenced, NotFound, Invalid."""

    async def request(self, method: str, path: str, body: object | None = None) -> bytes:
        """The client API, with the worker's key: JSON of `body`, and the answer's JSON bytes.

        `path` begins with `/` and may have a query. Repeated with one Idempotency-Key until the
        plane answers; raises Unavailable if it does not for half a minute, and what the plane
        refuses it with, of duragraph.errors.
        """


@runtime_checkable
class Served(Protocol):
    """One graph under one id and version."""

    @property
    def graph_id(self) -> str: ...

    @property
    def version(self) -> str: ...

    async def spec(self) -> GraphSpec:
        """What the plane and its clients get to know of the graph. Raises Invalid."""

    async def mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""

    async def execute(self, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
        """Run `task` to its end, its progress put, but not all of it acknowledged.

        What user code raises is an outcome. Raises CancelledError when cancelled, record.Fenced.
        """


class Authority(Protocol):
    """Auth handlers: who clients of the plane are, and what they may do."""

    @property
    def spec(self) -> AuthSpec: ...

    async def answer(self, question: AuthQuestion) -> AuthAnswer:
        """Whatever user code raises is a refusal."""
