"""What the SDK before this one got wrong, each as the behaviour that it has here."""

import asyncio
import json
from typing import Literal

import pytest

from duragraph_worker import (
    AIMessage,
    Graph,
    GraphError,
    Retry,
    entrypoint,
    human_node,
    llm_node,
    node,
    register_provider,
    router_node,
    tool,
    tool_node,
)
from duragraph_worker.authoring.spec import to_spec
from duragraph_worker.llm.providers import ModelError, resolve, unregister_provider
from duragraph_worker.testing import ScriptedLLM, scripted

HI = {"messages": [{"role": "user", "content": "hi"}]}


def run(cls, input, **options):
    return Graph(id="g")(cls)().run(input, **options)


def test_sync_run_awaits_async_nodes():
    class G:
        @node
        async def a(self, state):
            await asyncio.sleep(0)
            return {"a": 1}

    assert run(G, {"x": 1}).output == {"x": 1, "a": 1}


async def test_sync_run_works_in_a_running_loop():
    class G:
        @node
        async def a(self, state):
            return {"a": 1}

    assert run(G, {"x": 1}).output["a"] == 1


@pytest.mark.parametrize("way", ["run", "arun", "stream"])
async def test_every_way_to_run_calls_the_body_and_the_model(way):
    class G:
        @llm_node(model="gpt-4o-mini")
        def process(self, state):
            return f"Translate: {state['messages'][-1]['content']}"

    app = Graph(id="g")(G)()
    with scripted("openai", ["hallo"]) as llm:
        if way == "run":
            output = app.run(HI).output
        elif way == "arun":
            output = (await app.arun(HI)).output
        else:
            parts = [part async for part in app.stream(HI)]
            output = parts[-1].data
    assert llm.requests[0].messages[-1].text == "Translate: hi"
    assert output["messages"][-1]["content"] == "hallo"


def test_a_router_with_edges_goes_where_it_says():
    class G:
        @entrypoint
        @node
        def classify(self, state):
            return {"kind": "question" if "?" in state["text"] else "greeting"}

        @router_node
        def route(self, state):
            return state["kind"]

        @node
        def greeting(self, state):
            return {"said": "hello"}

        @node
        def question(self, state):
            return {"said": "an answer"}

        classify >> route
        route >> greeting
        route >> question

    assert run(G, {"text": "What is Python?"}).output["said"] == "an answer"
    assert run(G, {"text": "Hi!"}).output["said"] == "hello"


def test_conditional_edges_are_part_of_the_graph():
    class G:
        @router_node
        def route(self, state) -> Literal["yes", "no"]:
            return "no"

        @node
        def a(self, state):
            return {"by": "a"}

        @node
        def b(self, state):
            return {"by": "b"}

        route >> {"yes": a, "no": b}

    assert run(G, {"x": 1}).output["by"] == "b"


def test_every_branch_runs_and_the_join_waits():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state):
            return {"b": 1}

        @node
        def c(self, state):
            return {"c": 1}

        @node
        def d(self, state):
            return {"seen": sorted(state)}

        a >> [b, c] >> d

    assert run(G, {"x": 1}).output["seen"] == ["b", "c", "x"]


def test_cycles_stop_at_the_recursion_limit():
    class G:
        @entrypoint
        @node
        def a(self, state):
            return {"n": state["n"] + 1}

        a >> a

    result = run(G, {"n": 0}, config={"recursion_limit": 7})
    assert result.status == "error"
    assert type(result.error).__name__ == "GraphRecursionError"
    assert result.output == {"n": 7}


def test_retries_are_done():
    tried = []

    class G:
        @node(retry_on=[ConnectionError], max_retries=2, retry_delay=0)
        def a(self, state):
            tried.append(1)
            if len(tried) < 3:
                raise ConnectionError
            return {"tried": len(tried)}

    assert run(G, {"x": 1}).output["tried"] == 3


def test_timeouts_end_a_node():
    class G:
        @node(timeout=0.01)
        async def a(self, state):
            await asyncio.Event().wait()

    result = run(G, {"x": 1})
    assert isinstance(result.error, TimeoutError)


def test_names_are_used():
    class G:
        @node(name="renamed")
        def a(self, state): ...

    assert list(Graph(id="g")(G).plan.nodes) == ["renamed"]


