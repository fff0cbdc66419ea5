"""What every knowledge graph does.

A test's docstring is its row in the table of docs/knowledge.md.
"""

import asyncio

import pytest

from duragraph_worker import Graph
from duragraph_worker.authoring.store_nodes import knowledge_node
from duragraph_worker.knowledge.graph import (
    Edge,
    Entity,
    MissingNodeError,
    Node,
    Path,
    Relation,
)

pytestmark = [pytest.mark.stores, pytest.mark.timeout(900)]


def person(name, **known):
    return Entity("Person", {"name": name}, known)


def names(found):
    return sorted(node.properties["name"] for node in found.nodes)


async def test_nodes(graph):
    """Nodes are written once for a label and key; what is written later is added, None removed"""
    ada = await graph.upsert_node("Person", {"name": "Ada"}, {"born": 1815, "famous": True})
    again = await graph.upsert_node("Person", {"name": "Ada"}, {"born": None, "height": 1.65})
    assert (again.id, again.labels) == (ada.id, ("Person",))
    assert ada.properties == {"name": "Ada", "born": 1815, "famous": True}
    assert again.properties == {"name": "Ada", "famous": True, "height": 1.65}
    assert await graph.query("MATCH (n) RETURN count(n) AS n") == [{"n": 1}]


async def test_keys(graph):
    """Keys of several properties; numbers, texts and booleans are told apart"""
    keys = [{"n": 1}, {"n": "1"}, {"n": True}, {"n": 1, "of": "a"}, {"n": 1, "of": "b"}]
    for key in keys * 2:
        await graph.upsert_node("Part" if "of" in key else "Thing", key)
    written = [row["p"] for row in await everything(graph)]
    assert sorted(str(sorted(each.items())) for each in written) == sorted(
        str(sorted(each.items())) for each in keys
    )


async def everything(graph):
    return [{"p": row["n"].properties} for row in await graph.query("MATCH (n) RETURN n")]


async def test_edges(graph):
    """There is one edge of a type from one node to another; its ends are written with it"""
    one = await graph.upsert_edge(person("Ada"), "KNOWS", person("Charles", born=1791))
    two = await graph.upsert_edge(person("Ada"), "KNOWS", person("Charles"), {"since": 1833})
    other = await graph.upsert_edge(person("Charles"), "KNOWS", person("Ada"))
    assert (one.id, one.type, one.properties) == (two.id, "KNOWS", {})
    assert two.properties == {"since": 1833}
    assert (other.start, other.end) == (one.end, one.start)
    assert await graph.query("MATCH ()-[e]->() RETURN count(e) AS n") == [{"n": 2}]


async def test_edges_between_nodes(graph):
    """Edges between nodes that were found; an end that is gone is an error"""
    ada = await graph.upsert_node("Person", {"name": "Ada"})
    paris = await graph.upsert_node("City", {"name": "Paris"})
    edge = await graph.upsert_edge(ada, "LIVES_IN", paris, {"since": 1840})
    assert edge == Edge(edge.id, "LIVES_IN", ada.id, paris.id, {"since": 1840})
    await graph.delete(paris)
    with pytest.raises(MissingNodeError, match="LIVES_IN"):
        await graph.upsert_edge(ada, "LIVES_IN", paris)


async def test_many(graph):
    """Many at once, also more than a server is sent at once; what is said twice is one"""
    facts = [
        Relation(person(f"p{i}", n=i), "FOLLOWS", person(f"p{(i + 1) % 600}")) for i in range(600)
    ]
    await graph.upsert([*facts, *facts[:10], person("p0", born=1)])
    (counted,) = await graph.query("MATCH (a)-[e]->(b) RETURN count(e) AS e")
    assert counted == {"e": 600}
    (first,) = await graph.query("MATCH (n:Person {name: 'p0'}) RETURN n")
    assert first["n"].properties == {"name": "p0", "n": 0, "born": 1}
    assert await graph.query("MATCH (n) RETURN count(n) AS n") == [{"n": 600}]


async def test_rows(graph):
    """Rows of nodes, edges, paths, lists and maps, by the names they are returned under"""
    edge = await graph.upsert_edge(person("Ada"), "KNOWS", person("Charles"), {"since": 1833})
    (row,) = await graph.query(
        "MATCH p = (a:Person {name: $name})-[e:KNOWS]->(b)\n"
        "RETURN a, e, p, a.name AS `the name`, [1, 2.5, 'x', null] AS list, {b: b} AS map"
        " // all of it",
        {"name": "Ada"},
    )
    ada = Node(edge.start, ("Person",), {"name": "Ada"})
    charles = Node(edge.end, ("Person",), {"name": "Charles"})
    assert row == {
        "a": ada,
        "e": edge,
        "p": Path((ada, charles), (edge,)),
        "the name": "Ada",
        "list": [1, 2.5, "x", None],
        "map": {"b": charles},
    }
    assert await graph.query("CREATE (:City {name: 'Paris'})") == []


async def test_parameters(graph):
    """Parameters are values, whatever is in them"""
    nasty = [
        "'",
        '"',
        "\\",
        "$$",
        "$cypher0$",
        "`",
        "}) DETACH DELETE n //",
        "\n\t",
        "é 雪 🦉",
        "::vertex",
    ]
    for text in nasty:
        await graph.upsert_node("Text", {"text": text}, {"also": text})
        (row,) = await graph.query(
            "MATCH (n:Text {text: $text}) RETURN n, $text AS text", {"text": text}
        )
        assert (row["n"].properties, row["text"]) == ({"text": text, "also": text}, text)
    assert await graph.query("RETURN $x AS x", {"x": {"a": [1, {"b": None}]}}) == [
        {"x": {"a": [1, {"b": None}]}}
    ]


