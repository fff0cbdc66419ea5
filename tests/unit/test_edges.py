from typing import Literal

import pytest

from duragraph_worker import (
    END,
    START,
    Command,
    Graph,
    GraphError,
    Send,
    entrypoint,
    node,
    router_node,
)
from duragraph_worker.plan import Join


def problems(cls: type) -> str:
    with pytest.raises(GraphError) as caught:
        Graph(id="g")(cls)
    return "\n".join(caught.value.problems)


def plan(cls: type):
    return Graph(id="g")(cls).plan


def test_chain_makes_edges_and_the_node_without_a_predecessor_is_the_entry():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def c(self, state): ...

        a >> b >> c >> END

    assert plan(G).edges == (("a", "b"), ("b", "c"), ("c", END))
    assert plan(G).entry == ("a",)


def test_list_fans_out_and_what_follows_waits_for_all():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def c(self, state): ...

        @node
        def d(self, state): ...

        a >> [b, c] >> d

    assert set(plan(G).edges) == {("a", "b"), ("a", "c")}
    assert plan(G).joins == (Join(("b", "c"), "d"),)


def test_list_at_the_left_joins_by_reflection():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def c(self, state): ...

        a >> b
        a >> c
        [a, b] >> c

    assert plan(G).joins == (Join(("a", "b"), "c"),)


def test_a_chain_in_a_list_is_a_branch():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def c(self, state): ...

        @node
        def d(self, state): ...

        @node
        def e(self, state): ...

        a >> [b >> c, d] >> e

    assert set(plan(G).edges) == {("a", "b"), ("b", "c"), ("a", "d")}
    assert plan(G).joins == (Join(("c", "d"), "e"),)


def test_two_lists_are_no_python():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        with pytest.raises(TypeError):
            _ = [a] >> [b]


def test_mapping_labels_targets_and_what_follows_runs_after_whichever_was_chosen():
    class G:
        @router_node
        def route(self, state): ...

        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def d(self, state): ...

        route >> {"yes": a, "no": b, "stop": END} >> d

    assert plan(G).nodes["route"].routes == {"yes": "a", "no": "b", "stop": END}
    assert set(plan(G).edges) == {("a", "d"), ("b", "d")}
    assert plan(G).joins == ()


def test_router_targets_come_from_its_literal():
    class G:
        @router_node
        def route(self, state) -> Literal["a", "__end__"]: ...

        @node
        def a(self, state): ...

    assert plan(G).nodes["route"].routes == {"a": "a", END: END}


def test_router_targets_come_from_to_and_from_plain_edges():
    class G:
        @router_node(to=["a"])
        def one(self, state): ...

        @router_node
        def two(self, state): ...

        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        @node
        def d(self, state): ...

        one >> two >> [a, b] >> d

    built = plan(G)
    assert built.nodes["one"].routes == {"two": "two", "a": "a"}
    assert built.nodes["two"].routes == {"a": "a", "b": "b"}
    assert set(built.edges) == {("a", "d"), ("b", "d")}


def test_mapping_must_have_the_labels_of_the_literal():
    class G:
        @router_node
        def route(self, state) -> Literal["yes", "no"]: ...

        @node
        def a(self, state): ...

        route >> {"yes": a}

    assert "annotated to return 'yes', 'no' but its mapping has 'yes'" in problems(G)


def test_labels_may_be_other_values_than_strings():
    class G:
        @router_node
        def route(self, state) -> Literal[True, False]: ...

        @node
        def a(self, state): ...

        route >> {True: a, False: END}

    assert plan(G).nodes["route"].routes == {"True": "a", "False": END}


async def test_an_unknown_label_names_router_and_value():
    class G:
        @router_node(to=["a"])
        def route(self, state):
            return "b"

        @node
        def a(self, state): ...

    with pytest.raises(ValueError, match="router route returned 'b'; its labels are 'a'"):
        await plan(G).nodes["route"].call({}, {})


def test_an_annotation_that_cannot_be_evaluated_asks_for_to():
    class G:
        @router_node
        def route(self, state) -> "Local": ...  # noqa: F821

        @node
        def a(self, state): ...

    told = problems(G)
    assert "router `route` has no targets" in told
    assert "can't be evaluated here" in told
    assert "to=" in told


def test_a_postponed_annotation_of_the_module_is_evaluated():
    class G:
        @router_node
        def route(self, state) -> "Literal['a']": ...

        @node
        def a(self, state): ...

    assert plan(G).nodes["route"].routes == {"a": "a"}


