"""The store over HTTP: items, searches by filter and by words, namespaces, times to live."""

from io import BytesIO

import asyncpg
import msgspec
import pytest

from duragraph import pg
from duragraph.pg import store

KEY = "k"


@pytest.fixture
async def connection(database_url):
    """The database as its owner sees it."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def put(plane, namespace, key, value, **fields):
    item = {"namespace": namespace.split("."), "key": key, "value": value, **fields}
    answer = await plane.call("PUT", "/store/items", item)
    assert (answer.status, answer.body) == (204, b""), answer.body


async def get(plane, namespace, key, **query):
    params = {"namespace": namespace, "key": key, **query}
    answer = await plane.get("/store/items", params=params)
    assert answer.status == 200, answer.body
    return answer.json


async def search(plane, *prefix, **fields):
    body = {"namespace_prefix": list(prefix), **fields}
    answer = await plane.post("/store/items/search", body)
    assert answer.status == 200, answer.body
    return answer.json["items"]


async def found(plane, *prefix, **fields):
    return [item["key"] for item in await search(plane, *prefix, **fields)]


async def namespaces(plane, **fields):
    answer = await plane.post("/store/namespaces", fields)
    assert answer.status == 200, answer.body
    return [".".join(namespace) for namespace in answer.json["namespaces"]]


async def test_an_item_is_what_was_put(plane):
    value = {"b": [1, {"c": None}], "a": 0.5, "é": "\u2028"}
    await put(plane, "users.ada", KEY, value)
    item = await get(plane, "users.ada", KEY)
    assert item == {
        "namespace": ["users", "ada"],
        "key": KEY,
        "value": value,
        "created_at": item["created_at"],
        "updated_at": item["created_at"],
    }
    assert await search(plane, "users") == [{**item, "score": None}]


async def test_a_miss_is_null(plane):
    answer = await plane.get("/store/items", params={"namespace": "a", "key": KEY})
    assert (answer.status, answer.body) == (200, b"null")
    assert answer.headers["Content-Type"] == "application/json"


async def test_an_overwrite_keeps_the_time_of_creation(plane):
    await put(plane, "a", KEY, {"n": 1})
    first = await get(plane, "a", KEY)
    await put(plane, "a", KEY, {"n": 2})
    second = await get(plane, "a", KEY)
    assert second["value"] == {"n": 2}
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


async def test_a_deleted_item_is_gone_and_deleting_nothing_is_as_good(plane):
    await put(plane, "a", KEY, {})
    for _ in range(2):
        answer = await plane.delete("/store/items", json={"namespace": ["a"], "key": KEY})
        assert (answer.status, answer.body) == (204, b"")
    assert await get(plane, "a", KEY) is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/store/items", {"namespace": ["a.b"], "key": KEY, "value": {}}),
        ("PUT", "/store/items", {"namespace": ["a", ""], "key": KEY, "value": {}}),
        ("GET", "/store/items?namespace=a..b&key=k", None),
        ("GET", "/store/items?key=k", None),
        ("DELETE", "/store/items", {"namespace": [""], "key": KEY}),
        ("POST", "/store/items/search", {"namespace_prefix": ["a."]}),
        ("POST", "/store/namespaces", {"prefix": ["."]}),
        ("POST", "/store/namespaces", {"suffix": [""]}),
    ],
)
async def test_a_bad_label_is_refused_in_plain_text(plane, method, path, body):
    answer = await plane.call(method, path, body)
    assert answer.status == 422
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"must be a non-empty string without periods" in answer.body


async def test_a_get_without_a_key_says_so_under_error(plane):
    answer = await plane.get("/store/items?namespace=a")
    assert answer.status == 400
    assert answer.json["error"] == answer.json["detail"] == "Key is required"


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"namespace": []}, 400),
        ({"namespace": ["langgraph"]}, 400),
        ({"namespace": ["a"] * 65}, 422),
        ({"namespace": ["ä" * 513]}, 422),
        ({"key": "k" * 1025}, 422),
        ({"value": []}, 422),
        ({"value": None}, 422),
        ({"ttl": 0}, 422),
        ({"ttl": "soon"}, 422),
        ({"index": True}, 422),
        ({"index": ["a[b]"]}, 422),
        ({"index": [""]}, 422),
        ({"index": ["a." * 512 + "a"]}, 422),
    ],
)
async def test_what_can_not_be_an_item_is_refused(plane, item, status):
    whole = {"namespace": ["a"], "key": KEY, "value": {}} | item
    assert (await plane.call("PUT", "/store/items", whole)).status == status
    assert await search(plane) == []


async def test_a_value_over_its_bound_is_refused(plane):
    value = {"text": "x" * (1 << 20)}
    item = msgspec.json.encode({"namespace": ["a"], "key": KEY, "value": value})
    answer = await plane.call("PUT", "/store/items", data=BytesIO(item))
    assert (answer.status, answer.json["code"]) == (413, "too_large")


async def test_a_number_that_is_read_as_a_hundred_thousand_digits_is_refused(plane):
    item = b'{"namespace": ["a"], "key": "k", "value": {"a": [1e131071]}}'
    answer = await plane.call("PUT", "/store/items", data=item)
    assert (answer.status, answer.json["code"]) == (422, "invalid")
    assert "$.value" in answer.json["detail"]


async def test_names_at_their_bounds_are_kept(plane):
    namespace = [f"{'ö' * 255}{n}" for n in range(2)]
    key = "k" * 1024
    item = {"namespace": namespace, "key": key, "value": {}}
    assert (await plane.call("PUT", "/store/items", item)).status == 204
    assert (await search(plane, *namespace))[0]["key"] == key


async def test_a_prefix_finds_what_stands_under_it_the_last_changed_first(plane):
    for namespace in ("a", "a.b", "a.b.c", "ab", "a-b", "b"):
        await put(plane, namespace, namespace, {})
    await put(plane, "a", "a", {"changed": True})
    assert await found(plane, "a") == ["a", "a.b.c", "a.b"]
    assert await found(plane, "a", "b") == ["a.b.c", "a.b"]
    assert await found(plane, "a", "*") == []
    assert await found(plane, limit=2, offset=1) == ["b", "a-b"]
    for everywhere in ({}, {"namespace_prefix": None}):
        answer = await plane.post("/store/items/search", everywhere)
        assert len(answer.json["items"]) == 6


VALUES = {
    "ten": {"n": 10, "s": "b", "at": "2026-02-01"},
    "nine": {"n": 9.5, "s": "B", "at": "2026-01-31", "o": {"p": {"q": 1, "r": 2}}},
    "text": {"n": "10", "l": [1, {"x": 2}], "o": 1},
    "none": {"n": None, "s": "ä", "t": True},
}
FILTERS = [
    ({}, "ten nine text none"),
    ({"n": 10}, "ten"),
    ({"n": 10.0}, "ten"),
    ({"n": "10"}, "text"),
    ({"n": None}, "none"),
    ({"missing": None}, "ten nine text none"),
    ({"t": True}, "none"),
    ({"l": [1, {"x": 2}]}, "text"),
    ({"l": [1]}, ""),
    ({"o": {"p": {"q": 1}}}, "nine"),
    ({"o": {"p": {"missing": None}}}, "nine"),
    ({"o": {}}, "nine"),
    ({"o": 1}, "text"),
    ({"n": {"$eq": 10}}, "ten"),
    ({"o": {"$eq": {"p": {"r": 2, "q": 1}}}}, "nine"),
    ({"o": {"$eq": {"p": {"q": 1}}}}, ""),
    ({"n": {"$ne": 10}}, "nine text none"),
    ({"n": {"$ne": None}}, "ten nine text"),
    ({"n": {"$gt": 9.5}}, "ten"),
    ({"n": {"$gte": 9.5}}, "ten nine"),
    ({"n": {"$lt": 10}}, "nine"),
    ({"n": {"$lte": 1e300}}, "ten nine"),
    ({"n": {"$gt": 9, "$lt": 10}}, "nine"),
    ({"n": {"$gt": "1"}}, "text"),
    ({"s": {"$gt": "a"}}, "ten none"),
    ({"s": {"$lte": "b"}}, "ten nine"),
    ({"at": {"$gte": "2026-02"}}, "ten"),
    ({"t": {"$gte": True}}, ""),
    ({"o": {"p": {"q": {"$lt": 2}}}}, "nine"),
    ({"n": {"$gt": 1}, "s": "b"}, "ten"),
    ({"n": {"$gt": 1}, "s": "c"}, ""),
    ({"l": {"0": 1}}, ""),
    ({"'; drop table store_item; --": 1}, ""),
    ({'"}{': {'\\"': {"$ne": 1}}}, ""),
]


async def test_filters_compare_like_with_like(plane):
    for key, value in reversed(VALUES.items()):
        await put(plane, "a", key, value)
    for wanted, keys in FILTERS:
        assert await found(plane, "a", filter=wanted) == keys.split(), wanted


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"filter": {"n": {"$in": [1]}}}, 400),
        ({"filter": {"n": {"$gt": 1, "x": 1}}}, 400),
        ({"filter": {str(n): n for n in range(101)}}, 422),
        ({"filter": []}, 422),
        ({"limit": 0}, 422),
        ({"limit": 1001}, 422),
        ({"offset": -1}, 422),
        ({"query": "x" * 16_385}, 422),
        ({"query": 3}, 422),
        ({"namespace_prefix": ["a"] * 65}, 422),
    ],
)
async def test_what_can_not_be_searched_is_refused(plane, body, status):
    assert (await plane.post("/store/items/search", body)).status == status


TEXTS = {
    "tea": {"likes": ["green tea", "biscuits"]},
    "run": {"note": "She was running in the rain", "n": 42},
    "haus": {"note": "Das Haus am See, größer als gedacht"},
    "кот": {"note": "Кошка спит"},
}
QUERIES = [
    ("tea", ["tea"]),
    ("TEA biscuit", ["tea"]),
    ("runs", ["run"]),
    ("42", ["run"]),
    ("größer", ["haus"]),
    ("кошка", ["кот"]),
    ("Which drinks does she like with green tea?", ["tea"]),
    ('"green tea"', ["tea"]),
    ('"tea green"', []),
    ("tea -biscuits", []),
    ("rain -biscuits", ["run"]),
    ('rain -"green tea"', ["run"]),
    ("größer -кошка", ["haus"]),
    ("the", []),
    ("likes", []),
    ("'; :*&|!()<->", []),
    (f"tea\n{'-' * 80}\n", ["tea"]),
    ("-( " * 80, []),
]


async def test_words_are_found_in_values(plane):
    for key, value in TEXTS.items():
        await put(plane, "a", key, value)
    for query, keys in QUERIES:
        assert await found(plane, "a", query=query) == keys, query
    assert len(await found(plane, "a", query="")) == len(TEXTS)


async def test_the_best_come_first_with_a_score(plane):
    for words in ("tea", "tea milk", "tea milk sugar", "water"):
        await put(plane, "a", words, {"text": words})
    items = await search(plane, "a", query="sugar milk tea")
    assert [item["key"] for item in items] == ["tea milk sugar", "tea milk", "tea"]
    scores = [item["score"] for item in items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert await found(plane, "a", query="tea", filter={"text": "tea milk"}) == ["tea milk"]
    assert len(await found(plane, "a", query="tea", limit=1, offset=1)) == 1


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (None, "title one two deep"),
        (["$"], "title one two deep"),
        (False, ""),
        ([], ""),
        (["t"], "title"),
        (["parts[*].text"], "one two"),
        (["parts[0].text"], "one"),
        (["parts[-1].text"], "two"),
        (["o.p"], "deep"),
        (["o.*"], "deep"),
        (["t", "o"], "title deep"),
        (["missing", "parts.text"], "one two"),
        (['"t"', '$."t"', "t\\", "'t'", "parts[9].text", "é t"], ""),
    ],
)
async def test_only_indexed_paths_are_found(plane, index, words):
    value = {"t": "title", "parts": [{"text": "one"}, {"text": "two"}], "o": {"p": ["deep"]}}
    await put(plane, "a", KEY, value, index=index)
    every = ["title", "one", "two", "deep"]
    assert [word for word in every if await found(plane, "a", query=word)] == words.split()


async def test_a_long_text_is_found_by_its_beginning(plane):
    words = [f"w{n:x}" for n in range(120_000)]
    await put(plane, "a", KEY, {"text": " ".join(words)})
    assert await found(plane, "a", query=words[9]) == [KEY]
    assert await found(plane, "a", query=words[-1]) == []


@pytest.mark.parametrize("index", [["$"] * 100, ["a[*]"] * 100])
async def test_a_value_of_many_parts_is_indexed_in_time(connection, index):
    value = b'{"a": [%b1]}' % (b"1," * 500_000)
    await connection.execute("set statement_timeout = '10s'")
    paths = [store._jsonpath(each) for each in index]
    item = (pg.DEFAULT_ORGANIZATION, ".a.", KEY, value.decode(), paths, None, None)
    assert await connection.execute(store.PUT, *item) == "INSERT 0 1"


NAMESPACES = ("a.b.c", "a.b.d", "a.x.c", "a-b", "b.c", "b")


async def test_namespaces_are_listed_once_in_order(plane):
    for namespace in NAMESPACES:
        for key in "12":
            await put(plane, namespace, key, {})
    assert sorted(await namespaces(plane)) == sorted(NAMESPACES)
    assert await namespaces(plane, prefix=["a"]) == ["a.b.c", "a.b.d", "a.x.c"]
    assert await namespaces(plane, prefix=["a", "*", "c"]) == ["a.b.c", "a.x.c"]
    assert await namespaces(plane, prefix=["*", "c"]) == ["b.c"]
    assert await namespaces(plane, suffix=["c"]) == ["a.b.c", "a.x.c", "b.c"]
    assert await namespaces(plane, suffix=["*", "c"]) == ["a.b.c", "a.x.c", "b.c"]
    assert await namespaces(plane, suffix=["b", "*"]) == ["a.b.c", "a.b.d", "b.c"]
    assert await namespaces(plane, prefix=["a"], suffix=["d"]) == ["a.b.d"]
    assert await namespaces(plane, prefix=["a"], max_depth=2) == ["a.b", "a.x"]
    assert await namespaces(plane, suffix=["d"], max_depth=1) == ["a"]
    assert await namespaces(plane, prefix=["a", "*", "d"], max_depth=2) == ["a.b"]
    assert sorted(await namespaces(plane, max_depth=1)) == ["a", "a-b", "b"]
    assert sorted(await namespaces(plane, max_depth=9)) == sorted(NAMESPACES)
    assert await namespaces(plane, prefix=["a"], limit=1, offset=1) == ["a.b.d"]
    assert await namespaces(plane, prefix=["nope"]) == []


async def expiry(connection, key=KEY):
    sql = "select expires_at from store_item where key = $1"
    return await connection.fetchval(sql, key)


async def expire(connection):
    await connection.execute("update store_item set expires_at = now() - interval '1 s'")


async def test_what_has_expired_is_not_there(plane, connection):
    await put(plane, "a", KEY, {"text": "tea"}, ttl=1)
    before = await connection.fetchval("select created_at from store_item")
    await expire(connection)
    assert await get(plane, "a", KEY) is None
    assert await search(plane, "a") == []
    assert await search(plane, "a", query="tea") == []
    assert await namespaces(plane) == []
    await put(plane, "a", KEY, {}, ttl=60)
    assert await connection.fetchval("select created_at from store_item") > before


async def test_a_sweep_erases_what_has_expired(plane, connection, database_url):
    await put(plane, "a", "kept", {}, ttl=5)
    await put(plane, "a", "eternal", {})
    await put(plane, "a", KEY, {}, ttl=0.5)
    await connection.execute("update store_item set expires_at = now() where key = $1", KEY)
    pool = await pg.open_pool(database_url, "duragraph_engine", size=1)
    async with pg.acquire(pool) as engine:
        await store.forget(engine)
    await pool.close()
    rows = await connection.fetch("select key from store_item order by key")
    assert [row["key"] for row in rows] == ["eternal", "kept"]


@pytest.mark.parametrize("read", ["get", "search", "find"])
@pytest.mark.parametrize("refresh", [None, True, False])
async def test_a_read_gives_the_time_to_live_anew(plane, connection, read, refresh):
    await put(plane, "a", KEY, {"text": "tea"}, ttl=5)
    await put(plane, "a", "eternal", {"text": "tea"})
    before = await expiry(connection)
    if read == "get":
        query = {} if refresh is None else {"refresh_ttl": str(refresh).lower()}
        assert await get(plane, "a", KEY, **query)
    else:
        fields = {} if read == "search" else {"query": "tea"}
        assert len(await search(plane, "a", refresh_ttl=refresh, **fields)) == 2
    assert (await expiry(connection) > before) is (refresh is not False)
    assert await expiry(connection, "eternal") is None


async def test_a_put_without_a_time_to_live_ends_it(plane, connection):
    await put(plane, "a", KEY, {}, ttl=5)
    await put(plane, "a", KEY, {})
    assert await expiry(connection) is None


MANY = """
insert into store_item (organization_id, path, key, value)
select $1, '.users.u' || n % 10000 || '.', 'k' || n, '{}' from generate_series(1, 100000) n
"""


async def test_a_namespace_among_a_hundred_thousand_items_is_read_alone(connection, database_url):
    """By the buffers that the plans touch: as many as the namespace has items, and a few."""
    await connection.execute(MANY, pg.DEFAULT_ORGANIZATION)
    pool = await pg.open_pool(database_url, "duragraph_api", size=1)
    async with pg.tenant(pool, pg.DEFAULT_ORGANIZATION) as conn:
        under = (pg.DEFAULT_ORGANIZATION, ".users.u77.", ".users.u77/")
        for sql, arguments in (
            (store.LIST, (*under, b"[]", 10, 0)),
            (store.FIND, (*under, b"[]", 10, 0, "tea")),
            (store.NAMESPACES, (*under, ["users", "u77"], [], None, 10, 0)),
        ):
            (plan,) = await conn.fetchrow(
                f"explain (analyze, buffers, format json) {sql}", *arguments
            )
            touched = buffers(plan)
            assert touched < 60, sql
    await pool.close()


def buffers(plan):
    (top,) = msgspec.json.decode(plan)
    return top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"]


@pytest.mark.parametrize("query", [None, "tea"])
async def test_a_search_finds_so_much(plane, monkeypatch, query):
    monkeypatch.setattr(store, "SEARCH_BYTES", 5000)
    for n in range(30):
        await put(plane, "a", str(n), {"text": "tea" + " " * 290})
    assert len(await found(plane, "a", query=query, limit=16)) == 16
    answer = await plane.post("/store/items/search", {"query": query, "limit": 17})
    assert (answer.status, answer.json["code"]) == (413, "too_large")


@pytest.mark.parametrize("fields", [{"filter": {"a": 1}}, {"query": "tea"}])
async def test_a_search_has_so_long(plane, connection, monkeypatch, fields):
    await connection.execute(MANY, pg.DEFAULT_ORGANIZATION)
    monkeypatch.setattr(store, "BOUND", "set local statement_timeout = '1ms'")
    answer = await plane.post("/store/items/search", fields)
    assert answer.status == 503
    assert (await plane.post("/store/namespaces", {"suffix": ["nope"]})).status == 503
    monkeypatch.undo()
    assert (await plane.post("/store/items/search", fields)).status == 200


async def test_a_vector_finds_the_nearest_first(plane):
    for key, vectors in {
        "far": [[0, 1], [-1, 0]],
        "near": [[0, 1], [3, 0.1]],
        "same": [[2, 0]],
    }.items():
        await put(plane, "a", key, {"of": key}, vectors=vectors)
    await put(plane, "a", "none", {})
    await put(plane, "a", "another model's", {}, vectors=[[1, 0, 0]])
    items = await search(plane, "a", vector=[0.5, 0])
    assert [item["key"] for item in items] == ["same", "near", "far"]
    assert [item["score"] for item in items] == pytest.approx([1, 0.99944, 0], abs=1e-4)
    assert await found(plane, "a", vector=[1, 0], limit=1, offset=1) == ["near"]
    assert await found(plane, "a", vector=[1, 0], filter={"of": "far"}) == ["far"]
    assert await found(plane, "b", vector=[1, 0]) == []


async def test_vectors_are_those_of_the_last_put(plane):
    await put(plane, "a", KEY, {}, vectors=[[1, 0]])
    await put(plane, "a", KEY, {})
    assert await found(plane, "a", vector=[1, 0]) == []
    await put(plane, "a", KEY, {}, vectors=[])
    assert await found(plane, "a", vector=[1, 0]) == []


@pytest.mark.parametrize("vector", [[0, 0], [1e308, 1e308], [5e-324, 0]])
async def test_a_vector_may_be_any_numbers(plane, vector):
    await put(plane, "a", KEY, {}, vectors=[vector])
    (item,) = await search(plane, "a", vector=vector)
    assert 0 <= item["score"] <= 1.001


@pytest.mark.parametrize("vectors", [[[1, 2], [1]], [[]], [["a"]], [[0] * 4097], [[1]] * 101])
async def test_what_can_be_no_vectors_is_refused(plane, vectors):
    item = {"namespace": ["a"], "key": KEY, "value": {}, "vectors": vectors}
    assert (await plane.call("PUT", "/store/items", item)).status == 422


async def test_a_search_is_by_words_or_by_a_vector(plane):
    body = {"namespace_prefix": ["a"], "query": "tea", "vector": [1]}
    assert (await plane.post("/store/items/search", body)).status == 422
