"""The table of `docs/errors.md`, row by row: each bad input gets its answer, all is well after."""

import re
from pathlib import Path

import msgspec
import pytest

from duragraph.ids import system_assistant_id

DOCS = Path(__file__).parents[2] / "docs/errors.md"
KEY = {"x-api-key": "secret"}
MAX_BODY, MAX_DEPTH = 4096, 40
TAKEN, UNKNOWN = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
USED = "used"
BUSY = "33333333-3333-3333-3333-333333333333"
THREADS, RUNS, SEARCH = "/threads", "/runs", "/threads/search"
ITEMS, STORE = "/store/items", "/store/items/search"
ITEM = {"namespace": ["a"], "key": "k", "value": {}}
CRONS, CRON = "/runs/crons", {"assistant_id": "g", "schedule": "@daily"}


def post(path, body, **options):
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return "POST", path, {"data": data} | options


def put(path, body):
    return "PUT", path, {"data": msgspec.json.encode(body)}


INPUTS = {
    "malformed JSON": post(THREADS, b'{"metadata":'),
    "an empty body": post(THREADS, b""),
    "bytes that are not UTF-8": post(THREADS, b'{"metadata":{"a":"\xff"}}'),
    "arrays or objects nested deeper than `DURAGRAPH_MAX_DEPTH`": post(
        THREADS, b'{"metadata":{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}}"
    ),
    "`NaN` or `Infinity`": post(THREADS, b'{"metadata":{"a":NaN}}'),
    "a number beyond any float": post(THREADS, b'{"metadata":{"a":1e999}}'),
    "a body over `DURAGRAPH_MAX_BODY_BYTES`": post(THREADS, {"metadata": {"a": "x" * MAX_BODY}}),
    "NUL in a string": post(THREADS, b'{"metadata":{"a":"\\u0000"}}'),
    "NUL in a query parameter": ("GET", f"/threads/{TAKEN}/runs?status=%00", {}),
    "half of a surrogate pair": post(THREADS, b'{"metadata":{"a":"\\ud800"}}'),
    "an unknown key": post(THREADS, {"unheard": "of"}),
    "a missing key": post("/assistants", {}),
    "a value of the wrong type": post(THREADS, {"metadata": "text"}),
    "`null` for an object": post(THREADS, {"metadata": None}),
    "a value outside its choices": post(THREADS, {"if_exists": "maybe"}),
    "a limit of 0": post(SEARCH, {"limit": 0}),
    "a limit over 1000": post(SEARCH, {"limit": 1001}),
    "an id in a path that is no UUID": ("GET", "/threads/nope", {}),
    "an id in a body that is no UUID": post(THREADS, {"thread_id": "nope"}),
    "a query parameter of the wrong type": ("GET", f"/threads/{TAKEN}/history?limit=abc", {}),
    "a webhook to an address of one's own": post(
        RUNS, {"assistant_id": "g", "webhook": "http://169.254.169.254/"}
    ),
    "a webhook without a host": post(RUNS, {"assistant_id": "g", "webhook": "/elsewhere"}),
    "a cron schedule that is none": post(CRONS, CRON | {"schedule": "whenever"}),
    "a cron schedule that is never due": post(CRONS, CRON | {"schedule": "0 0 31 2 *"}),
    "an unknown time zone": post(CRONS, CRON | {"timezone": "Atlantis"}),
    "an `end_time` beyond the calendar": post(
        CRONS, CRON | {"end_time": "0001-01-01T00:00:00+12:00"}
    ),
    "a change of a cron that changes nothing": ("PATCH", f"{CRONS}/{UNKNOWN}", {"data": b"{}"}),
    "a store namespace with a dot in a label": post(STORE, {"namespace_prefix": ["a.b"]}),
    "a store item without a namespace": put(ITEMS, ITEM | {"namespace": []}),
    "a store key over 1024 bytes": put(ITEMS, ITEM | {"key": "k" * 1025}),
    "a store filter with an unknown operator": post(STORE, {"filter": {"a": {"$in": [1]}}}),
    "both `configurable` and `context`": post(
        RUNS, {"assistant_id": "g", "context": {"a": 1}, "config": {"configurable": {"a": 1}}}
    ),
    "`resume` without a thread": post(RUNS, {"assistant_id": "g", "command": {"resume": 1}}),
    "a state update of a thread without a graph": post(f"/threads/{TAKEN}/state", {"values": {}}),
    "a mode that a thread's stream does not have": (
        "GET",
        f"/threads/{TAKEN}/stream?stream_mode=values",
        {},
    ),
    "a `Last-Event-ID` that no thread's stream can have": (
        "GET",
        f"/threads/{TAKEN}/stream",
        {"headers": {"Last-Event-ID": "zzz"}},
    ),
    "a channel that thread events do not have": post(
        f"/threads/{TAKEN}/stream/events", {"channels": ["nope"]}
    ),
    "what is no command of the event-streaming protocol": post(
        f"/threads/{TAKEN}/commands", {"id": 1}
    ),
    "no API key where one is needed": post(SEARCH, {}, headers={"x-api-key": ""}),
    "a wrong API key": post(SEARCH, {}, headers={"x-api-key": "guess"}),
    "an unknown path": ("GET", "/nowhere", {}),
    "an unknown thread": ("GET", f"/threads/{UNKNOWN}", {}),
    "an unknown run": ("GET", f"/threads/{TAKEN}/runs/{UNKNOWN}", {}),
    "an unknown assistant": post(RUNS, {"assistant_id": UNKNOWN}),
    "an assistant of an unknown graph": post("/assistants", {"graph_id": "nope"}),
    "a run of an unknown graph": post(RUNS, {"assistant_id": "nope"}),
    "an unknown worker": post(
        f"/workers/{UNKNOWN}/poll", msgspec.msgpack.encode({"slots": 1, "active": []})
    ),
    "a wrong method": ("PUT", "/threads", {}),
    "an id that is taken": post(THREADS, {"thread_id": TAKEN}),
    "a run on a busy thread under `reject`": post(
        f"/threads/{BUSY}/runs", {"assistant_id": "g", "multitask_strategy": "reject"}
    ),
    "a state update of a busy thread": post(f"/threads/{BUSY}/state", {"values": {}}),
    "a signal without a name": post(f"/threads/{BUSY}/signals", {"value": 1}),
    "a signal to a thread without an open run": post(f"/threads/{TAKEN}/signals", {"name": "go"}),
    "a copy of an unknown thread": post(f"/threads/{UNKNOWN}/copy", b""),
    "an `extract` of what a thread has not": post(SEARCH, {"extract": {"a": "status"}}),
    "a time to live of 0": post(THREADS, {"ttl": {"ttl": 0}}),
    "supersteps without a graph": post(THREADS, {"supersteps": [{"updates": []}]}),
    "an empty batch of runs": post(f"{RUNS}/batch", []),
    "a cancel of many that names both a status and runs": post(
        f"{RUNS}/cancel", {"status": "all", "thread_id": BUSY, "run_ids": []}
    ),
    "a cancel of many where nothing runs": post(
        f"{RUNS}/cancel", {"thread_id": TAKEN, "run_ids": [UNKNOWN]}
    ),
    "a version that an assistant never had": post(
        f"/assistants/{system_assistant_id('g')}/latest", {"version": 9}
    ),
    "an `Idempotency-Key` over 255 characters": post(
        THREADS, {}, headers={"Idempotency-Key": "k" * 256}
    ),
    "an `Idempotency-Key` of another request": post(THREADS, {}, headers={"Idempotency-Key": USED}),
    "what is no JSON-RPC message, at `/mcp`": post("/mcp", b"[]"),
    "what is no JSON-RPC message, at `/a2a/…`": post("/a2a/g", b"[]"),
    "a worker's message that is no msgpack": post("/workers", b"\xc1"),
    "a worker's message of another shape": post("/workers", msgspec.msgpack.encode([1])),
}


