"""The `events` stream mode: LangChain's events (v2) of the graph, its nodes and streamed messages.

Owns their fields. There are no LangChain runnables here, so nothing below a node has events but
the chunks of messages that it streams.
"""

from typing import Any

import msgspec

from duragraph.protocol import Frame
from duragraph_worker import serialize
from duragraph_worker.executor.agenda import NodeTask
from duragraph_worker.executor.run import Run
from duragraph_worker.messages import AIMessageChunk

Raw = msgspec.Raw


class Events:
    """Puts the events of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._inputs: dict[str, bytes] = {}

    def graph_started(self, input: bytes) -> None:
        self._of_graph("on_chain_start", {"input": Raw(input)})

    def graph_ended(self, output: bytes) -> None:
        self._of_graph("on_chain_end", {"output": Raw(output)})

    def node_started(self, task: NodeTask, step: int, input: bytes) -> None:
        self._inputs[task.id] = input
        self._of_node("on_chain_start", task, step, {"input": Raw(input)})

    def node_ended(self, task: NodeTask, step: int) -> None:
        output = Raw(task.result if task.updates and task.result is not None else b"null")
        self._of_node("on_chain_stream", task, step, {"chunk": output})
        data = {"output": output, "input": Raw(self._inputs.pop(task.id, b"null"))}
        self._of_node("on_chain_end", task, step, data)

    def chunk(self, message: AIMessageChunk, metadata: bytes) -> None:
        """`metadata`, JSON, is that of the task that streams it."""
        self._put(
            "on_chat_model_stream",
            {"chunk": message},
            name="model",
            run_id=message.id,
            tags=[],
            metadata=Raw(metadata),
            parent_ids=[self._run.task.run_id],
        )

    def _of_graph(self, event: str, data: dict[str, Any]) -> None:
        run = self._run
        self._put(
            event,
            data,
            name=run.plan.graph_id,
            run_id=run.task.run_id,
            tags=run.config.get("tags") or [],
            metadata=run.told,
            parent_ids=[],
        )

    def _of_node(self, event: str, task: NodeTask, step: int, data: dict[str, Any]) -> None:
        self._put(
            event,
            data,
            name=task.name,
            run_id=task.id,
            tags=[f"graph:step:{step}"],
            metadata={**self._run.told, **task.metadata(step)},
            parent_ids=[self._run.task.run_id],
        )

    def _put(self, event: str, data: dict[str, Any], **fields: Any) -> None:
        self._run.recorder.put(
            Frame("events", serialize.encode({"event": event, "data": data, **fields}))
        )
