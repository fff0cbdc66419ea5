"""What is written to a knowledge graph, and how Apache AGE's texts are read."""

from decimal import Decimal

import pytest

from duragraph_worker import Graph, knowledge_node
from duragraph_worker.integrations.age import ApacheAGE
from duragraph_worker.integrations.agtype import columns, parse
from duragraph_worker.knowledge.graph import (
    Edge,
    Entity,
    KnowledgeError,
    Neighbours,
    Node,
    Path,
    Relation,
)

ADA, PARIS = Entity("Person", {"name": "Ada"}), Entity("City", {"name": "Paris"})


@pytest.mark.parametrize(
    "name", ["", "a b", "a`b", "a-b", "1a", "_a", "é", "a" * 64, "a) DETACH DELETE n //", "a\n"]
)
def test_names_that_no_statement_should_hold(name):
    for make in (
        lambda: Entity(name, {"name": "Ada"}),
        lambda: Entity("Person", {name: "Ada"}),
        lambda: Entity("Person", {"name": "Ada"}, {name: 1}),
        lambda: Relation(ADA, name, PARIS),
        lambda: Relation(ADA, "LIVES_IN", PARIS, {name: 1}),
        lambda: ApacheAGE(name, url="postgresql://"),
    ):
        with pytest.raises(KnowledgeError, match="begin with a letter"):
            make()


@pytest.mark.parametrize(
    "value", [2**63, float("nan"), float("inf"), {"a": 1}, [1, "a"], [[1]], [None], "\0", object()]
)
def test_values_that_not_every_store_holds(value):
    with pytest.raises(KnowledgeError, match="'it' of a Person"):
        Entity("Person", {"name": "Ada"}, {"it": value})


@pytest.mark.parametrize(
    ("key", "known", "told"),
    [({}, {}, "is empty"), ({"n": None}, {}, "can't be"), ({"n": 1}, {"n": 2}, "in its key")],
)
def test_keys_that_tell_nothing(key, known, told):
    with pytest.raises(KnowledgeError, match=told):
        Entity("Person", key, known)


@pytest.mark.parametrize(
    ("cypher", "names"),
    [
        ("CREATE (:A)", []),
        ("MATCH (n) RETURN n", ["n"]),
        ("match (n) return distinct n.name as name, count(*)", ["name", "count(*)"]),
        ("MATCH (n) RETURN n AS `the node`, [1, 2] AS list;", ["the node", "list"]),
        ("MATCH (n) RETURN n.a , {b: 1, c: [2]} ORDER BY n.a LIMIT 2", ["n.a", "{b: 1, c: [2]}"]),
        ("RETURN 'RETURN x, y' AS a, \"it's\" /* , b */ AS b // , c", ["a", "b"]),
        ("RETURN 1 AS n UNION RETURN 2 AS n", ["n"]),
        ("MATCH (n:Return {return: 1}) WHERE n.return = $return RETURN n.limit", ["n.limit"]),
        ("MATCH (`RETURN a, b`) RETURN `RETURN a, b`", ["`RETURN a, b`"]),
        ("RETURN CASE WHEN true THEN 1 ELSE 2 END AS n, 'a\\', b'", ["n", "'a\\', b'"]),
    ],
)  # fmt: skip
def test_columns_of_a_statement(cypher, names):
    assert columns(cypher) == names


def test_columns_that_nobody_named():
    with pytest.raises(KnowledgeError, match="name it"):
        columns("MATCH (n) RETURN *")


VERTEX = '{"id": 1, "label": "Person", "properties": {"name": "}::vertex"}}::vertex'
EDGE = '{"id": 3, "label": "KNOWS", "end_id": 2, "start_id": 1, "properties": {}}::edge'
OTHER = '{"id": 2, "label": "", "properties": {"id": 1, "label": "x"}}::vertex'
ONE = Node("1", ("Person",), {"name": "}::vertex"})
TWO = Node("2", (), {"id": 1, "label": "x"})
KNOWS = Edge("3", "KNOWS", "1", "2", {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (VERTEX, ONE),
        (OTHER, TWO),
        (EDGE, KNOWS),
        (f"[{VERTEX}, {EDGE}, {OTHER}]::path", Path((ONE, TWO), (KNOWS,))),
        (f"[{VERTEX}, {EDGE}, {OTHER}]", [ONE, KNOWS, TWO]),
        (f'{{"a": [[{VERTEX}]::path]}}', {"a": [Path((ONE,), ())]}),
        ('{"id": 1, "label": "x", "properties": {}}', {"id": 1, "label": "x", "properties": {}}),
        ("[9223372036854775807, -1.5e-7, true, null]", [2**63 - 1, -1.5e-7, True, None]),
        ("[-1.50::numeric, Infinity]", [Decimal("-1.50"), float("inf")]),
        ('"a \\" b::numeric \\\\ \\u00e9 1::numeric"', 'a " b::numeric \\ é 1::numeric'),
    ],
)
def test_values_of_age(text, value):
    assert parse(text) == value


class Around:
    """Knows what is around Ada."""

    async def query(self, cypher, parameters=None):
        return [{"cypher": cypher, "parameters": parameters, "n": ONE}]

    async def neighbours(self, of, **options):
        return Neighbours([TWO], [KNOWS])


@pytest.mark.parametrize(
    ("options", "returned", "found"),
    [
        ({}, "RETURN 1", ("RETURN 1", None)),
        ({}, ("RETURN $a", {"a": 1}), ("RETURN $a", {"a": 1})),
        ({"cypher": "RETURN $a"}, {"a": 1}, ("RETURN $a", {"a": 1})),
        ({"cypher": "RETURN 1"}, None, ("RETURN 1", {})),
    ],
)
def test_nodes_that_ask(options, returned, found):
    @Graph(id="ask")
    class Ask:
        @knowledge_node(Around(), **options)
        def ask(self, state):
            return returned

    (row,) = Ask().run({}, raise_error=True).output["knowledge"]
    assert (row["cypher"], row["parameters"]) == found
    assert row["n"] == {"id": "1", "labels": ["Person"], "properties": {"name": "}::vertex"}}


def test_nodes_that_look_around():
    @Graph(id="ask")
    class Ask:
        @knowledge_node(Around(), into="around")
        def ask(self, state):
            return [Entity("Person", {"name": state["who"]})]

    around = Ask().run({"who": "Ada"}, raise_error=True).output["around"]
    assert (around["nodes"][0]["id"], around["edges"][0]["type"]) == ("2", "KNOWS")


@pytest.mark.parametrize("returned", [None, 5, {"a": 1}, ("RETURN 1",), [1]])
def test_nodes_that_ask_nothing(returned):
    @Graph(id="ask")
    class Ask:
        @knowledge_node(Around())
        def ask(self, state):
            return returned

    result = Ask().run({})
    assert result.status == "error"
    assert "knowledge node ask returned" in str(result.error)
