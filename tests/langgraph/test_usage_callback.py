"""What the models of LangGraph graphs took stands on their runs."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy

from duragraph_worker.langgraph.usage_callback import UsageCallback
from tests.langgraph.models import Scripted, says

pytestmark = pytest.mark.timeout(60)

HEY = {"messages": [{"role": "user", "content": "hey"}]}
TOKENS = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "total_tokens": 1100,
    "input_token_details": {"cache_read": 200},
}


class Counted(Scripted):
    """Tells what it took, and fails as often as `failing` says."""

    replies: Any = (says("Hi ", "you", usage_metadata=TOKENS),)
    failing: int = 0

    def _get_ls_params(self, **_: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini-2024-07-18"}

    def _stream(self, *args: Any, **options: Any) -> Any:
        if self.failing:
            self.failing -= 1
            raise ConnectionError
        yield from super()._stream(*args, **options)

    def _generate(self, messages: Any, *args: Any, **options: Any) -> ChatResult:
        chunks = [generated.message for generated in self._stream(messages)]
        whole = sum(chunks[1:], chunks[0])
        message = AIMessage(whole.content, usage_metadata=whole.usage_metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])


def graph(retry: RetryPolicy | None = None, **nodes: Any) -> Any:
    built = StateGraph(MessagesState)
    for name, node in nodes.items():
        built.add_node(name, node, retry_policy=retry)
        built.add_edge(START, name)
    return built.compile()


async def played(client: Any, *modes: str) -> tuple[dict[str, Any], list[Any]]:
    """The run as it is in the end, and the `usage` frames that it showed."""
    thread_id = (await client.threads.create())["thread_id"]
    stream = client.runs.stream(thread_id, "g", input=HEY, stream_mode=[*modes])
    shown = [part.data async for part in stream if part.event == "usage"]
    (run,) = await client.runs.list(thread_id)
    return run, shown


async def test_each_call_counts_however_the_model_is_called(serve, client):
    model = Counted()

    async def awaited(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def threaded(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def streamed(state: MessagesState) -> Any:
        chunks = [chunk async for chunk in model.astream(state["messages"])]
        return {"messages": [sum(chunks[1:], chunks[0])]}

    await serve(g=graph(awaited=awaited, threaded=threaded, streamed=streamed))
    run, shown = await played(client, "values", "usage")
    one = (800 * 0.15 + 200 * 0.075 + 100 * 0.6) / 1e6
    assert run["usage"]["cost_usd"] == pytest.approx(3 * one)
    assert run["usage"]["models"].keys() == {"openai/gpt-4o-mini-2024-07-18"}
    assert (run["usage"]["calls"], run["usage"]["total_tokens"]) == (3, 3300)
    assert run["usage"]["input_token_details"] == {"cache_read": 600}
    assert {each["node"] for each in shown} == {"awaited", "threaded", "streamed"}
    again, hidden = await played(client, "values", "messages-tuple")
    assert (again["usage"]["calls"], hidden) == (3, [])


async def test_what_failed_counts_with_what_followed(serve, client):
    model = Counted(failing=1)

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    retry = RetryPolicy(initial_interval=0, jitter=False, retry_on=ConnectionError)
    await serve(g=graph(retry, ask=ask))
    run, _ = await played(client, "values")
    assert run["status"] == "success"
    usage = run["usage"]
    assert (usage["calls"], usage["failed_calls"], usage["total_tokens"]) == (2, 1, 1100)


async def test_a_graph_that_asks_no_model_has_no_usage(serve, client):
    async def idle(state: MessagesState) -> Any:
        return {}

    await serve(g=graph(idle=idle))
    run, _ = await played(client, "values", "usage")
    assert "usage" not in run


async def test_a_call_that_gave_nothing_counts_and_is_forgotten():
    items: list[Any] = []
    recorder = SimpleNamespace(put=items.append)
    callback, call = UsageCallback(recorder, shown=False), uuid4()
    callback.on_chat_model_start(run_id=call, metadata={"ls_model_name": "small"})
    callback.on_llm_end(LLMResult(generations=[[]]), run_id=call)
    assert [(item.model, item.total_tokens) for item in items] == [("small", 0)]
    assert callback._asked == {}
