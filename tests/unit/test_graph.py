import operator
import subprocess
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, TypedDict

import attrs
import pytest

from duragraph_worker import (
    END,
    App,
    Command,
    Graph,
    GraphError,
    Message,
    Retry,
    Send,
    add_messages,
    entrypoint,
    human_node,
    node,
    router_node,
    tool_node,
)

MANY = 40
"""More than a loop's own pool has threads."""


def app(cls, **options):
    return Graph(id="g", **options)(cls)()


def run(cls, input, **options):
    return app(cls, **options).run(input, raise_error=True).output


def test_the_class_says_what_the_graph_is():
    @Graph(id="mine", version="1.2.0")
    class Mine:
        """Does it."""

        @node
        def a(self, state): ...

    assert (Mine.plan.graph_id, Mine.plan.version, Mine.plan.description) == (
        "mine",
        "1.2.0",
        "Does it.",
    )
    assert Mine.__name__ == "Mine"


def test_a_graph_needs_an_id_and_a_node():
    with pytest.raises(TypeError, match="needs an id"):
        Graph(type("G", (), {}))
    with pytest.raises(GraphError, match="it has no nodes"):
        Graph(id="g")(type("G", (), {}))


def test_decorators_are_bare_or_called():
    class G:
        @entrypoint()
        @node()
        def a(self, state):
            return {"a": 1}

        @tool_node()
        def b(self, state):
            return {"b": 1}

        @router_node()
        def c(self, state):
            return "d"

        @human_node("Sure?")
        def d(self, state): ...

        a >> b >> c >> {"d": d}

    plan = app(G).plan
    assert [each.kind for each in plan.nodes.values()] == ["node", "tool", "router", "human"]
    assert plan.nodes["d"].prompt == "Sure?"


def test_nodes_stay_plain_callables():
    class G:
        @node
        def a(self, state):
            return self.b(state)

        @router_node(to=["a"])
        def b(self, state):
            return state["x"]

    assert app(G).a({"x": 1}) == 1


def test_names_are_honoured():
    class G:
        @node(name="first step")
        def a(self, state): ...

        @node("second")
        def b(self, state): ...

        @router_node(to=["second"])
        def route(self, state): ...

        a >> route

    plan = app(G).plan
    assert list(plan.nodes) == ["first step", "second", "route"]
    assert plan.nodes["route"].routes == {"second": "second"}
    assert plan.edges == (("first step", "route"),)


@pytest.mark.parametrize("name", ["__start__", "a:b", "a|b", ""])
def test_names_that_mean_something_else_are_refused(name):
    class G:
        @node(name=name)
        def a(self, state): ...

    with pytest.raises(GraphError, match="can't be a node's name"):
        app(G)


def test_two_nodes_with_one_name_and_the_names_of_the_graph_are_refused():
    class G:
        @entrypoint
        @node(name="b")
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def run(self, state): ...

        a >> b >> run

    with pytest.raises(GraphError) as caught:
        app(G)
    assert "two nodes have the name 'b'" in caught.value.problems
    assert "`run` is an attribute of every graph: rename the node" in caught.value.problems


def test_what_a_node_wants_is_known_from_its_names():
    class G:
        @node
        def a(self, state, ctx, config, *, context): ...

    assert app(G).plan.nodes["a"].wants == ("ctx", "config", "context")


@pytest.mark.parametrize("parameters", ["", "self", "self, state, *more", "self, state, x=1"])
def test_parameters_that_nothing_fills_are_refused(parameters):
    scope = {}
    exec(f"def a({parameters}): ...", scope)
    with pytest.raises(GraphError, match=r"`a` (must take|has the parameter)"):
        app(type("G", (), {"a": node(scope["a"])}))


def test_only_some_nodes_are_given_llm_and_decision():
    class G:
        @node
        def a(self, state, decision): ...

    with pytest.raises(GraphError, match="make it a @human_node"):
        app(G)


class Counted(TypedDict, total=False):
    n: int
    paid: Annotated[list[int], operator.add]


@pytest.mark.timeout(20)
def test_many_sync_bodies_may_wait_for_sync_effects_at_once():
    begun = threading.Barrier(MANY, timeout=10)

    class Fan:
        @entrypoint
        @node(goto=["pay"])
        async def fan(self, state):
            return [Send("pay", {"n": n}) for n in range(MANY)]

        @node
        def pay(self, state, ctx):
            begun.wait()
            return {"paid": [ctx.effect.sync("pay", lambda: state["n"])]}

    fanned = app(Fan, state=Counted).run({}, raise_error=True).output
    assert sorted(fanned["paid"]) == list(range(MANY))


