"""Clients that send anything, at any speed, and leave at any time."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(30)

IN_TIME = 5
UNKNOWN = "22222222-2222-2222-2222-222222222222"


@contextlib.asynccontextmanager
async def connected(plane):
    """A connection of our own, to break HTTP on."""
    address = urlsplit(plane.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(line, *headers, body=b""):
    """Bytes of a request; `line` and `headers` are sent as they are."""
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([line + b" HTTP/1.1", b"host: x", *headers, length, b"", body])


async def answer(reader):
    """The next response's status, headers and body, which must have a length."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IN_TIME)
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {k.lower(): v for k, _, v in (h.partition(": ") for h in lines)}
    body = await asyncio.wait_for(
        reader.readexactly(int(headers.get("content-length", 0))), IN_TIME
    )
    return int(line.split()[1]), headers, body


RUN = msgspec.json.encode({"assistant_id": "g", "input": {}})
SEARCH = b"POST /threads/search"

RAW = {
    "an endless header": (request(b"GET /ok", b"a: " + b"a" * 100_000), {400, 431}),
    "an endless path": (request(b"GET /" + b"a" * 100_000), {400, 414}),
    "an endless query": (request(b"GET /ok?a=" + b"a" * 100_000), {400, 414}),
    "a query of many keys": (
        request(b"GET /ok?" + b"&".join(b"a=%d" % n for n in range(800))),
        {200},
    ),
    "an unknown method": (request(b"BREW /threads"), {400, 405}),
    "a method of another verb": (request(b"PATCH /threads/search"), {405}),
    "bytes in the path": (request(b"GET /threads/%ff%fe"), {404, 422}),
    "bytes in the query": (
        request(b"GET /threads/" + UNKNOWN.encode() + b"/runs?status=%ff"),
        {200, 404, 422},
    ),
    "bytes as request id": (
        request(b"POST /runs", b"x-request-id: \xff\xfe", body=RUN),
        {200, 422},
    ),
    "a control as request id": (
        request(b"POST /runs", b"x-request-id: a\x01b", body=RUN),
        {200, 400},
    ),
    "a long request id": (
        request(b"POST /runs", b"x-request-id: " + b"a" * 8000, body=RUN),
        {200, 400},
    ),
    "a request id that breaks the line": (
        request(b"GET /nowhere", b"x-request-id: a\rb: c"),
        {400},
    ),
    "bytes as origin": (request(b"GET /ok", b"origin: \xff"), {200}),
    "bytes in a preflight": (
        request(b"OPTIONS /runs", b"origin: x", b"access-control-request-headers: \xff"),
        {200},
    ),
    "a negative length": (
        b"POST /threads HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        {400},
    ),
    "two lengths": (request(b"POST /threads", b"content-length: 5"), {400}),
    "a length and chunks": (
        request(b"POST /threads", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
        {400},
    ),
    "a body said to be gzip": (
        request(b"POST /threads", b"content-encoding: gzip", body=b"{}"),
        {400, 415, 422},
    ),
    "a GET with a body": (request(b"GET /ok", body=b"{}"), {200}),
    "a key of bytes": (request(b"GET /ok", b"x-api-key: \xff"), {200}),
    "an offset beyond integers": (request(SEARCH, body=b'{"offset":%d}' % (1 << 63)), {422}),
    "the last offset": (request(SEARCH, body=b'{"offset":%d}' % (2**31 - 1)), {200}),
    "a limit beyond integers": (request(SEARCH, body=b'{"limit":%d}' % (1 << 70)), {422}),
    "many keys": (
        request(
            SEARCH, body=b'{"metadata":{%s}}' % b",".join(b'"%d":1' % n for n in range(50_000))
        ),
        {200},
    ),
    "one key many times": (
        request(SEARCH, body=b'{"limit":1%s}' % (b',"limit":1' * 10_000)),
        {200},
    ),
    "many ids": (
        request(SEARCH, body=b'{"ids":[%s]}' % b",".join([b'"%s"' % UNKNOWN.encode()] * 1001)),
        {422},
    ),
    "an id in other digits": (
        request(
            b"POST /threads",
            body=b'{"thread_id":"%s-1111-1111-1111-111111111111"}' % ("\u0661" * 8).encode(),
        ),
        {422},
    ),
    "an id with a newline": (
        request(b"POST /threads", body=b'{"thread_id":"11111111-1111-1111-1111-111111111111\\n"}'),
        {422},
    ),
    "a graph of bidirectional marks": (
        request(b"POST /runs", body=b'{"assistant_id":"g\\u202e"}'),
        {422},
    ),
    "a graph with a NUL": (request(b"POST /runs", body=b'{"assistant_id":"g\\u0000"}'), {422}),
    "an endless graph": (
        request(b"POST /assistants", body=b'{"graph_id":"%s"}' % (b"g" * 100_000)),
        {404, 422},
    ),
    "stream modes by the thousand": (
        request(
            b"POST /runs",
            body=b'{"assistant_id":"g","stream_mode":[%s"values"]}' % (b'"values",' * 5000),
        ),
        {200},
    ),
    "negative patience": (
        request(b"POST /runs", body=b'{"assistant_id":"g","after_seconds":-1}'),
        {422},
    ),
    "endless patience": (
        request(b"POST /runs", body=b'{"assistant_id":"g","after_seconds":1e300}'),
        {422},
    ),
    "a century's patience": (
        request(b"POST /runs", body=b'{"assistant_id":"g","after_seconds":1e9}'),
        {200},
    ),
    "a bad id to be made": (
        request(b"POST /threads/nope/runs", body=b'{"assistant_id":"g","if_not_exists":"create"}'),
        {422},
    ),
    "a recursion limit beyond integers": (
        request(
            b"POST /runs", body=b'{"assistant_id":"g","config":{"recursion_limit":99999999999}}'
        ),
        {422},
    ),
    "a checkpoint that is no text": (
        request(
            b"POST /runs",
            body=b'{"assistant_id":"g","config":{"configurable":{"checkpoint_id":{"a":1}}}}',
        ),
        {422},
    ),
}


async def test_raw_requests_get_their_answer(plane, database_url):
    await plane.worker("g")
    wrong = []
    for what, (sent, expected) in RAW.items():
        async with connected(plane) as (reader, writer):
            writer.write(sent)
            try:
                status, _, body = await answer(reader)
            except (EOFError, TimeoutError) as error:
                status, body = repr(error), b""
        if status not in expected:
            wrong.append((what, status, body[:150]))
        if (await plane.get("/ok?check_db=1")).status != 200:
            wrong.append((what, "dead"))
    assert not wrong, "\n".join(map(str, wrong))
    await audit(database_url)


async def test_pipelined_requests_are_answered_in_order(plane):
    async with connected(plane) as (reader, writer):
        writer.write(request(b"GET /ok") + request(b"GET /nowhere") + request(b"HEAD /info"))
        writer.write(request(b"GET /info"))
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 404
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IN_TIME)
        assert head.startswith(b"HTTP/1.1 200")
        status, _, body = await answer(reader)
        assert status == 200
        assert msgspec.json.decode(body)["version"]


