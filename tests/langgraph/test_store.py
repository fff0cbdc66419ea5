"""LangGraph's store over the plane's: what it does, LangGraph's own store in memory does too."""

import asyncio
import random
from datetime import UTC, datetime

import numpy as np
import pytest
from langchain_core.messages import HumanMessage
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from duragraph.errors import Invalid
from duragraph_worker.langgraph.embedding import Index
from duragraph_worker.langgraph.store import Store
from duragraph_worker.process.client import Plane
from duragraph_worker.process.reach import LeasedReach
from tests.langgraph.embeddings import Letters

LABELS = "users", "ada", "bob", "notes", "é &=?+%/ #"
NAMESPACES = [(a, *rest) for a in LABELS for rest in ((), ("ada",), ("notes", "x"))]
KEYS = "k", "é &=?+%/ #", "a.b", "k2"
VALUES = (
    {"n": 1, "tag": "a", "deep": {"x": 1, "y": [1, 2]}},
    {"n": 2.5, "tag": "b", "deep": {"x": 2}},
    {"n": -3, "tag": None, "list": [1, {"z": None}]},
    {"n": 0, "tag": "é", "deep": {}},
)
FILTERS = (
    None,
    {"tag": "a"},
    {"tag": None},
    {"n": {"$gte": 1}},
    {"n": {"$gt": -3, "$lt": 2.5}, "tag": {"$ne": "b"}},
    {"deep": {"x": 1}},
    {"deep": {"y": [1, 2]}},
    {"deep": {"x": {"$eq": 2}}},
    {"nowhere": None},
)
PATTERNS = ("users",), ("*", "ada"), ("*", "notes", "*"), ("notes", "x"), ("*",)


@pytest.fixture
async def reach(plane):
    async with Plane(plane.url) as client:
        yield LeasedReach(client, "")


@pytest.fixture
async def store(reach):
    return Store(reach)


def any_op(chance):
    namespace, key = chance.choice(NAMESPACES), chance.choice(KEYS)
    match chance.choice(["put", "put", "put", "delete", "get", "search", "search", "namespaces"]):
        case "put":
            return PutOp(namespace, key, chance.choice(VALUES))
        case "delete":
            return PutOp(namespace, key, None)
        case "get":
            return GetOp(chance.choice([namespace, ()]), key)
        case "search":
            prefix = namespace[: chance.randint(0, 3)]
            return SearchOp(prefix, chance.choice(FILTERS), chance.choice([1000, 3000]))
        case "namespaces":
            conditions = tuple(
                MatchCondition(chance.choice(["prefix", "suffix"]), chance.choice(PATTERNS))
                for _ in range(chance.randint(0, 3))
            )
            limit, offset = chance.choice([(100, 0), (3, 0), (2, 2), (2000, 1)])
            return ListNamespacesOp(conditions, chance.choice([None, 1, 2]), limit, offset)


def contents(result):
    """Without times; what is found in no order of its own."""
    match result:
        case Item():
            return type(result), result.namespace, result.key, result.value
        case [SearchItem(), *_]:
            return sorted((contents(item) for item in result), key=repr)
        case _:
            return result


def forget_empty(memory):
    """It lists namespaces too that were only read."""
    for namespace in [each for each, items in memory._data.items() if not items]:
        del memory._data[namespace]


@pytest.mark.parametrize("seed", range(8))
async def test_any_operations_give_what_langgraphs_own_store_gives(store, seed):
    chance, memory = random.Random(seed), InMemoryStore()
    for _ in range(40):
        ops = [any_op(chance) for _ in range(chance.choice([1, 1, 2, 8]))]
        forget_empty(memory)
        wanted = [
            (op, contents(found)) for op, found in zip(ops, expected(memory, ops), strict=True)
        ]
        got = await store.abatch(ops)
        assert [(op, contents(found)) for op, found in zip(ops, got, strict=True)] == wanted


