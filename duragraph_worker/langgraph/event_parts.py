"""What a run of the event-streaming protocol is made of: a graph's own events, on all channels.

LangGraph makes them (`astream_events`, version 3) and sends them through the transformers that a
graph was compiled with, which add channels and hold events back. Knows nothing of frames.
"""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from langchain_core._api import LangChainBetaWarning
from langchain_core.runnables import RunnableConfig
from langgraph.stream import AsyncGraphRunStream, ProtocolEvent, StreamChannel, StreamTransformer

from duragraph_worker.langgraph.terms import INTERRUPT, Compiled, Part

_KEPT = "duragraph_kept"


class _AllChannels(StreamTransformer):
    """Asks for all that there is, also for what LangGraph's own transformers hold back."""

    required_stream_modes: ClassVar[tuple[str, ...]] = (
        "values",
        "updates",
        "messages",
        "tools",
        "custom",
        "tasks",
        "checkpoints",
    )
    before_builtins = True
    # Else LangGraph makes its events custom ones.
    _native = True

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        super().__init__(scope)
        self._kept: StreamChannel[ProtocolEvent] = StreamChannel(_KEPT)

    def init(self) -> dict[str, Any]:
        return {_KEPT: self._kept}

    def process(self, event: ProtocolEvent) -> bool:
        if not self.scope and event["method"] in ("tasks", "checkpoints"):
            self._kept.push(event)
        return True


async def parts(
    graph: Compiled, input: Any, config: RunnableConfig, **options: Any
) -> AsyncIterator[Part]:
    """Run the graph. `options` are `astream`'s, less stream modes and subgraphs.

    Modes of the protocol alone are `lifecycle`, `tools` and `custom:NAME`, a transformer's
    channel; the payload of `messages` is a pair whose first half may be an event.

    Raises what the graph raises. Closed or cancelled, the graph has stopped on return.
    """
    with warnings.catch_warnings():
        # It is the reference server's source of the protocol, too.
        warnings.simplefilter("ignore", LangChainBetaWarning)
        run: AsyncGraphRunStream = await graph.astream_events(
            input, config, version="v3", transformers=[_AllChannels], **options
        )
    events = aiter(run)
    pull: asyncio.Task[ProtocolEvent | None] | None = None
    try:
        while True:
            # A cancelled pull would leave the graph running: only `abort` waits for its nodes.
            pull = asyncio.create_task(_next(events))
            await asyncio.wait([pull])
            if (event := pull.result()) is None:
                return
            if (part := _part(event)) is not None:
                yield part
    finally:
        await run.abort()
        if pull is not None:
            await asyncio.wait([pull])


async def _next(events: AsyncIterator[ProtocolEvent]) -> ProtocolEvent | None:
    return await anext(events, None)


def _part(event: ProtocolEvent) -> Part | None:
    if event["method"] == _KEPT:
        event = event["params"]["data"]
    elif event["method"] in ("tasks", "checkpoints"):
        return None
    params = event["params"]
    data = params["data"]
    if asked := params.get("interrupts"):
        data = {**data, INTERRUPT: asked}
    # The root tells of the lives of all graphs.
    of_subgraph = event["method"] == "lifecycle"
    namespace = data["namespace"] if of_subgraph else params["namespace"]
    return tuple(namespace), event["method"], data