def test_only_the_return_annotation_is_evaluated():
    class G:
        @router_node
        def route(self, state: "Nowhere") -> Literal["a"]: ...  # noqa: F821

        @node
        def a(self, state): ...

    assert plan(G).nodes["route"].routes == {"a": "a"}


def test_dynamic_targets_are_declared_by_annotation_or_goto():
    class G:
        @entrypoint
        @node
        def a(self, state) -> Command[Literal["b"]]: ...

        @node
        def b(self, state) -> list[Send[Literal["c"]]]: ...

        @node(goto=["a"])
        def c(self, state): ...

    built = plan(G)
    assert [built.nodes[name].goto for name in "abc"] == [("b",), ("c",), ("a",)]


async def test_an_undeclared_jump_says_how_to_declare_it():
    class G:
        @node
        def a(self, state):
            return Command(goto="b")

        @node
        def b(self, state): ...

        a >> b

    call = plan(G).nodes["a"].call
    with pytest.raises(Exception, match=r'node a jumps to \'b\'.*`goto=\["b"\]`'):
        await call({}, {})


async def test_sends_become_one_command():
    class G:
        @node(goto=["b"])
        def a(self, state):
            return [Send("b", 1), Send("b", 2), {"x": 1}]

        @node
        def b(self, state): ...

    update, command = await plan(G).nodes["a"].call({}, {})
    assert update == {"x": 1}
    assert command.targets == (Send("b", 1), Send("b", 2))


@pytest.mark.parametrize("above", [True, False])
def test_entrypoint_in_either_order(above):
    class G:
        if above:

            @entrypoint
            @node
            def a(self, state): ...

        else:

            @node
            @entrypoint
            def a(self, state): ...

        @node
        def b(self, state): ...

        a >> b >> a

    assert plan(G).entry == ("a",)


def test_start_marks_the_entry():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        START >> a >> b >> a

    assert plan(G).entry == ("a",)


def test_an_unclear_entry_names_the_candidates():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

    assert "it may be 'a', 'b': mark it @entrypoint" in problems(G)


def test_every_fault_is_told_at_once():
    class G:
        @entrypoint
        @node
        def a(self, state, nonsense): ...

        @entrypoint
        @router_node
        def b(self, state): ...

        @node
        def c(self, state, llm): ...

        a >> b

    told = problems(G)
    for fault in (
        "two entries or more: 'a', 'b'",
        "`a` has the parameter 'nonsense'",
        "router `b` has no targets",
        "`c` can't be reached from the entry `a`",
        "`c` takes `llm` but names no model",
    ):
        assert fault in told


def test_a_redefined_node_orphans_its_edges():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        a >> b

        @node
        def b(self, state): ...

    assert "`a >> b` leads to nothing: `b` was redefined" in problems(G)


def test_a_redefined_source_orphans_its_edges():
    class G:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        a >> b

        @node
        def a(self, state): ...

    assert "an edge into `b` comes from nothing: `a` was redefined" in problems(G)


def test_a_node_belongs_to_one_graph():
    class First:
        @node
        def a(self, state): ...

    class Second:
        b = First.a

    assert "one node object is First.a and Second.b" in problems(Second)


def test_a_target_that_is_no_node_is_told_with_those_that_are():
    class G:
        @router_node
        def route(self, state) -> Literal["a", "missing"]: ...

        @node(goto=["gone"])
        def a(self, state): ...

    told = problems(G)
    assert "router `route` may return 'missing', which is no node; the nodes are: a, route" in told
    assert "`a` declares a jump to 'gone'" in told


def test_nothing_can_wait_for_a_router():
    class G:
        @node
        def a(self, state): ...

        @router_node(to=["c"])
        def b(self, state): ...

        @node
        def c(self, state): ...

        a >> b
        [a, b] >> c

    assert "waits for a router" in problems(G)


def test_edges_are_of_their_nodes_and_leak_into_no_other_graph():
    class Undecorated:
        @node
        def x(self, state): ...

        @node
        def y(self, state): ...

        x >> y

    class G:
        @node
        def a(self, state): ...

    assert plan(G).edges == ()


def test_a_subclass_inherits_nodes_and_edges_and_adds_its_own():
    class Base:
        @node
        def a(self, state): ...

        @node
        def b(self, state): ...

        a >> b

    class Child(Base):
        @node
        def b(self, state):
            return {"by": "child"}

        @node
        def c(self, state): ...

        Base.b >> c

    class Other(Base):
        pass

    Graph(id="base")(Base)
    assert plan(Child).edges == (("a", "b"), ("b", "c"))
    assert plan(Other).edges == (("a", "b"),)
    assert plan(Base).edges == (("a", "b"),)