def expected(memory, ops):
    """One by one where it reads, since its reads make namespaces."""
    found = []
    for op in ops:
        if not isinstance(op, PutOp):
            found += memory.batch([op])
            forget_empty(memory)
        else:
            found.append(None)
    memory.batch([op for op in ops if isinstance(op, PutOp)])
    return found


async def test_items_know_when_they_were_made_and_changed(store):
    await store.aput(("users", "ada"), "k", {"n": 1})
    await store.aput(("users", "ada"), "k", {"n": 2})
    item = await store.aget(("users", "ada"), "k")
    (found,) = await store.asearch(("users",))
    assert (found.created_at, found.updated_at) == (item.created_at, item.updated_at)
    assert item.created_at < item.updated_at
    assert item.created_at.tzinfo is not None
    await store.adelete(("users", "ada"), "k")
    assert await store.aget(("users", "ada"), "k") is None


async def test_more_is_found_than_one_answer_holds(store):
    await store.abatch([PutOp(("many",), f"{n:04}", {"n": n}) for n in range(1100)])
    found = await store.asearch(("many",), limit=5000)
    assert sorted(item.value["n"] for item in found) == list(range(1100))
    assert len(await store.asearch(("many",), limit=1050, offset=60)) == 1040


async def test_a_query_ranks_and_hides_nothing(store):
    for key, text in {"tea": "Ada drinks green tea", "cat": "Ada has a cat"}.items():
        await store.aput(("memories",), key, {"text": text})
    ranked = await store.asearch(("memories",), query="What tea?")
    assert [item.key for item in ranked] == ["tea", "cat"]
    assert ranked[0].score > 0
    assert ranked[1].score is None
    (second,) = await store.asearch(("memories",), query="Which tea?", limit=1, offset=1)
    assert second.key == "cat"
    long = await store.asearch(("memories",), query="tea " * 20_000, limit=1)
    assert [item.key for item in long] == ["tea"]


async def test_what_is_not_indexed_is_not_ranked(store):
    await store.aput(("a",), "hidden", {"text": "green tea"}, index=False)
    await store.aput(("a",), "title", {"title": "tea", "text": "coffee"}, index=["title"])
    found = await store.asearch(("a",), query="tea")
    assert [(item.key, item.score is None) for item in found] == [
        ("title", False),
        ("hidden", True),
    ]
    assert {item.score for item in await store.asearch(("a",), query="coffee")} == {None}


async def test_times_to_live(store, reach, owner):
    async def expiries():
        rows = await owner.fetch("select key, ttl_minutes, expires_at from store_item order by key")
        return {row["key"]: (row["ttl_minutes"], row["expires_at"]) for row in rows}

    await store.aput(("a",), "mortal", {}, ttl=5)
    await store.aput(("a",), "for good", {})
    limited = Store(reach, ttl={"default_ttl": 3, "refresh_on_read": False})
    await limited.aput(("a",), "by default", {})
    first = await expiries()
    assert {key: ttl for key, (ttl, _) in first.items()} == {
        "mortal": 5,
        "for good": None,
        "by default": 3,
    }
    await limited.aget(("a",), "mortal")
    await store.aget(("a",), "mortal", refresh_ttl=False)
    assert await expiries() == first
    await store.aget(("a",), "mortal")
    second = await expiries()
    assert second["mortal"] > first["mortal"]
    await store.asearch(("a",))
    assert (await expiries())["mortal"] > second["mortal"]


async def test_threads_use_it_synchronously(store):
    def body():
        store.put(("a", "b"), "k", {"n": 1})
        item = store.get(("a", "b"), "k")
        assert item is not None
        found = store.search(("a",)), store.list_namespaces(prefix=("a",))
        store.delete(("a", "b"), "k")
        return item.value, [each.key for each in found[0]], found[1], store.get(("a", "b"), "k")

    assert await asyncio.to_thread(body) == ({"n": 1}, ["k"], [("a", "b")], None)


async def test_the_loops_own_thread_is_told_what_to_write(store):
    with pytest.raises(asyncio.InvalidStateError, match=r"await store\.aget"):
        store.get(("a",), "k")


