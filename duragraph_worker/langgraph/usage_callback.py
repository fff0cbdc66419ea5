"""Counts the models that a LangGraph graph calls, by LangChain's callbacks.

A call counts as it ends, whatever becomes of its node: what is called again was paid again.
"""

import asyncio
import sys
import threading
from itertools import chain
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from duragraph.protocol import Frame
from duragraph.usage import Usage, frame
from duragraph_worker.llm.usage import spent
from duragraph_worker.record import Recorder

MODELS = "langchain_core.language_models.chat_models"


def callbacks(recorder: Recorder, *, shown: bool) -> list[BaseCallbackHandler]:
    """The callbacks of a run; `shown` if somebody streams `usage`.

    None where LangChain's models are not loaded: each callback costs every node some time.
    """
    return [UsageCallback(recorder, shown=shown)] if MODELS in sys.modules else []


class UsageCallback(BaseCallbackHandler):
    """Made on the run's loop; models may be called in threads."""

    run_inline = True
    ignore_chain = ignore_agent = ignore_retriever = ignore_custom_event = True

    def __init__(self, recorder: Recorder, *, shown: bool) -> None:
        self._recorder, self._shown = recorder, shown
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._asked: dict[UUID, dict[str, Any]] = {}
        """What LangChain tells of the calls under way."""

    def on_chat_model_start(
        self, *_: Any, run_id: UUID, metadata: dict[str, Any] | None = None, **__: Any
    ) -> None:
        self._asked[run_id] = metadata or {}

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        # A provider may have given no answer, which counts as well.
        made = chain.from_iterable(response.generations)
        reply = next((each.message for each in made if isinstance(each, ChatGeneration)), None)
        self._ended(run_id, reply.usage_metadata if isinstance(reply, AIMessage) else None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002
        self._ended(run_id, None, failed=True)

    def _ended(self, call: UUID, tokens: Any, *, failed: bool = False) -> None:
        asked = self._asked.pop(call, {})
        provider, model = asked.get("ls_provider"), asked.get("ls_model_name")
        name = f"{provider or 'unknown'}/{model or 'unknown'}"
        usage = spent(name, tokens, key=str(call), failed=failed)
        if threading.get_ident() == self._thread:
            self._count(usage, asked.get("langgraph_node"))
        else:
            self._loop.call_soon_threadsafe(self._count, usage, asked.get("langgraph_node"))

    def _count(self, usage: Usage, node: str | None) -> None:
        self._recorder.put(usage)
        if self._shown:
            self._recorder.put(Frame("usage", frame(usage, node=node)))
