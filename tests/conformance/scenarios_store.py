"""What is asked of the store, and webhooks that must be refused."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from tests.conformance.scenarios import new_thread
from tests.conformance.wire import Exchange, Wire

ITEMS, SEARCH, NAMESPACES = "/store/items", "/store/items/search", "/store/namespaces"
ECHO = {"assistant_id": "echo", "input": {"msg": "hi"}}


async def put(wire: Wire, namespace: list[str], key: str, value: Any, **fields: Any) -> Exchange:
    item = {"namespace": namespace, "key": key, "value": value, **fields}
    return await wire.call("PUT", ITEMS, item)


async def items(wire: Wire) -> None:
    root = str(uuid4())
    await put(wire, [root, "a"], "k", {"n": 1, "o": {"l": [None, "é"]}})
    for query in (f"namespace={root}.a&key=k", f"namespace={root}.a&key=nope"):
        await wire.get(f"{ITEMS}?{query}")
    for refresh in ("true", "false", "True"):
        await wire.get(f"{ITEMS}?namespace={root}.a&key=k&refresh_ttl={refresh}")
    await wire.get(f"{ITEMS}?namespace={root}&key=k")
    await put(wire, [root, "a"], "k", {"n": 2})
    await wire.get(f"{ITEMS}?namespace={root}.a&key=k")
    for fields in (
        {"index": None},
        {"index": False},
        {"index": ["n", "o.l[*]"]},
        {"index": []},
        {"ttl": None},
        {"ttl": 5},
        {"ttl": 0.5},
        {"unheard": "of"},
    ):
        await put(wire, [root, "b"], "k", {"n": 3}, **fields)
    await put(wire, [root, "b"], "", {"empty": "key"})
    await wire.post(SEARCH, {"namespace_prefix": [root, "b"], "filter": {"n": 3}})
    for namespace, key in (([root, "a"], "k"), ([root, "a"], "k"), ([], "k")):
        await wire.delete(ITEMS, {"namespace": namespace, "key": key})
    await wire.delete(ITEMS, {"key": "k"})
    await wire.get(f"{ITEMS}?namespace={root}.a&key=k")


async def bad_items(wire: Wire) -> None:
    good = {"namespace": ["a"], "key": "k", "value": {}}
    for wrong in (
        {"namespace": []},
        {"namespace": ["a.b"]},
        {"namespace": ["a", ""]},
        {"namespace": ["langgraph"]},
        {"namespace": ["a", 3]},
        {"namespace": "a"},
        {"namespace": None},
        {"key": None},
        {"key": 3},
        {"value": None},
        {"value": 3},
        {"value": []},
        {"index": True},
        {"index": "n"},
        {"index": [3]},
        {"ttl": "soon"},
        {"ttl": 0},
        {"ttl": -1},
    ):
        await wire.call("PUT", ITEMS, good | wrong)
    for missing in good:
        await wire.call("PUT", ITEMS, {k: v for k, v in good.items() if k != missing})
    for body in (b"", b"{", b"[]", b'"text"'):
        await wire.call("PUT", ITEMS, body)
        await wire.call("DELETE", ITEMS, body)
        await wire.post(SEARCH, body)
        await wire.post(NAMESPACES, body)
    for query in ("", "namespace=a", "key=k", "namespace=a..b&key=k", "namespace=.a&key=k"):
        await wire.get(f"{ITEMS}?{query}")
    await wire.delete(ITEMS, {"namespace": ["a.b"], "key": "k"})
    await wire.delete(ITEMS, {"namespace": ["a"]})
    await wire.post(ITEMS, good)


async def searches(wire: Wire) -> None:
    root = str(uuid4())
    values = {
        "one": {"n": 1, "s": "b", "o": {"p": {"q": 1, "r": 2}}},
        "two": {"n": 2.5, "s": "a", "l": [1, {"x": 2}], "t": True},
        "three": {"n": 30, "s": "ä", "z": None},
    }
    for key, value in values.items():
        await put(wire, [root, key], key, value)
    for wanted in (
        {},
        {"n": 1},
        {"n": 1.0},
        {"n": 2.5, "s": "a"},
        {"n": 1, "s": "a"},
        {"s": "ä"},
        {"t": True},
        {"z": None},
        {"l": [1, {"x": 2}]},
        {"l": [1]},
        {"o": {"p": {"q": 1}}},
        {"o": {"p": {"q": 2}}},
        {"o": {}},
        {"n": {"$eq": 30}},
        {"n": {"$ne": 30}},
        {"n": {"$gt": 2.5}},
        {"n": {"$gte": 2.5}},
        {"n": {"$lt": 30}},
        {"n": {"$lte": 2}},
        {"n": {"$gt": 1, "$lt": 30}},
        {"s": {"$eq": "b"}},
        {"s": {"$gt": "a"}},
        {"nope": {"$gt": 1}},
        {"nope": {"$ne": 1}},
        {"n": {"$in": [1]}},
        {"$and": [{"n": 1}]},
    ):
        for key in values:
            await wire.post(SEARCH, {"namespace_prefix": [root, key], "filter": wanted})
    for fields in (
        {"limit": 1},
        {"limit": 1, "offset": 1},
        {"offset": 1},
        {"offset": 9},
        {"filter": None},
        {"query": None},
        {"refresh_ttl": False},
        {"refresh_ttl": None},
    ):
        await wire.post(SEARCH, {"namespace_prefix": [root, "one"], **fields})
    await put(wire, [root, "text"], "tea", {"likes": "green tea"})
    await wire.post(SEARCH, {"namespace_prefix": [root, "text"], "query": "tea"})
    await wire.post(SEARCH, {"namespace_prefix": [root, "text"], "query": "coffee"})


async def listing(wire: Wire) -> None:
    root = str(uuid4())
    for key in ("first", "second", "third"):
        await put(wire, [root], key, {})
    await wire.post(SEARCH, {"namespace_prefix": [root]})
    for everywhere in ({}, {"namespace_prefix": None}, {"namespace_prefix": []}):
        await wire.post(SEARCH, {**everywhere, "filter": {"nobody": root}})
    await wire.post(SEARCH, {"namespace_prefix": ["*"]})
    await wire.post(SEARCH, {"namespace_prefix": [f"{root}-not"]})


async def bad_searches(wire: Wire) -> None:
    nowhere = {"namespace_prefix": [str(uuid4())]}
    for wrong in (
        {"namespace_prefix": ["a."]},
        {"namespace_prefix": [""]},
        {"namespace_prefix": [3]},
        {"namespace_prefix": "a"},
        {"filter": []},
        {"filter": "n"},
        {"limit": 0},
        {"limit": -1},
        {"limit": "x"},
        {"limit": 1001},
        {"offset": -1},
        {"offset": "x"},
        {"query": 3},
        {"refresh_ttl": "x"},
    ):
        await wire.post(SEARCH, nowhere | wrong)


async def namespaces(wire: Wire) -> None:
    root = str(uuid4())
    for path in ("a.b.c", "a.b.d", "a.x.c", "b.c", "b"):
        await put(wire, [root, *path.split(".")], "k", {})
    for fields in (
        {},
        {"max_depth": 1},
        {"max_depth": 2},
        {"max_depth": 3},
        {"max_depth": 9},
        {"limit": 2},
        {"limit": 2, "offset": 1},
        {"offset": 9},
        {"suffix": ["c"]},
        {"suffix": ["*", "c"]},
        {"suffix": ["b", "*"]},
        {"suffix": ["d"], "max_depth": 2},
        {"suffix": ["nope"]},
        {"suffix": []},
    ):
        await wire.post(NAMESPACES, {"prefix": [root], **fields})
    for prefix in (["a"], ["a", "*", "c"], ["*", "c"], ["a", "b", "c", "d"], ["nope"]):
        await wire.post(NAMESPACES, {"prefix": [root, *prefix]})
        await wire.post(NAMESPACES, {"prefix": [root, *prefix], "max_depth": 2})
    for wrong in (
        {"prefix": ["a."]},
        {"suffix": [""]},
        {"prefix": None},
        {"suffix": None},
        {"prefix": "a"},
        {"max_depth": 0},
        {"max_depth": "x"},
        {"limit": 0},
        {"limit": "x"},
    ):
        await wire.post(NAMESPACES, {"prefix": [root], **wrong})


async def webhooks(wire: Wire) -> None:
    thread = await new_thread(wire)
    for url in (
        "http://127.0.0.1:9/x",
        "http://127.1.2.3/",
        "http://localhost:9/x",
        "http://[::1]/x",
        "http://169.254.169.254/",
        "http://0.0.0.0/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
        "ftp://example.com/x",
        "file:///etc/passwd",
        "/x",
        "example.com",
        "http://",
        "https:///x",
        "https://192.0.2.1:99999/",
        "",
        "https://192.0.2.1/" + "x" * 4096,
        3,
    ):
        for path in (f"{thread}/runs", "/runs/wait"):
            await wire.post(path, {**ECHO, "webhook": url})
    await wire.post("/runs/wait", {**ECHO, "webhook": None})
    await wire.post("/runs/stream", {**ECHO, "webhook": "http://127.0.0.1/"})
    await wire.post("/runs/batch", [{**ECHO, "webhook": "http://127.0.0.1/"}])


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    items,
    bad_items,
    searches,
    listing,
    bad_searches,
    namespaces,
    webhooks,
)