async def test_other_loops_use_it_asynchronously(store):
    await store.aput(("a",), "k", {"n": 1})
    item = await asyncio.to_thread(lambda: asyncio.run(store.aget(("a",), "k")))
    assert item.value == {"n": 1}


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", 1), ("langgraph",), ()])
async def test_namespaces_that_cant_be(store, namespace):
    with pytest.raises(InvalidNamespaceError):
        await store.aput(namespace, "k", {})


async def test_labels_in_operations_are_checked_too(store):
    for op in (GetOp(("a.b",), "k"), SearchOp(("a.b",)), PutOp(("",), "k", {})):
        with pytest.raises(InvalidNamespaceError):
            await store.abatch([op])


async def test_what_the_plane_refuses_is_raised_in_its_words(store):
    with pytest.raises(Invalid, match="Unsupported operator"):
        await store.asearch(("a",), filter={"n": {"$near": 1}})


DOCUMENTS = {
    "tea": {"text": "green tea", "title": "drinks", "parts": [{"t": "milk"}, {"t": "sugar"}]},
    "cat": {"text": "a cat on a mat", "title": "animals", "parts": []},
    "dog": {"text": "dogs", "title": "animals", "nothing": None},
    "zoo": {"title": "none of it"},
}
INDEXES = (
    {"fields": ["text"]},
    {"fields": ["$"]},
    {"fields": None},
    {"fields": ["title", "parts[*].t"]},
    {"fields": ["{title,text}"]},
)


@pytest.mark.parametrize("settings", INDEXES)
async def test_with_embeddings_it_ranks_as_langgraphs_own_store(reach, settings):
    memory = InMemoryStore(index={"dims": 26, "embed": Letters(), **settings})
    ours = Store(reach, index=Index.of({"dims": 26, "embed": Letters(), **settings}))
    for store in (memory, ours):
        for key, value in DOCUMENTS.items():
            await store.aput(("docs",), key, value, index=False if key == "dog" else None)
        await store.aput(("docs",), "own", {"a": {"b": "gnu"}, "c": "x"}, index=["a.{b,c}", "c"])
        await store.aput(("docs",), "tea", {**DOCUMENTS["tea"], "text": "black tea"})
    for query in ("tea", "milk", "animals on mats", "gnu"):
        for limit, offset in ((10, 0), (2, 1)):
            wanted = await memory.asearch(("docs",), query=query, limit=limit, offset=offset)
            got = await ours.asearch(("docs",), query=query, limit=limit, offset=offset)
            assert rated(got) == rated(wanted)


def rated(items):
    """Items of one score are in no order of their own."""
    named = [(-1 if i.score is None else round(i.score, 3), i.key) for i in items]
    return sorted(named, reverse=True)


async def test_a_text_is_embedded_once(reach):
    model = Letters()
    store = Store(reach, index=Index(model, fields=["text"]))
    await store.abatch([PutOp(("a",), f"{n}", {"text": "same"}) for n in range(5)])
    assert model.asked == ["same"]
    await store.adelete(("a",), "0")
    assert model.asked == ["same"]


async def test_an_async_function_embeds_too(reach):
    async def embed(texts):
        return np.array([Letters.vector(text) for text in texts], np.float32)

    store = Store(reach, index=Index.of({"dims": 26, "embed": embed}))
    await store.aput(("a",), "k", {"text": "tea"})
    (item,) = await asyncio.to_thread(store.search, ("a",), query="tea")
    assert item.score > 0


async def test_values_are_kept_as_clients_see_them(store):
    value = {"said": HumanMessage("hi", id="1"), "at": datetime(2026, 1, 2, tzinfo=UTC), "s": {1}}
    await store.aput(("a",), "k", value)
    kept = (await store.aget(("a",), "k")).value
    assert (kept["said"]["content"], kept["said"]["type"]) == ("hi", "human")
    assert (kept["at"], kept["s"]) == ("2026-01-02T00:00:00+00:00", [1])
