"""A plan as a worker serves it; see `served.py`."""

from collections.abc import Iterator

import attrs

from duragraph.protocol import GraphSpec, Outcome, Task
from duragraph.waiting import StartChild
from duragraph_worker.authoring.draw import mermaid
from duragraph_worker.authoring.spec import to_spec
from duragraph_worker.executor.execute import execute
from duragraph_worker.executor.waiting import Child
from duragraph_worker.llm.providers import ModelError, resolve
from duragraph_worker.plan import Plan
from duragraph_worker.record import Recorder
from duragraph_worker.served import Reach


@attrs.frozen
class _Children:
    """Child runs of a task, on its plane."""

    task: Task
    plane: Reach

    async def start(self, child: Child) -> str:
        message = StartChild(
            self.task.run_id,
            self.task.epoch,
            child.checkpoint_id,
            child.key,
            child.assistant,
            input=child.input,
            config=child.config,
            context=child.context,
        )
        return (await self.plane.start_child(message)).run_id


@attrs.frozen
class Hosted:
    """All that its runs need comes with the task; they ask the plane only for child runs."""

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

    def problems(self) -> list[str]:
        """A sentence for each model that no provider installed here can ask."""
        return list(_unknown_models(self.plan))

    async def execute(self, task: Task, recorder: Recorder, plane: Reach) -> Outcome:
        children = _Children(task, plane)
        return await execute(self.plan, task, recorder, children=children, plane=plane)


def _unknown_models(plan: Plan, prefix: str = "") -> Iterator[str]:
    for name, node in plan.nodes.items():
        for model in node.models:
            try:
                resolve(model)
            except ModelError as error:
                yield f"{prefix}{name}: {error}"
        if node.subgraph is not None:
            yield from _unknown_models(node.subgraph, f"{prefix}{name}:")