async def test_names_that_are_words(graph, vendor):
    """Labels, types and properties that are words of the language"""
    if vendor == "age-postgresql":
        pytest.xfail("Apache AGE 1.5 takes no such properties")
    ends = (Entity("Match", {"return": 1}, {"order": 2}), Entity("Set", {"where": 1}))
    edge = await graph.upsert_edge(ends[0], "MERGE", ends[1], {"limit": 3})
    found = await graph.neighbours(ends[0], types="MERGE")
    assert (found.edges, found.nodes[0].labels) == ([edge], ("Set",))


async def test_numbers(graph):
    """Numbers of 64 bits and floats come back as they were"""
    known = {"big": 2**63 - 1, "small": -(2**63), "float": 0.1, "whole": 1.0, "tiny": 5e-324}
    node = await graph.upsert_node("Number", {"n": 1}, known)
    assert node.properties == {"n": 1} | known
    assert isinstance(node.properties["whole"], float)


async def test_lists(graph, vendor):
    """Lists in properties"""
    if vendor == "neptune":
        with pytest.raises(Exception, match="UnsupportedOperation"):
            await graph.upsert_node("Text", {"n": 1}, {"tags": ["a", "b"]})
    else:
        node = await graph.upsert_node("Text", {"n": 1}, {"tags": ["a", "b"]})
        assert node.properties == {"n": 1, "tags": ["a", "b"]}


@pytest.fixture
async def family(graph):
    """a → b → c → a, c → d, and e alone."""
    await graph.upsert(
        [
            Relation(person("a"), "KNOWS", person("b")),
            Relation(person("b"), "KNOWS", person("c")),
            Relation(person("c"), "LIKES", person("a")),
            Relation(person("c"), "KNOWS", person("d")),
            person("e"),
        ]
    )
    return graph


@pytest.mark.parametrize(
    ("options", "nodes", "edges"),
    [
        ({}, "bc", 2),
        ({"depth": 2}, "bcd", 4),
        ({"direction": "out"}, "b", 1),
        ({"direction": "in"}, "c", 1),
        ({"direction": "out", "depth": 2}, "bc", 2),
        ({"direction": "out", "depth": 9}, "bcd", 4),
        ({"direction": "in", "depth": 9}, "bc", 3),
        ({"types": "KNOWS"}, "b", 1),
        ({"types": ["KNOWS", "LIKES"]}, "bc", 2),
        ({"types": "NOTHING"}, "", 0),
        ({"depth": 9, "limit": 1}, None, 1),
    ],
)
async def test_neighbours(family, options, nodes, edges):
    """Neighbours by depth, types and direction, the nearest first, at most so many"""
    found = await family.neighbours(person("a"), **options)
    assert (len(found.nodes) == 1) if nodes is None else names(found) == list(nodes)
    assert len(found.edges) == edges


async def test_neighbours_of_several(family):
    """Neighbours of several nodes, and of those that there aren't"""
    (row,) = await family.query("MATCH (n:Person {name: 'd'}) RETURN n")
    found = await family.neighbours([person("b"), row["n"], person("nobody")])
    assert names(found) == ["a", "c"]
    assert len(found.edges) == 3
    assert await family.neighbours([person("e"), person("nobody")]) == type(found)([], [])


async def test_deletion(family):
    """Deletion of nodes with their edges, and of edges"""
    (row,) = await family.query("MATCH (:Person {name: 'c'})-[e:LIKES]->(:Person) RETURN e")
    await family.delete(row["e"])
    assert names(await family.neighbours(person("a"))) == ["b"]
    await family.delete([person("b"), person("nobody")])
    await family.delete([])
    assert sorted(p["p"]["name"] for p in await everything(family)) == ["a", "c", "d", "e"]
    assert await family.query("MATCH ()-[e]->() RETURN count(e) AS n") == [{"n": 1}]


async def test_at_once(make):
    """Two who write the same at once write one"""
    graphs = [make(), make()]
    await asyncio.gather(
        *(
            graph.upsert_edge(person("Ada", n=n), "KNOWS", person("Charles"))
            for n in range(8)
            for graph in graphs
        )
    )
    assert await graphs[0].query("MATCH (a)-[e]->(b) RETURN count(e) AS n") == [{"n": 1}]
    assert await graphs[0].query("MATCH (n:Person) RETURN count(n) AS n") == [{"n": 2}]


def test_loops(make):
    """One object on event loops one after the other"""
    graph = make()
    asyncio.run(graph.upsert_node("Person", {"name": "Ada"}))
    assert asyncio.run(graph.query("MATCH (n) RETURN n.name AS name")) == [{"name": "Ada"}]


async def test_in_a_graph(make):
    """In a graph's nodes: rows of a statement, and what is around"""
    known = make()
    await known.upsert(
        [Relation(person("Ada"), "KNOWS", person("Charles")), Entity("City", {"name": "Paris"})]
    )

    @Graph(id="ask")
    class Ask:
        @knowledge_node(known, into="rows")
        def asked(self, state):
            return "MATCH (n {name: $name}) RETURN n", {"name": state["who"]}

        @knowledge_node(known, cypher="MATCH (n) RETURN count(n) AS n", into="count")
        def counted(self, state): ...

        @knowledge_node(known)
        def around(self, state):
            return [Entity("Person", {"name": state["who"]})]

        asked >> counted >> around

    output = (await Ask().arun({"who": "Ada"}, raise_error=True)).output
    assert output["rows"][0]["n"]["properties"] == {"name": "Ada"}
    assert output["count"] == [{"n": 3}]
    (charles,) = output["knowledge"]["nodes"]
    assert (charles["labels"], charles["properties"]) == (["Person"], {"name": "Charles"})
    assert output["knowledge"]["edges"][0]["type"] == "KNOWS"