async def test_head_of_what_is_answered_bit_by_bit_is_refused(plane):
    for verb in ("stream", "join"):
        async with connected(plane) as (reader, writer):
            path = f"/threads/{UNKNOWN}/runs/{UNKNOWN}/{verb}".encode()
            writer.write(request(b"HEAD " + path) + request(b"GET /ok"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IN_TIME)
            assert head.startswith(b"HTTP/1.1 405"), head
            assert (await answer(reader))[0] == 200


async def test_a_body_that_trickles_in_is_not_waited_for_for_ever(plane, monkeypatch):
    monkeypatch.setattr("duragraph.api.io.BODY_SECONDS", 0.05)
    async with connected(plane) as (reader, writer):
        writer.write(b"POST /threads HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert (await answer(reader))[0] == 408


async def test_a_client_that_leaves_a_stream_ends_its_run_if_it_said_so(plane, database_url):
    hand = await plane.worker("g")
    for path in ("/runs/stream", "/runs/wait"):
        async with connected(plane) as (reader, writer):
            body = msgspec.json.encode({"assistant_id": "g", "on_disconnect": "cancel"})
            writer.write(request(f"POST {path}".encode(), body=body))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IN_TIME)
            task = await asyncio.wait_for(hand.task(), IN_TIME)
        control = (await asyncio.wait_for(hand.poll(), IN_TIME)).control
        assert [(c.run_id, c.action) for c in control] == [(task.run_id, "cancel")]
    assert await audit(database_url) == 0


async def test_a_client_that_leaves_while_its_run_is_made_ends_it_too(plane, database_url):
    await plane.worker("g")
    thread = (await plane.post("/threads", {})).json["thread_id"]
    locker = await asyncpg.connect(database_url)
    try:
        async with locker.transaction():
            await locker.execute("select from thread for update")
            async with connected(plane) as (_, writer):
                body = msgspec.json.encode({"assistant_id": "g", "on_disconnect": "cancel"})
                writer.write(request(f"POST /threads/{thread}/runs/stream".encode(), body=body))
                waiting = "select count(*) from pg_locks where not granted"
                while not await locker.fetchval(waiting):
                    pass
        ended = "select count(*) from run where status = 'interrupted'"
        async with asyncio.timeout(IN_TIME):
            while not await locker.fetchval(ended):
                pass
    finally:
        await locker.close()
    assert await audit(database_url) == 0