def rows():
    """`{input: (status, code)}` as the docs have it."""
    table = DOCS.read_text().partition("| input |")[2]
    found = re.findall(r"^\| (.+?) \| (\d+).*? \| (\w*) ?\|$", table, re.MULTILINE)
    return {given: (int(status), code) for given, status, code in found}


@pytest.fixture
async def guarded(start_plane):
    plane = await start_plane(api_keys=("secret",), max_body_bytes=MAX_BODY, max_depth=MAX_DEPTH)
    plane.http.headers.update(KEY)
    await plane.worker("g")
    await plane.post(THREADS, {"thread_id": TAKEN})
    busy = {"assistant_id": "g", "if_not_exists": "create"}
    assert (await plane.post(f"/threads/{BUSY}/runs", busy)).status == 200
    await plane.post(THREADS, {"metadata": {"a": 1}}, headers={"Idempotency-Key": USED})
    return plane


def test_the_docs_list_what_is_tested():
    assert list(rows()) == list(INPUTS)


async def test_each_bad_input_gets_its_answer(guarded):
    for given, (status, code) in rows().items():
        method, path, options = INPUTS[given]
        answer = await guarded.call(method, path, **options)
        assert answer.status == status, (given, answer.body)
        if code:
            assert answer.json["code"] == code, (given, answer.body)
            assert answer.json.keys() <= {"detail", "code", "hint"}
            assert not re.search(rb"Traceback|select |\.py\b|asyncpg", answer.body), answer.body
        assert (await guarded.get("/ok?check_db=1")).status == 200, given


async def test_what_text_can_not_hold_is_replaced(guarded):
    for given in ("NUL in a string", "half of a surrogate pair"):
        method, path, options = INPUTS[given]
        made = (await guarded.call(method, path, **options)).json
        stored = (await guarded.get(f"/threads/{made['thread_id']}")).json
        assert stored["metadata"] == {"a": "\ufffd"}