def test_a_human_node_stops_a_local_run():
    class G:
        @human_node(prompt="Sure?")
        def ask(self, state):
            return state

    result = run(G, {"x": 1})
    assert result.status == "interrupted"
    assert result.interrupts[0].value == {"node": "ask", "prompt": "Sure?"}


def test_bare_decorators_lose_no_node():
    class G:
        @entrypoint
        @llm_node
        def ask(self, state): ...

        @tool_node
        def look(self, state): ...

        @router_node
        def route(self, state): ...

        @human_node
        def approve(self, state): ...

        ask >> look >> route >> {"on": approve}

    assert list(Graph(id="g")(G).plan.nodes) == ["ask", "look", "route", "approve"]


def test_a_subgraph_needs_no_name_of_its_own_and_registers_with_a_plane():
    @Graph(id="research_agent")
    class ResearchAgent:
        @node
        def look(self, state):
            return {"found": 1}

    class G:
        research = ResearchAgent.as_subgraph()

        @node
        def write(self, state):
            return {"wrote": state["found"]}

        research >> write

    graph = Graph(id="g")(G)
    assert graph().run({"x": 1}).output["wrote"] == 1
    drawing = json.loads(to_spec(graph.plan).drawing)
    assert "research" in [each["id"] for each in drawing["nodes"]]


async def test_tokens_stream_while_the_model_speaks():
    class Halting(ScriptedLLM):
        heard = asyncio.Event()

        async def stream(self, request):
            async for chunk in super().stream(request):
                yield chunk
                # Tokens that are collected first would never let this one go on.
                await asyncio.wait_for(self.heard.wait(), timeout=5)

    class G:
        @llm_node(model="halting/x")
        def process(self, state): ...

    register_provider("halting", Halting(["one two"]))
    try:
        contents = []
        async for part in Graph(id="g")(G)().stream(HI, stream_mode="messages-tuple"):
            if part.event == "messages":
                contents.append(part.data[0]["content"])
                Halting.heard.set()
    finally:
        unregister_provider("halting")
    assert contents == ["one ", "two", ""]


async def test_the_stream_of_a_node_that_raises_ends_with_an_error_part():
    class G:
        @node
        def a(self, state):
            raise ValueError("boom")

    parts = [part async for part in Graph(id="g")(G)().stream({"x": 1}, stream_mode="updates")]
    assert parts[-1] == ("error", {"error": "ValueError", "message": "boom"})


async def test_streaming_runs_tools_too_in_many_rounds_sync_and_async():
    @tool
    def one() -> int:
        """One."""
        return 1

    @tool
    async def two() -> int:
        """Two."""
        return 2

    class G:
        @llm_node(tools=[one, two])
        def process(self, state): ...

    def asks(name):
        return AIMessage("", tool_calls=[{"name": name, "args": {}, "id": name}])

    with scripted("openai", [asks("one"), asks("two"), "three"]):
        stream = Graph(id="g")(G)().stream(HI, stream_mode=["values", "messages-tuple"])
        parts = [part async for part in stream]
    last = [part.data for part in parts if part.event == "values"][-1]
    assert [each["content"] for each in last["messages"]] == ["hi", "", "1", "", "2", "three"]


def test_well_known_models_are_known_and_a_provider_is_made_once():
    with scripted("openai", []) as llm:
        assert resolve("o3-mini") == (llm, "o3-mini")
        assert resolve("gpt-4o")[0] is resolve("openai/gpt-4o")[0]


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "google/gemma", "elsewhere/large"])
def test_models_of_absent_providers_say_what_is_there(model):
    with pytest.raises(ModelError, match=r"installed: .*openai"):
        resolve(model)


def test_edges_of_an_undecorated_class_leak_into_no_graph():
    class Forgotten:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        a >> b

    class G:
        @node
        def only(self, state):
            return {"only": 1}

    plan = Graph(id="g")(G).plan
    assert (list(plan.nodes), plan.edges) == (["only"], ())


def test_faults_are_found_when_the_class_is_decorated():
    class G:
        @node
        def a(self, state): ...

        @node(retry=Retry(times=1))
        def unreachable(self, state): ...

        a >> a
        unreachable >> unreachable

    with pytest.raises(GraphError, match="mark it @entrypoint"):
        Graph(id="g")(G)
