"""What every store of vectors does.

A test's docstring is its row in the table of docs/vectors.md.
"""

import asyncio
import math

import pytest

from duragraph_worker import Graph, vector_node
from duragraph_worker.vectors.embeddings import Words
from duragraph_worker.vectors.filters import FilterError
from duragraph_worker.vectors.store import DimensionError, Document
from tests.stores.conftest import OF_ONE_OBJECT

EAST, NORTH, NORTH_EAST = [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]


@pytest.fixture
def store(make):
    return make(embeddings=Words())


def ids(found):
    return [each.id for each in found]


async def test_texts(store):
    """Texts are found by texts, nearest first, with their metadata"""
    await store.upsert(
        [
            Document("the shop closes at eight", id="shop", metadata={"page": 3, "part": "a"}),
            Document("a bicycle has two wheels", id="bicycle"),
        ]
    )
    first, second = await store.query("when does the shop close", k=5)
    assert (first.id, first.text) == ("shop", "the shop closes at eight")
    assert first.metadata == {"page": 3, "part": "a"}
    assert (second.id, second.metadata) == ("bicycle", {})
    assert first.score > second.score
    assert ids(await store.query("when does the shop close", k=1)) == ["shop"]


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        ("cosine", {"long": 1, "diagonal": 1 / math.sqrt(2), "north": 0}),
        ("dot", {"long": 3, "diagonal": 1, "north": 0}),
        ("euclidean", {"diagonal": -1, "north": -math.sqrt(2), "long": -2}),
    ],
)
async def test_metrics(make, metric, scores):
    """Cosine, dot product and euclidean distance: the higher a score, the nearer"""
    store = make(metric=metric)
    await store.upsert(
        [
            Document(id="long", vector=[3.0, 0.0]),
            Document(id="diagonal", vector=NORTH_EAST),
            Document(id="north", vector=NORTH),
        ]
    )
    found = await store.query(EAST, k=3)
    assert ids(found) == list(scores)
    assert [each.score for each in found] == pytest.approx(list(scores.values()), abs=1e-5)


LIBRARY = {
    "a": {"lang": "en", "year": 2020, "stars": 4.5, "draft": False},
    "b": {"lang": "de", "year": 2024, "draft": True},
    "c": {"lang": "en", "year": 2024, "stars": 3},
    "d": {},
}
FILTERS = [
    ({}, "abcd"),
    ({"lang": "en"}, "ac"),
    ({"lang": {"$eq": "en"}}, "ac"),
    ({"year": 2024}, "bc"),
    ({"stars": 3}, "c"),
    ({"stars": 3.0}, "c"),
    ({"stars": 4.5}, "a"),
    ({"draft": True}, "b"),
    ({"draft": False}, "a"),
    ({"lang": {"$ne": "en"}}, "bd"),
    ({"year": {"$ne": 2024}}, "ad"),
    ({"draft": {"$ne": True}}, "acd"),
    ({"year": {"$gt": 2020}}, "bc"),
    ({"year": {"$gte": 2020}}, "abc"),
    ({"year": {"$lt": 2024}}, "a"),
    ({"year": {"$lte": 2024.5}}, "abc"),
    ({"stars": {"$gt": 3}}, "a"),
    ({"year": {"$gte": 2020, "$lt": 2024}}, "a"),
    ({"lang": {"$in": ["de", "fr"]}}, "b"),
    ({"year": {"$in": [1999, 2020]}}, "a"),
    ({"stars": {"$in": [3, 4.5]}}, "ac"),
    ({"draft": {"$in": [True]}}, "b"),
    ({"lang": {"$in": ["de", 2020]}}, "b"),
    ({"lang": {"$in": []}}, ""),
    ({"lang": {"$nin": ["en", "fr"]}}, "bd"),
    ({"stars": {"$nin": [3]}}, "abd"),
    ({"lang": {"$nin": []}}, "abcd"),
    ({"lang": "en", "year": 2024}, "c"),
    ({"$and": [{"lang": "en"}, {"year": 2024}]}, "c"),
    ({"$or": [{"lang": "de"}, {"stars": {"$gte": 4}}]}, "ab"),
    ({"lang": "en", "$or": [{"year": 2020}, {"draft": True}]}, "a"),
    ({"$or": [{"$and": [{"lang": "en"}, {"stars": 3}]}, {"draft": True}]}, "bc"),
    ({"elsewhere": "x"}, ""),
    ({"elsewhere": {"$gt": 1}}, ""),
    ({"elsewhere": {"$ne": "x"}}, "abcd"),
    ({"lang": 5}, ""),
    ({"year": "2024"}, ""),
    ({"draft": 1}, ""),
    ({"draft": {"$gte": 0}}, ""),
]


async def test_filters(make):
    """Filters by `$eq $ne $gt $gte $lt $lte $in $nin $and $or`"""
    store = make()
    await store.upsert(
        [Document(id=key, metadata=known, vector=EAST) for key, known in LIBRARY.items()]
    )
    found = {
        str(where): "".join(sorted(ids(await store.query(EAST, k=9, where=where))))
        for where, _ in FILTERS
    }
    assert found == {str(where): expected for where, expected in FILTERS}


@pytest.mark.parametrize(
    ("where", "left"),
    [({"year": {"$gte": 2024}}, "ad"), ({"lang": {"$ne": "en"}}, "ac"), ({"year": 1}, "abcd")],
)
async def test_deletion_by_filter(make, where, left):
    """Deletion by filter"""
    store = make()
    await store.upsert(
        [Document(id=key, metadata=known, vector=EAST) for key, known in LIBRARY.items()]
    )
    await store.delete(where=where)
    assert "".join(sorted(ids(await store.query(EAST, k=9)))) == left


