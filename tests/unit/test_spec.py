import json
import operator
import textwrap
from datetime import datetime
from typing import Annotated, Literal, TypedDict

import attrs
from pydantic import BaseModel

from duragraph_worker import (
    END,
    Command,
    Graph,
    Message,
    add_messages,
    human_node,
    llm_node,
    node,
    router_node,
    tool_node,
    vector_node,
)
from duragraph_worker.authoring.draw import mermaid
from duragraph_worker.authoring.spec import to_spec
from duragraph_worker.vectors.memory import InMemory


class State(TypedDict, total=False):
    messages: Annotated[list[Message], add_messages]
    log: Annotated[list[str], operator.add]
    at: datetime
    handle: object


class In(TypedDict):
    log: list[str]


@attrs.define
class Context:
    user: str


@Graph(id="child", state=State)
class Child:
    @node
    def k(self, state): ...


@Graph(id="main", version="2", state=State, input=In, context=Context)
class Main:
    """Draws everything."""

    @node
    def a(self, state) -> Command[Literal["d"]]: ...

    @router_node
    def route(self, state): ...

    @node
    def b(self, state): ...

    @node
    def d(self, state): ...

    child = Child.as_subgraph()

    a >> route >> {"go on": b, "d": d, "stop": END}
    b >> child


def read(spec):
    return {
        field.name: json.loads(value)
        for field in attrs.fields(type(spec))
        if isinstance(value := getattr(spec, field.name), bytes)
    }


def test_the_drawing_has_nodes_edges_and_labels():
    drawing = read(to_spec(Main.plan))["drawing"]
    assert drawing["nodes"][0] == {
        "id": "__start__",
        "type": "runnable",
        "data": {"name": "__start__"},
    }
    assert [each["id"] for each in drawing["nodes"]] == [
        "__start__", "a", "route", "b", "d", "child", "__end__",
    ]  # fmt: skip
    assert drawing["nodes"][-1] == {"id": "__end__"}
    assert drawing["edges"] == [
        {"source": "__start__", "target": "a"},
        {"source": "a", "target": "d", "conditional": True},
        {"source": "a", "target": "route"},
        {"source": "b", "target": "child"},
        {"source": "route", "target": "__end__", "data": "stop", "conditional": True},
        {"source": "route", "target": "b", "data": "go on", "conditional": True},
        {"source": "route", "target": "d", "conditional": True},
        {"source": "d", "target": "__end__"},
        {"source": "child", "target": "__end__"},
    ]


def test_xray_unfolds_subgraphs():
    (drawing,) = read(to_spec(Main.plan))["drawing_xray"]
    assert "child:k" in [each["id"] for each in drawing["nodes"]]
    assert {"source": "b", "target": "child:k"} in drawing["edges"]
    assert {"source": "child:k", "target": "__end__"} in drawing["edges"]
    assert to_spec(Child.plan).drawing_xray is None


def test_schemas_of_state_input_and_context():
    spec = read(to_spec(Main.plan))
    state = spec["state_schema"]
    assert state["title"] == "main_state"
    assert state["properties"]["log"] == {
        "title": "Log",
        "type": "array",
        "items": {"type": "string"},
    }
    assert state["properties"]["at"]["type"] == "string"
    assert state["properties"]["handle"] == {"title": "Handle"}
    messages = state["properties"]["messages"]
    assert {"$ref": "#/$defs/HumanMessage"} in messages["items"]["anyOf"]
    assert state["$defs"]["HumanMessage"]["properties"]["type"]["enum"] == ["human"]
    assert list(spec["input_schema"]["properties"]) == ["log"]
    assert spec["context_schema"]["properties"] == {"user": {"type": "string"}}
    assert list(spec["subgraphs"]) == ["child"]


def test_a_plain_state_has_no_schema():
    @Graph(id="plain")
    class Plain:
        @node
        def a(self, state): ...

    spec = to_spec(Plain.plan)
    assert (spec.state_schema, spec.input_schema) == (b"null", b"null")
    assert spec.description is None


def test_a_pydantic_state_has_a_schema():
    class Model(BaseModel):
        count: int = 0
        messages: Annotated[list[Message], add_messages] = []

    @Graph(id="g", state=Model)
    class G:
        @node
        def a(self, state): ...

    properties = read(to_spec(G.plan))["state_schema"]["properties"]
    assert properties["count"]["type"] == "integer"
    assert properties["messages"]["type"] == "array"


def test_mermaid_quotes_names_and_labels():
    @Graph(id="g")
    class G:
        @router_node
        def route(self, state): ...

        @node(name='say "hi"')
        def a(self, state): ...

        route >> {"<b>": a}

    text = mermaid(G.plan)
    assert 'n2["say &quot;hi&quot;"]' in text
    assert 'n1 -.->|"&lt;b>"| n2' in text
    assert "n2 --> n3" in text


def test_mermaid_draws_every_kind_of_node_and_frames_subgraphs():
    @Graph(id="inner")
    class Inner:
        @llm_node
        def ask(self, state): ...

    @Graph(id="all")
    class All:
        @vector_node(InMemory())
        def find(self, state): ...

        @tool_node
        def use(self, state): ...

        @human_node
        def approve(self, state): ...

        @node
        def plain(self, state): ...

        inner = Inner.as_subgraph()
        find >> use >> approve >> plain >> inner

    assert mermaid(All.plan) == textwrap.dedent("""\
        graph TD
          n0([start])
          n1[\\"find"\\]
          n2[["use"]]
          n3[/"approve"/]
          n4["plain"]
          subgraph n5["inner"]
            n5_0([start])
            n5_1("ask")
            n5_2([end])
            n5_0 --> n5_1
            n5_1 --> n5_2
          end
          n6([end])
          n0 --> n1
          n3 --> n4
          n1 --> n2
          n4 --> n5
          n2 --> n3
          n5 --> n6
        """)
