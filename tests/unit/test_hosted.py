"""LangGraph graphs as a worker takes them: in which forms, under which names, and what is told."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[langgraph]'")

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict

from duragraph.errors import Invalid
from duragraph_worker import Graph, Worker, entrypoint, node
from duragraph_worker.langgraph import factories
from duragraph_worker.langgraph.hosted import hosted
from duragraph_worker.process.loading import EXTRA, load, served

if TYPE_CHECKING:
    from decimal import Decimal


class State(TypedDict):
    text: str


def same(state: State) -> State:
    return state


BUILDER = StateGraph(State).add_node(same).add_edge(START, "same")
COMPILED = BUILDER.compile()
NAMED = BUILDER.compile(name="named")


@Graph(id="ours")
class Ours:
    @entrypoint
    @node
    def only(self, state): ...


def test_a_worker_takes_both_kinds_of_graphs():
    assert served(Ours).graph_id == "ours"
    assert served(NAMED).graph_id == "named"
    Worker(graphs=[Ours, NAMED])
    worker = Worker(graphs={"mine": Ours, "builder": BUILDER, "made": lambda: COMPILED})
    assert sorted(graph.graph_id for graph in worker._graphs.values()) == [
        "builder",
        "made",
        "mine",
    ]


def test_a_command_line_names_them_by_what_they_are_called_there():
    assert load(f"{__name__}:COMPILED").graph_id == "COMPILED"
    assert load(f"{__name__}:NAMED").graph_id == "NAMED"
    assert load(f"{__name__}:Ours").graph_id == "ours"


@pytest.mark.parametrize("graph", [COMPILED, BUILDER])
def test_a_graph_without_a_name_is_refused_with_a_hint(graph):
    with pytest.raises(Invalid, match="has no name") as raised:
        Worker(graphs=[graph])
    assert "compile(name=" in raised.value.hint


def test_two_of_one_name_are_refused():
    with pytest.raises(Invalid, match="one id and version"):
        Worker(graphs=[NAMED, NAMED])


# The command line takes Pydantic where it is.
@pytest.mark.parametrize("missing", sorted(EXTRA - {"pydantic"}))
def test_without_the_extra_the_pip_line_is_told(tmp_path, missing):
    (tmp_path / "langgraph.json").write_text('{"graphs": {"agent": "./agent.py:graph"}}')
    program = (
        f"import sys; sys.modules['{missing}'] = None; sys.argv = ['duragraph-worker', 'validate'];"
        "from duragraph_worker.__main__ import main; main()"
    )
    (tmp_path / "agent.py").write_text("def graph(): ...")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "pip install 'duragraph[langgraph]'" in done.stderr


async def test_its_own_checkpointer_and_store_give_way():
    graph = BUILDER.compile(checkpointer=InMemorySaver(), store=InMemoryStore(), name="g")
    async with hosted(graph).opened({}) as opened:
        assert (opened.checkpointer, opened.store) == (None, None)
    assert graph.checkpointer is not None


def with_nothing() -> Any:
    return COMPILED


def with_config(config: RunnableConfig) -> Any:
    assert get_config() is config
    return BUILDER if config["configurable"]["builder"] else COMPILED


def with_anything(whatever):
    assert whatever["configurable"]
    return COMPILED


def with_runtime(runtime: ServerRuntime[Any]) -> Any:
    assert runtime.execution_runtime.context == {"a": 1}
    return COMPILED


def with_both(runtime: "Annotated[ServerRuntime, 'so']", config: "RunnableConfig") -> Any:
    assert runtime.access_context == "threads.create_run"
    assert config["configurable"]
    return COMPILED


def with_an_absent_name(config: RunnableConfig, runtime: ServerRuntime) -> "Decimal":
    assert runtime.access_context
    return COMPILED


async def awaited(config):
    return COMPILED


CLOSED = []


@contextmanager
def entered(config) -> Iterator[Any]:
    yield COMPILED
    CLOSED.append("entered")


def generated() -> Iterator[Any]:
    yield COMPILED
    CLOSED.append("generated")


@pytest.mark.parametrize(
    "factory",
    [
        with_nothing,
        with_config,
        with_anything,
        with_runtime,
        with_both,
        with_an_absent_name,
        awaited,
        entered,
        generated,
    ],
)
async def test_factories_are_called_with_what_they_take(factory):
    made = hosted(factory, graph_id="made")
    async with made.opened({"configurable": {"builder": True}}, context={"a": 1}) as graph:
        assert graph.name == "made"
        assert await graph.ainvoke({"text": "hi"}) == {"text": "hi"}
        with pytest.raises(RuntimeError, match="outside of a runnable context"):
            get_config()


async def test_what_a_factory_opens_is_closed_with_the_run():
    for factory in (entered, generated):
        CLOSED.clear()
        async with hosted(factory, graph_id="made").opened({}):
            assert CLOSED == []
        assert [factory.__name__] == CLOSED


async def test_a_failing_run_closes_it_too():
    async def closing():
        try:
            yield COMPILED
        finally:
            CLOSED.append("closing")

    CLOSED.clear()
    with pytest.raises(ZeroDivisionError):
        async with hosted(closing, graph_id="made").opened({}):
            1 / 0  # noqa: B018
    assert CLOSED == ["closing"]


@pytest.mark.parametrize("factory", [lambda a, b: None, lambda a, b, c: None, lambda *a, b: None])
def test_a_factory_that_wants_more_is_refused(factory):
    with pytest.raises(Invalid, match="can't be called for a graph"):
        factories.check(factory)


async def test_a_factory_that_makes_no_graph_is_told_by_its_id():
    with pytest.raises(Invalid, match="the factory of 'made' made 5"):
        async with hosted(lambda: 5, graph_id="made").opened({}):
            pass


async def test_a_factory_that_needs_a_run_is_registered_without_schemas():
    spec = await hosted(lambda config: config["configurable"]["user"], graph_id="made").spec()
    assert (spec.graph_id, spec.input_schema, spec.subgraphs) == ("made", b"null", b"{}")


async def test_a_factory_is_asked_for_its_schemas_with_its_projects_config():
    made = hosted(with_config, graph_id="made", config={"configurable": {"builder": True}})
    assert msgspec.json.decode((await made.spec()).state_schema)["title"] == "made_state"


async def test_a_type_without_a_schema_is_any_and_a_state_without_one_is_null():
    @dataclass
    class Odd:
        fine: int = 1
        odd: type(lambda: None) = print

    graph = StateGraph(Odd).add_node("n", lambda state: state).add_edge(START, "n").compile()
    spec = await hosted(graph, graph_id="odd").spec()
    assert spec.input_schema == b"null"
    properties = msgspec.json.decode(spec.state_schema)["properties"]
    assert properties == {
        "fine": {"default": None, "title": "Fine", "type": "integer"},
        "odd": {"default": None, "title": "Odd"},
    }


async def test_drawings_unfold_level_by_level():
    middle = StateGraph(State).add_node("inner", COMPILED).add_edge(START, "inner").compile()
    outer = StateGraph(State).add_node("middle", middle).add_edge(START, "middle")
    spec = await hosted(outer, graph_id="outer").spec()
    levels = msgspec.json.decode(spec.drawing_xray)
    nodes = [[node["id"] for node in level["nodes"]] for level in levels]
    assert [set(each) - {"__start__", "__end__"} for each in nodes] == [
        {"middle:inner"},
        {"middle:inner:same"},
    ]
    assert msgspec.json.decode(spec.subgraphs).keys() == {"middle", "middle|inner"}
    assert (await hosted(NAMED).spec()).drawing_xray == b"null"


async def test_a_factory_that_hangs_is_registered_without_schemas(monkeypatch):
    async def hanging():
        await asyncio.Event().wait()

    monkeypatch.setattr("duragraph_worker.langgraph.hosted.SPEC_SECONDS", 0.01)
    assert (await hosted(hanging, graph_id="made").spec()).input_schema == b"null"