async def test_sync_bodies_run_in_threads_with_the_context_of_the_run():
    colour = ContextVar("colour", default="none")

    class G:
        @node
        def a(self, state):
            return {"colour": colour.get(), "thread": threading.get_ident()}

    colour.set("red")
    update = await app(G).plan.nodes["a"].call({}, {})
    assert update["colour"] == "red"
    assert update["thread"] != threading.get_ident()


def test_returning_the_state_writes_only_what_changed():
    class State(TypedDict, total=False):
        log: Annotated[list[str], operator.add]
        seen: list[str]
        n: int

    class G:
        @node
        def a(self, state):
            state["n"] = 2
            state["seen"].append("a")
            return state

    given = {"log": ["x"], "seen": [], "n": 1}
    assert run(G, given, state=State) == {"log": ["x"], "seen": ["a"], "n": 2}


@pytest.mark.parametrize("make", [attrs.define, dataclass])
def test_nodes_see_objects_of_the_declared_class(make):
    @make
    class State:
        query: str
        answer: str | None = None

    class G:
        @node
        def a(self, state):
            state.answer = state.query.upper()
            return state

        @node
        def b(self, state):
            return {"query": f"was {type(state).__name__}"}

        a >> b

    assert run(G, {"query": "q"}, state=State) == {"query": "was State", "answer": "Q"}


def test_messages_returned_again_change_nothing():
    class State(TypedDict):
        messages: Annotated[list[Message], add_messages]

    class G:
        @node
        def a(self, state):
            return {"messages": state["messages"]}

    assert len(run(G, {"messages": ["hi", ("ai", "ho")]}, state=State)["messages"]) == 2


@pytest.mark.parametrize("returned", ["text", "", 5, [1], object()])
def test_a_result_that_is_no_update_names_node_and_value(returned):
    class G:
        @node
        def a(self, state):
            return returned

    result = app(G).run({"x": 1})
    assert result.status == "error"
    assert "node a returned" in str(result.error)


def test_input_and_output_are_keys_of_the_state():
    class In(TypedDict):
        a: int

    class Out(TypedDict):
        b: int

    class State(TypedDict):
        a: int
        b: int

    class G:
        @node
        def add(self, state):
            return {"b": state["a"] + 1}

    graph = app(G, state=State, input=In, output=Out)
    assert graph.run({"a": 1}, raise_error=True).output == {"b": 2}
    with pytest.raises(GraphError, match="need a declared `state`"):
        app(G, input=In)


def test_a_human_node_stops_before_its_body_and_runs_with_the_decision():
    class G:
        @human_node(prompt=lambda state: f"Refund {state['order']}?")
        def refund(self, state, decision):
            return {"approved": decision["approve"]}

    graph = app(G)
    stopped = graph.run({"order": 7}, thread_id="t")
    (asked,) = stopped.interrupts
    assert asked.value == {"node": "refund", "prompt": "Refund 7?"}
    assert graph.resume("t", {"approve": True}).output == {"order": 7, "approved": True}


def test_an_answer_that_is_a_mapping_is_the_update_of_a_body_without_decision():
    class G:
        @human_node
        def ask(self, state):
            return state

    graph = app(G)
    graph.run({"a": 1}, thread_id="t")
    assert graph.resume("t", {"b": 2}).output == {"a": 1, "b": 2}


def test_sends_fan_out_over_data_and_commands_jump():
    class State(TypedDict, total=False):
        done: Annotated[list[int], operator.add]

    class G:
        @node(goto=["work"])
        def split(self, state):
            return [Send("work", {"n": n}) for n in range(3)]

        @node(goto=["last"])
        def work(self, state):
            return Command(goto="last", update={"done": [state["n"]]})

        @node
        def last(self, state):
            return {"done": [len(state["done"])]}

    assert sorted(run(G, {"done": []}, state=State)["done"]) == [0, 1, 2, 3]


def test_a_command_may_always_end():
    class G:
        @node
        def a(self, state):
            return Command(goto=END, update={"a": 1})

    assert run(G, {"x": 1}) == {"x": 1, "a": 1}


def test_a_graph_may_be_a_frozen_class():
    @attrs.frozen
    class G:
        factor: int

        @node
        def a(self, state):
            return {"n": state["n"] * self.factor}

    assert Graph(id="g")(G)(3).run({"n": 2}).output == {"n": 6}


def test_a_router_may_send():
    class G:
        @router_node(to=["work"])
        def split(self, state):
            return [Send("work", {"n": 7})]

        @node
        def work(self, state):
            return {"n": state["n"]}

    assert run(G, {"x": 1}) == {"x": 1, "n": 7}


def test_a_short_form_of_retry():
    class G:
        @node(retry_on=ValueError, max_retries=2, retry_delay=0.5)
        def a(self, state): ...

    retry = app(G).plan.nodes["a"].retry
    assert retry == Retry(times=2, on=ValueError, first=0.5)
    with pytest.raises(TypeError, match="either"):
        node(retry=retry, retry_on=ValueError)


