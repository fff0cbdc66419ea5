"""A plan as a worker serves it; see `served.py`."""

import attrs

from duragraph.protocol import GraphSpec, Outcome, Task
from duragraph_worker.authoring.draw import mermaid
from duragraph_worker.authoring.spec import to_spec
from duragraph_worker.executor.execute import execute
from duragraph_worker.plan import Plan
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach


@attrs.frozen
class Hosted:
    """Its runs ask nothing more of the plane: all they need comes with the task."""

    plan: Plan

    @property
    def graph_id(self) -> str:
        return self.plan.graph_id

    @property
    def version(self) -> str:
        return self.plan.version

    async def spec(self) -> GraphSpec:
        return to_spec(self.plan)

    async def mermaid(self) -> str:
        return mermaid(self.plan)

    async def execute(self, task: Task, recorder: Recorder, plane: Reach) -> Outcome:  # noqa: ARG002
        return await execute(self.plan, task, recorder)