async def test_deletion(store):
    """Deletion by ids, those that there aren't too"""
    await store.upsert([Document("one", id="1"), Document("two", id="2")])
    await store.delete(["1", "elsewhere"])
    await store.delete("2", namespace="other")
    assert ids(await store.get(["1", "2"])) == ["2"]
    with pytest.raises(FilterError, match="would delete all"):
        await store.delete(where={})


async def test_getting(make):
    """Documents by ids, in the order asked for, with their vectors"""
    store = make(metric="dot")
    kept = [
        Document("one", id="1", metadata={"n": 1}, vector=[1.0, 2.0]),
        Document("two", id="2", vector=[3.0, 4.0]),
    ]
    assert await store.upsert(kept) == ["1", "2"]
    two, one = await store.get(["2", "elsewhere", "1"])
    assert (one.text, one.metadata, list(one.vector)) == ("one", {"n": 1}, [1.0, 2.0])
    assert (two.text, two.metadata, list(two.vector)) == ("two", {}, [3.0, 4.0])
    assert await store.get("elsewhere") == []


async def test_writing_again(store):
    """A document of the same id takes the place of the earlier one, all of it"""
    await store.upsert(Document("old words", id="1", metadata={"old": True, "n": 1}))
    await store.upsert(Document("new ideas", id="1", metadata={"n": 2}))
    (found,) = await store.query("new ideas")
    assert (found.text, found.metadata) == ("new ideas", {"n": 2})
    assert found.score == pytest.approx(1, abs=1e-5)


async def test_ids_of_contents(store):
    """Without ids, writing the same again changes nothing"""
    first = await store.upsert(["one", "two"])
    assert await store.upsert(["two", "one", "one"]) == [first[1], first[0], first[0]]
    assert len(await store.query("one", k=9)) == 2


async def test_batches(make):
    """More documents than a server takes at once, and more than a few found"""
    store = make()
    many = [str(number) for number in range(2 * store.batch_size + 1)]
    await store.upsert(Document(id=each, vector=NORTH_EAST) for each in many)
    assert ids(await store.get(many)) == many
    assert len(await store.query(NORTH_EAST, k=60)) == 60
    await store.delete(many[1:])
    assert ids(await store.query(NORTH_EAST, k=9)) == ["0"]


async def test_namespaces(store):
    """Namespaces are apart, also where ids are the same"""
    await store.upsert(Document("of acme", id="1"), namespace="acme")
    await store.upsert(Document("of nobody", id="1"))
    (found,) = await store.query("of", k=9, namespace="acme")
    assert found.text == "of acme"
    assert await store.query("of", namespace="other") == []
    await store.delete("1", namespace="acme")
    assert await store.get("1", namespace="acme") == []
    assert ids(await store.get("1")) == ["1"]


async def test_nothing_yet(store):
    """A collection that nobody has written to is empty"""
    assert await store.query("anything") == []
    assert await store.get(["1"]) == []
    await store.delete(["1"])
    await store.delete(where={"n": 1})
    assert await store.upsert([]) == []


async def test_dimensions(make, vendor):
    """Vectors of another length are refused, also by who finds the collection there"""
    store = make()
    await store.upsert(Document(id="1", vector=EAST))
    if vendor not in OF_ONE_OBJECT:
        store = make()
    with pytest.raises(DimensionError, match="holds vectors of 2 numbers, this one has 3"):
        await store.query([1.0, 2.0, 3.0])
    with pytest.raises(DimensionError):
        await store.upsert([Document(id="2", vector=EAST), Document(id="3", vector=[1.0])])
    assert await store.get("2") == []


async def test_made_once(make, vendor):
    """Several that write first at the same time make one collection"""
    first = make()
    stores = [first, *(first if vendor in OF_ONE_OBJECT else make() for _ in range(3))]
    await asyncio.gather(
        *(store.upsert(Document(id=str(n), vector=EAST)) for n, store in enumerate(stores))
    )
    assert len(await stores[-1].query(EAST, k=9)) == len(stores)


async def test_any_text(store):
    """Texts, ids and values of any characters"""
    odd = "Grüße, 你好 🚲 'quoted' \"doubly\" \\ {brace} $1 %s\nnext"
    await store.upsert(Document(odd, id=odd, metadata={"said": odd}), namespace=odd)
    (found,) = await store.query(odd, where={"said": odd}, namespace=odd)
    assert (found.id, found.text, found.metadata) == (odd, odd, {"said": odd})
    assert ids(await store.get(odd, namespace=odd)) == [odd]
    await store.delete(odd, namespace=odd)
    assert await store.query(odd, namespace=odd) == []


def test_event_loops(store):
    """One object on several event loops, one after the other and in threads"""
    asyncio.run(store.upsert(["one", "two"]))

    async def on_others():
        return await asyncio.gather(
            *(asyncio.to_thread(asyncio.run, store.query(each, k=1)) for each in ("one", "two"))
        )

    (one,), (two,) = asyncio.run(on_others())
    assert (one.text, two.text) == ("one", "two")


def test_nodes(store):
    """A node of a graph finds documents by what its body returns"""

    @Graph(id="g")
    class G:
        @vector_node(store, k=1, into="found", where=lambda state: {"lang": state["lang"]})
        def find(self, state):
            return state["asked"]

    documents = [
        Document("the shop closes at eight", id="en", metadata={"lang": "en"}),
        Document("der Laden schließt um acht", id="de", metadata={"lang": "de"}),
    ]
    asyncio.run(store.upsert(documents))
    result = G().run({"asked": "the shop", "lang": "de"})
    (found,) = result.output["found"]
    assert found.keys() == {"id", "text", "metadata", "score"}
    assert found["id"] == "de"