def test_subgraphs_map_keys_and_every_use_is_a_fresh_node():
    @Graph(id="research")
    class Research:
        @node
        def look(self, state):
            return {"notes": f"about {state['query']}"}

    class G:
        one = Research.as_subgraph(input={"query": "topic"}, output={"notes": "findings"})
        two = Research.as_subgraph(name="again")

        @node
        def between(self, state):
            return {"query": "more"}

        one >> between >> two

    graph = app(G)
    assert list(graph.plan.nodes) == ["one", "again", "between"]
    output = graph.run({"topic": "cats"}, raise_error=True).output
    assert output["findings"] == "about cats"
    assert output["notes"] == "about more"


def test_a_subgraph_needs_a_name_and_keys_that_exist():
    class State(TypedDict):
        query: str

    @Graph(id="child", state=State)
    class Child:
        @node
        def a(self, state): ...

    class Nameless:
        @node
        def a(self, state): ...

        a >> Child.as_subgraph()

    class Wrong:
        child = Child.as_subgraph(input={"question": "topic"})

    with pytest.raises(GraphError, match="assign it in the class body"):
        app(Nameless)
    with pytest.raises(GraphError, match="subgraph `child` has no key 'question'"):
        app(Wrong)


def test_instances_carry_what_bodies_need():
    class G:
        def __init__(self, factor):
            self.factor = factor

        @node
        def a(self, state):
            return {"n": state["n"] * self.factor}

    graph = Graph(id="g")(G)
    assert graph(3).run({"n": 2}).output == {"n": 6}
    assert graph(factor=4).run({"n": 2}).output == {"n": 8}


def test_a_graph_class_can_be_extended():
    @Graph(id="base")
    class Base:
        @node
        def a(self, state):
            return {"by": self.who()}

        def who(self):
            return "base"

    @Graph(id="child")
    class Child(Base):
        @node
        def b(self, state):
            return {"last": "b"}

        def who(self):
            return "child"

        Base.a >> b

    assert Child().run({"x": 1}).output == {"x": 1, "by": "child", "last": "b"}
    assert Base().run({"x": 1}).output == {"x": 1, "by": "base"}


def test_a_class_may_inherit_what_the_decorator_adds():
    @Graph(id="g")
    class G(App):
        @node
        def a(self, state):
            return {"a": 1}

    assert G().run({"x": 1}).output == {"x": 1, "a": 1}


def test_threads_belong_to_the_instance_or_to_a_directory(tmp_path):
    @Graph(id="g")
    class G:
        ask = human_node(prompt="Who?")

    kept = G(threads=tmp_path)
    kept.run({"x": 1}, thread_id="t")
    assert G(threads=tmp_path).get_state("t").next == ("ask",)
    assert G().get_state("t").next == ()
    assert G(threads=tmp_path).resume("t", {"name": "Ada"}).output == {"x": 1, "name": "Ada"}


async def test_a_thread_can_be_written_to_and_read_back():
    @Graph(id="g")
    class G:
        ask = human_node(prompt="Who?")

    app = G()
    await app.arun({"x": 1}, thread_id="t")
    await app.aupdate_state("t", {"x": 2}, as_node="ask")
    assert (await app.aget_state("t")).values == {"x": 2}
    assert [state.values for state in await app.aget_history("t")] == [{"x": 2}, {"x": 1}, {}]


IMPORTS = """
import sys, time
began = time.process_time()
import duragraph_worker
took = time.process_time() - began
heavy = {"aiohttp", "asyncpg", "nats", "openai", "pydantic", "structlog"} & sys.modules.keys()
print(took, ",".join(sorted(heavy)))
"""


def test_the_import_is_light():
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    took, _, heavy = ran.stdout.strip("\n").partition(" ")
    assert heavy == ""
    # Of the processor's seconds, and twice what is promised: test machines are busy.
    assert float(took) < 0.4


def test_nodes_that_need_no_body_may_do_without():
    class G:
        ask = human_node(prompt="Who?")

        @node
        def greet(self, state):
            return {"text": f"Hello {state['name']}"}

        ask >> greet

    graph = app(G)
    graph.run({"x": 1}, thread_id="t")
    assert graph.resume("t", {"name": "Ada"}).output["text"] == "Hello Ada"


def test_nodes_that_need_a_body_say_so():
    class G:
        a = node(timeout=3)
        route = router_node(to=["a"])
        route >> a

    with pytest.raises(GraphError) as caught:
        app(G)
    assert caught.value.problems == (
        "`a` has no body: decorate a method",
        "`route` has no body: decorate a method",
    )
