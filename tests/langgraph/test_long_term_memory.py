"""Long-term memory: what graphs keep in the store, over threads and beside clients; by meaning."""

import asyncio

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from duragraph_worker.langgraph.embedding import Index
from duragraph_worker.langgraph.hosted import hosted
from tests.langgraph.embeddings import Letters


async def remember(state: MessagesState, config: RunnableConfig, runtime: Runtime):
    """Keeps what is to be remembered, and answers from what it knows of the user."""
    namespace = ("memories", config["configurable"]["user"])
    text = state["messages"][-1].text
    if text.startswith("remember "):
        key = f"{len(await runtime.store.asearch(namespace))}"
        await runtime.store.aput(namespace, key, {"text": text.removeprefix("remember ")})
    found = await runtime.store.asearch(namespace, query=text, limit=2)
    return {"messages": [AIMessage(" | ".join(item.value["text"] for item in found))]}


graph = (
    StateGraph(MessagesState).add_node("remember", remember).add_edge(START, "remember").compile()
)


async def say(client, text, *, user="ada"):
    """In a thread of its own."""
    thread = await client.threads.create()
    answer = await client.runs.wait(
        thread["thread_id"],
        "g",
        input={"messages": [{"role": "user", "content": text}]},
        config={"configurable": {"user": user}},
    )
    return answer["messages"][-1]["content"]


async def test_one_thread_knows_what_another_was_told(client, serve):
    await serve(g=graph)
    await say(client, "remember I drink green tea")
    await say(client, "remember I live in Paris")
    assert await say(client, "what tea?") == "I drink green tea | I live in Paris"
    assert await say(client, "in which city do I live?") == "I live in Paris | I drink green tea"
    assert await say(client, "what tea?", user="bob") == ""


async def test_clients_see_and_make_memories_too(client, serve):
    await serve(g=graph)
    await say(client, "remember I drink green tea")
    (item,) = (await client.store.search_items(["memories"], query="tea"))["items"]
    assert (item["namespace"], item["value"]) == (
        ["memories", "ada"],
        {"text": "I drink green tea"},
    )
    await client.store.put_item(["memories", "ada"], key="x", value={"text": "I like black tea"})
    assert "black" in await say(client, "black tea?")


async def test_memories_are_found_by_what_they_mean(client, serve):
    ttl = {"default_ttl": 5}
    index = Index(Letters(), fields=["text"])
    await serve(g=hosted(graph, graph_id="g", store_index=index, store_ttl=ttl))
    for text in ("zzz", "abc abc", "xyz"):
        await say(client, f"remember {text}")
    assert (await say(client, "cab")).split(" | ")[0] == "abc abc"


async def test_parallel_nodes_write_at_once(client, serve):
    async def write(state, runtime: Runtime):
        await asyncio.gather(*(runtime.store.aput(("many",), f"{n}", {"n": n}) for n in range(40)))

    def read(state, runtime: Runtime):
        found = runtime.store.search(("many",), limit=100)
        return {"messages": [AIMessage(f"{sum(item.value['n'] for item in found)}")]}

    builder = StateGraph(MessagesState).add_node("a", write).add_node("b", write)
    builder.add_node("c", read).add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    await serve(g=builder.compile())
    assert await say(client, "go") == f"{sum(range(40))}"


async def test_a_sync_call_in_an_async_node_fails_with_what_to_write(client, serve):
    async def node(state, runtime: Runtime):
        runtime.store.get(("a",), "k")

    await serve(g=StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile())
    answer = await client.runs.wait(None, "g", input={"messages": []}, raise_error=False)
    assert answer["__error__"]["error"] == "InvalidStateError"


@pytest.mark.parametrize("sync", [True, False])
async def test_functional_graphs_and_their_tasks_have_it(client, serve, sync):
    @task
    def keep(n, *, store: BaseStore):
        store.put(("counts",), "n", {"n": n})

    @task
    async def akeep(n, *, store: BaseStore):
        await store.aput(("counts",), "n", {"n": n})

    @entrypoint()
    async def g(n, *, store: BaseStore):
        before = await store.aget(("counts",), "n")
        await (keep if sync else akeep)(n)
        return before and before.value["n"]

    await serve(g=g)
    assert [await client.runs.wait(None, "g", input=n) for n in (1, 2)] == [None, 1]
