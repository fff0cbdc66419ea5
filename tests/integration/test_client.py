import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from duragraph.errors import Conflict, Invalid, NotFound, Unauthorized, Unavailable
from duragraph.protocol import MEDIA_TYPE, Lease, Poll, Report, Verdict, pack
from duragraph_worker.process import client
from duragraph_worker.process.client import Plane

pytestmark = pytest.mark.timeout(20)

ACCEPTED = pack([Verdict("run", 1, "accepted")])


class Door:
    """A plane's address whose answers are written down beforehand, the last one for ever."""

    def __init__(self):
        self.answers: list[Callable[[web.Request], web.StreamResponse]] = []
        self.requests: list[tuple[str, bytes]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, await request.read()))
        return self.answers.pop(0)(request)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door.answer)
    async with TestServer(app) as server:
        door.url = str(server.make_url("/"))
        yield door


def cut(request: web.Request) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


def says(status: int, code: str) -> Callable[[web.Request], web.StreamResponse]:
    return lambda _: web.json_response({"detail": "d", "code": code}, status=status)


def fine(body: bytes) -> Callable[[web.Request], web.StreamResponse]:
    return lambda _: web.Response(body=body, content_type=MEDIA_TYPE)


async def test_a_report_is_repeated_unchanged_until_it_is_answered(door):
    a_proxys = web.Response(status=404, text="<h1>no such page</h1>")
    door.answers = [
        cut,
        says(503, "unavailable"),
        says(429, "busy"),
        lambda _: a_proxys,
        lambda _: web.Response(text="<h1>Welcome!</h1>"),
        fine(ACCEPTED),
    ]
    report = Report("run", 1, 1)
    async with Plane(door.url) as plane:
        assert await plane.report("w", [report]) == [Verdict("run", 1, "accepted")]
    assert door.requests == [("/api/v1/workers/w/report", pack([report]))] * 6


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(404, "not_found", NotFound), (401, "unauthorized", Unauthorized), (422, "invalid", Invalid)],
)
async def test_what_no_repetition_betters_is_raised(door, status, code, error):
    door.answers = [says(status, code)]
    async with Plane(door.url) as plane:
        with pytest.raises(error, match="d"):
            await plane.poll("w", Poll(1, [Lease("run", 1)]))


async def test_a_plane_that_is_not_there_yet_is_waited_for(door, unused_tcp_port):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door.answer)
    door.answers = [fine(ACCEPTED)]
    async with Plane(f"http://127.0.0.1:{unused_tcp_port}") as plane:
        asked = asyncio.create_task(plane.report("w", [Report("run", 1, 1)]))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
        async with TestServer(app, port=unused_tcp_port):
            assert await asked


async def test_the_key_goes_with_every_request(door):
    keys = []
    door.answers = [
        lambda request: keys.append(request.headers["x-api-key"]) or fine(b"{}")(request)
    ]
    async with Plane(door.url, api_key="secret") as plane:
        await plane.drain("w")
    assert keys == ["secret"]


async def test_a_request_of_the_client_api_is_repeated_under_one_key(door):
    keys: list[str | None] = []

    def keyed(then: Callable[[web.Request], web.StreamResponse]):
        def answer(request: web.Request) -> web.StreamResponse:
            keys.append(request.headers.get("idempotency-key"))
            return then(request)

        return answer

    door.answers = [keyed(cut), keyed(says(503, "unavailable")), keyed(fine(b'{"a":1}'))]
    async with Plane(door.url) as plane:
        answer = await plane.request("w", "POST", "/store/items/search?x=1", {"query": "é"})
    assert answer == b'{"a":1}'
    assert door.requests == [("/store/items/search", '{"query":"é"}'.encode())] * 3
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(404, "not_found", NotFound), (409, "conflict", Conflict), (422, "invalid", Invalid)],
)
async def test_what_the_client_api_refuses_is_raised(door, status, code, error):
    door.answers = [says(status, code)]
    async with Plane(door.url) as plane:
        with pytest.raises(error):
            await plane.request("w", "DELETE", "/threads/1")


async def test_a_request_of_the_client_api_is_given_up_in_time(door, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.2)
    door.answers = [says(500, "internal")] * 20
    async with Plane(door.url) as plane:
        with pytest.raises(Unavailable, match=r"within 0.2 s .*: d$"):
            await plane.request("w", "PUT", "/store/items", {})
        assert len(door.requests) > 1
        door.answers = [fine(ACCEPTED)]
        assert await plane.report("w", [Report("run", 1, 1)])


async def test_an_answer_without_a_body_is_empty(door):
    door.answers = [lambda _: web.Response(status=204)]
    async with Plane(door.url) as plane:
        assert await plane.request("w", "PUT", "/store/items", {}) == b""
