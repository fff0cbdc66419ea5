"""Documents, and the nodes that find them."""

import math
from typing import TypedDict

import numpy as np
import pytest

from duragraph_worker import Graph, GraphError, HumanMessage, vector_node
from duragraph_worker.authoring.draw import mermaid
from duragraph_worker.vectors.embeddings import Words
from duragraph_worker.vectors.memory import InMemory
from duragraph_worker.vectors.store import DimensionError, Document, DocumentError


@pytest.fixture
async def store():
    store = InMemory(embeddings=Words())
    await store.upsert([Document("green tea", id="tea"), Document("black coffee", id="coffee")])
    await store.upsert(Document("rooibos tea", id="acme"), namespace="acme")
    return store


class Forgetful(Words):
    async def documents(self, texts):
        return (await super().documents(texts))[1:]


async def test_too_few_vectors_are_told():
    with pytest.raises(DimensionError, match="2 texts were embedded as 1 vectors"):
        await InMemory(embeddings=Forgetful()).upsert(
            [Document("a", id="a"), Document("b", id="b")]
        )


async def found(node, state):
    class G:
        find = node

    result = await Graph(id="g")(G)().arun(state)
    return result.error or [each["id"] for each in result.output["documents"]]


def returning(store, value, **options):
    @vector_node(store, k=1, **options)
    def find(self, state):
        return value

    return find


@pytest.mark.parametrize(
    "state",
    [
        {"messages": [("user", "coffee?")]},
        {"messages": [("user", "coffee?"), ("assistant", "Tea?")]},
        {"messages": [], "input": "coffee"},
        {"input": {"drink": "coffee"}},
    ],
)
async def test_without_a_body_the_state_is_the_question(store, state):
    assert await found(vector_node(store, k=1), state) == ["coffee"]


@pytest.mark.parametrize(
    "question",
    ["coffee", HumanMessage("coffee"), {"role": "user", "content": "coffee"}],
    ids=["text", "message", "plain message"],
)
async def test_what_the_body_returns_is_the_question(store, question):
    assert await found(returning(store, question), {"input": "tea"}) == ["coffee"]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
async def test_a_vector_is_a_question(store, kind):
    vector = kind(await Words().query("coffee"))
    assert await found(returning(store, vector), {}) == ["coffee"]


async def test_namespaces_may_depend_on_the_state(store):
    node = vector_node(store, namespace=lambda state: state["tenant"])
    assert await found(node, {"input": "tea", "tenant": "acme"}) == ["acme"]


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (vector_node, "vector node find has nothing to ask"),
        (lambda store: returning(store, ""), "vector node find has nothing to ask"),
        (lambda store: returning(store, 3), "vector node find returned 3, a int"),
        (lambda store: returning(store, {"where": 1}), "vector node find returned"),
        (lambda store: returning(store, [1.0]), "holds vectors of 512 numbers, this one has 1"),
    ],
)
async def test_what_is_no_question_is_told(store, node, told):
    assert told in str(await found(node(store), {}))


class Asked(TypedDict):
    asked: str


def test_the_key_must_be_of_the_state():
    with pytest.raises(GraphError, match="writes to 'documents', which the state doesn't have"):

        @Graph(id="g", state=Asked)
        class G:
            find = vector_node(InMemory())


def test_it_has_a_shape_of_its_own():
    @Graph(id="g")
    class G:
        find = vector_node(InMemory())

    assert '[\\"find"\\]' in mermaid(G().plan)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"a-b": 1}, "'a-b' of its metadata is no name"),
        ({"_a": 1}, "'_a' of its metadata is no name"),
        ({"a": ["x"]}, r"'a' is \['x'\] is neither a text"),
        ({"a": None}, "neither a text, a number nor a boolean"),
        ({"a": float("nan")}, "'a' is nan, no finite number"),
        ({"a": 10**400}, "too large"),
        ({"a": "x\0"}, "holds a NUL"),
    ],
)
def test_metadata_are_what_every_store_can_hold(metadata, told):
    with pytest.raises(DocumentError, match=told):
        Document("x", metadata=metadata)


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"text": "a\0b"}, "holds a NUL"), ({"id": "a\0b"}, "holds a NUL"), ({"id": ""}, "is empty")],
)
def test_texts_and_ids_are_what_every_store_can_hold(fields, told):
    with pytest.raises(DocumentError, match=told):
        Document(**{"text": "x", **fields})


class Sick(Words):
    async def documents(self, texts):
        return [[math.nan] * self.dimension for _ in texts]

    async def query(self, text):
        return [math.inf] * self.dimension


@pytest.mark.parametrize("vector", [[math.nan, 1.0], [math.inf, 1.0], [], np.array([np.nan, 1])])
async def test_vectors_are_finite_numbers(vector):
    store = InMemory()
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        await store.upsert(Document("x", vector=vector))
    await store.upsert(Document("x", id="1", vector=[1.0, 0.0]))
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        await store.query(vector)


async def test_embeddings_that_are_no_numbers_are_told():
    store = InMemory(embeddings=Sick(2))
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        await store.upsert("x")
    await store.upsert(Document("x", vector=[1.0, 0.0]))
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        await store.query("x")


async def test_no_text_without_embeddings():
    with pytest.raises(TypeError, match="has no embeddings to make vectors of texts"):
        await InMemory().upsert("text")


async def test_a_store_keeps_what_it_was_given():
    store, known, vector = InMemory(), {"n": 1}, [1.0, 2.0]
    await store.upsert(Document("x", metadata=known, id="1", vector=vector))
    known["n"] = vector[0] = 9
    (kept,) = await store.get("1")
    assert (kept.metadata, kept.vector) == ({"n": 1}, [1.0, 2.0])


async def test_vectors_may_be_arrays():
    store = InMemory()
    await store.upsert(Document(id="1", vector=np.array([1, 0], dtype="float32")))
    (found,) = await store.query(np.array([1, 0], dtype="float32"))
    assert found.id == "1"
    (kept,) = await store.get("1")
    assert [type(number) for number in kept.vector] == [float, float]
