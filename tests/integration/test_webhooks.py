"""Webhooks: owed by every way a run ends, delivered at least once, to addresses that may be."""

import asyncio
import base64
import os
import socket
import sys
from contextlib import asynccontextmanager
from ipaddress import ip_network
from uuid import UUID

import attrs
import msgspec
import pytest
import stamina
from aiohttp import web
from standardwebhooks import Webhook

from duragraph import codec, ids, pg, webhooks
from duragraph.pg import reaping
from duragraph.pg import webhooks as deliveries
from duragraph.protocol import ChannelWrite, Checkpoint, Outcome, Write

LOOPBACK = (ip_network("127.0.0.0/8"),)
SECRETS = (b"a secret of thirty-two bytes....", b"another secret of enough bytes..")
SERVE = [sys.executable, "-m", "duragraph", "serve", "--port", "0"]


@attrs.frozen
class Post:
    """What a receiver got; it answers what is put into `answer`."""

    headers: dict
    body: bytes
    answer: asyncio.Future

    @property
    def json(self):
        return msgspec.json.decode(self.body)

    @property
    def id(self):
        return self.headers["webhook-id"]


@attrs.frozen
class Receiver:
    url: str
    posts: asyncio.Queue

    async def next(self):
        async with asyncio.timeout(20):
            return await self.posts.get()

    async def accept(self):
        post = await self.next()
        post.answer.set_result(web.Response())
        return post


@asynccontextmanager
async def listening():
    """A receiver that answers as each post's `answer` says, whenever it says so."""
    posts, answers = asyncio.Queue(), []

    async def received(request):
        post = Post(dict(request.headers), await request.read(), asyncio.Future())
        answers.append(post.answer)
        await posts.put(post)
        answer = await post.answer
        return await answer(request) if callable(answer) else answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", received)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Receiver(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", posts)
    finally:
        for answer in answers:
            answer.cancel()
        await runner.cleanup()


@pytest.fixture
async def receiver():
    async with listening() as receiver:
        yield receiver


@pytest.fixture
async def plane(start_plane, monkeypatch):
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.05)
    return await start_plane(webhook_networks=LOOPBACK, webhook_secrets=SECRETS)


@pytest.fixture
async def engine(database_url):
    pool = await pg.open_pool(database_url, "duragraph_engine", size=2)
    yield pool
    await pool.close()


async def create(plane, url, path="/runs", **fields):
    body = {"assistant_id": "g", "input": {}, "webhook": url, **fields}
    answer = await plane.post(path, body)
    assert answer.status == 200, answer.body
    return answer.json


async def running(plane, url, **fields):
    """A run that a worker holds: the run, its task and the worker."""
    hand = await plane.worker("g")
    run = await create(plane, url, "/threads/" + await thread(plane) + "/runs", **fields)
    return run, await hand.task(), hand


async def thread(plane):
    return (await plane.post("/threads", {})).json["thread_id"]


@stamina.retry(on=LookupError, attempts=None, timeout=20, wait_initial=0.02, wait_max=0.1)
async def until(connection, condition):
    """Until a delivery is as `condition` says."""
    if not await connection.fetchval(f"select exists ({OWED} {condition})"):
        raise LookupError(condition)


OWED = "select * from webhook_delivery"
HASTEN = "update webhook_delivery set due_at = now() where gave_up_at is null"
OWE = """
insert into webhook_delivery (run_id, organization_id, url, body)
select gen_random_uuid(), $1, $2, '{}' from generate_series(1, $3)
"""


async def owe(connection, url, number=1):
    await connection.execute(OWE, pg.DEFAULT_ORGANIZATION, url, number)


async def claim(connection, limit, *, less=(), per_host=100, max_bytes=1 << 30):
    return await deliveries.claim(
        connection, limit, less=less, per_host=per_host, max_bytes=max_bytes, seconds=30
    )


@stamina.retry(on=LookupError, attempts=None, timeout=20, wait_initial=0.02, wait_max=0.1)
async def nothing_owed(connection):
    if found := await connection.fetch(OWED):
        raise LookupError(found)


async def test_a_run_that_ends_is_told_of_with_its_values(plane, receiver, owner):
    run, task, hand = await running(plane, receiver.url, metadata={"a": 1})
    at = ids.checkpoint_id()
    written = [ChannelWrite("answer", b"42")]
    checkpoint = Checkpoint(at, None, "", "loop", 0, "", [], written, {"answer": at})
    await hand.finish(task, checkpoints=[checkpoint])
    post = await receiver.accept()
    now = (await plane.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}")).json
    told = post.json
    assert post.id == run["run_id"]
    assert post.headers["Content-Type"] == "application/json"
    assert told["values"] == {"answer": 42}
    assert (told["status"], told["error"]) == ("success", None)
    names = now.keys() - {"langsmith_session_name"}
    assert {name: told[name] for name in names} == {name: now[name] for name in names}
    times = "created_at", "run_started_at", "run_ended_at", "webhook_sent_at"
    assert [told[time] for time in times] == sorted(told[time] for time in times)
    await nothing_owed(owner)


async def test_every_secret_signs(plane, receiver):
    _, task, hand = await running(plane, receiver.url)
    await hand.finish(task)
    post = await receiver.accept()
    for secret in SECRETS:
        assert Webhook("whsec_" + base64.b64encode(secret).decode()).verify(post.body, post.headers)
    other = Webhook(base64.b64encode(b"x" * 32).decode())
    with pytest.raises(Exception, match="No matching signature"):
        other.verify(post.body, post.headers)


async def test_without_a_secret_nothing_is_signed(start_plane, receiver):
    plane = await start_plane(webhook_networks=LOOPBACK)
    _, task, hand = await running(plane, receiver.url)
    await hand.finish(task)
    post = await receiver.accept()
    assert post.id == task.run_id
    assert "webhook-signature" not in post.headers


async def cancelled(plane, run, **query):
    path = f"/threads/{run['thread_id']}/runs/{run['run_id']}/cancel"
    assert (await plane.post(path, params=query)).status == 202


async def ends_by_error(plane, engine, run, task, hand):
    outcome = Outcome("error", error=b'{"error":"ValueError","message":"boom"}')
    await hand.report(task, outcome=outcome)
    return "error"


async def ends_by_cancel(plane, engine, run, task, hand):
    await cancelled(plane, run)
    return "interrupted"


async def ends_by_rollback(plane, engine, run, task, hand):
    await cancelled(plane, run, action="rollback")
    return "interrupted"


async def ends_by_a_run_in_its_place(plane, engine, run, task, hand):
    path = f"/threads/{run['thread_id']}/runs"
    body = {"assistant_id": "g", "multitask_strategy": "interrupt"}
    assert (await plane.post(path, body)).status == 200
    return "interrupted"


async def ends_by_deletion(plane, engine, run, task, hand):
    path = f"/threads/{run['thread_id']}/runs/{run['run_id']}"
    assert (await plane.delete(path)).status == 204
    return "interrupted"


async def ends_with_its_thread(plane, engine, run, task, hand):
    assert (await plane.delete(f"/threads/{run['thread_id']}")).status == 204
    return "interrupted"


async def ends_by_the_reaper(plane, engine, run, task, hand):
    async with pg.acquire(engine) as conn:
        (doomed,) = await reaping.doomed(conn, max_attempts=1, timeout_seconds=0)
        await reaping.bury(conn, doomed, codec.dumps({"error": "TimeoutError", "message": "m"}))
    return "timeout"


@pytest.mark.parametrize(
    "end",
    [
        ends_by_error,
        ends_by_cancel,
        ends_by_rollback,
        ends_by_a_run_in_its_place,
        ends_by_deletion,
        ends_with_its_thread,
        ends_by_the_reaper,
    ],
)
async def test_however_a_run_ends_it_is_told_of_once(plane, engine, receiver, owner, end):
    run, task, hand = await running(plane, receiver.url)
    status = await end(plane, engine, run, task, hand)
    post = await receiver.accept()
    assert (post.id, post.json["status"]) == (run["run_id"], status)
    assert (post.json["error"] is not None) is (status in {"error", "timeout"})
    await nothing_owed(owner)
    assert receiver.posts.empty()


async def test_a_run_that_never_started_is_told_of_too(plane, receiver):
    first, *_ = await running(plane, None)
    run = await create(plane, receiver.url, f"/threads/{first['thread_id']}/runs")
    await cancelled(plane, run)
    post = await receiver.accept()
    assert (post.json["status"], post.json["run_started_at"]) == ("interrupted", None)


async def test_a_delivery_stands_with_the_end_or_not_at_all(start_plane, receiver, owner):
    """Seen where no plane delivers: what a fenced worker reports owes nothing."""
    plane = await start_plane()
    url = "https://receiver.invalid/"
    run, task, hand = await running(plane, url)
    stale = attrs.evolve(task, epoch=task.epoch + 1)
    await hand.finish(stale)
    assert await owner.fetch(OWED) == []
    await hand.finish(task)
    row = await owner.fetchrow(OWED)
    assert (str(row["run_id"]), row["url"]) == (run["run_id"], url)


async def test_a_state_that_can_not_be_shown_keeps_no_run_from_its_end(plane, receiver):
    _, task, hand = await running(plane, receiver.url)
    at = ids.checkpoint_id()
    beyond = ChannelWrite("a", b"1e400000")
    verdict = await hand.finish(
        task,
        checkpoints=[Checkpoint(at, None, "", "loop", 0, "", [], [beyond], {"a": at})],
        writes=[Write(at, "", str(UUID(int=0)), result=b'{"b": 1}')],
    )
    assert verdict.verdict == "accepted"
    assert (await receiver.accept()).json["values"] is None


async def test_a_run_without_a_webhook_owes_nothing(plane, owner):
    _, task, hand = await running(plane, None)
    await hand.finish(task)
    assert await owner.fetch(OWED) == []


async def test_a_failed_delivery_is_sent_again_under_its_id(plane, receiver, owner):
    _, task, hand = await running(plane, receiver.url)
    await hand.finish(task)
    seen = []
    for attempt in (1, 2):
        post = await receiver.next()
        seen.append(post.id)
        post.answer.set_result(web.Response(status=500))
        await until(owner, f"where attempt = {attempt} and last_error = 'HTTP 500'")
        assert await owner.fetchval("select due_at > now() from webhook_delivery")
        await owner.execute(HASTEN)
    seen.append((await receiver.accept()).id)
    assert seen == [task.run_id] * 3
    await nothing_owed(owner)


async def test_a_delivery_is_given_up_at_last_and_stays_for_some_days(
    plane, engine, receiver, owner
):
    await owe(owner, receiver.url)
    for _ in range(len(webhooks.RETRY_SECONDS) + 1):
        post = await receiver.next()
        post.answer.set_result(web.Response(status=503))
        await until(owner, "where last_error = 'HTTP 503'")
        await owner.execute(f"{HASTEN.replace(' set ', ' set last_error = null, ')}")
    await until(owner, "where gave_up_at is not null")
    row = await owner.fetchrow(OWED)
    assert row["attempt"] == len(webhooks.RETRY_SECONDS) + 1

    async with pg.acquire(engine) as conn:
        await owner.execute("update webhook_delivery set due_at = now()")
        assert await claim(conn, 10) == []
        await deliveries.forget(conn)
        assert await owner.fetchval("select count(*) from webhook_delivery") == 1
        long_ago = f"gave_up_at = now() - interval '{deliveries.KEPT_DAYS} days 1 s'"
        await owner.execute(f"update webhook_delivery set {long_ago}")
        await deliveries.forget(conn)
    assert await owner.fetch(OWED) == []


async def test_a_redirect_is_not_followed(plane, receiver, owner):
    await owe(owner, receiver.url)
    post = await receiver.next()
    elsewhere = {"Location": receiver.url + "/elsewhere"}
    post.answer.set_result(web.Response(status=307, headers=elsewhere))
    await until(owner, "where last_error = 'HTTP 307'")
    assert receiver.posts.empty()


async def test_a_receiver_that_hangs_stands_in_nobodys_way(plane, receiver, owner):
    async with listening() as hanging:
        await owe(owner, hanging.url, 3 * webhooks.AT_ONCE)
        held = [await hanging.next() for _ in range(webhooks.AT_ONCE_PER_HOST)]
        await owe(owner, receiver.url, 20)
        for _ in range(20):
            await receiver.accept()
        assert not any(post.answer.done() for post in held)
        assert hanging.posts.qsize() < webhooks.AT_ONCE_PER_HOST


async def test_a_receiver_has_so_long_to_answer(start_plane, receiver, owner, monkeypatch):
    monkeypatch.setattr(webhooks, "TRY_SECONDS", 0.2)
    await start_plane(webhook_networks=LOOPBACK)
    await owe(owner, receiver.url)
    await receiver.next()
    await until(owner, "where last_error = 'no answer within 0.2 s'")


async def test_of_a_huge_answer_only_the_head_is_read(plane, receiver, owner):
    await owe(owner, receiver.url)
    post = await receiver.next()
    cut = asyncio.Event()

    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except (ConnectionError, asyncio.CancelledError):
            cut.set()
            raise

    post.answer.set_result(endless)
    await nothing_owed(owner)
    async with asyncio.timeout(20):
        await cut.wait()


async def test_own_addresses_are_refused_at_creation(start_plane):
    plane = await start_plane()
    await plane.worker("g")
    body = {"assistant_id": "g", "webhook": "http://127.0.0.1:9/x"}
    for path in ("/runs", "/runs/wait", "/runs/stream", f"/threads/{await thread(plane)}/runs"):
        answer = await plane.post(path, body)
        assert answer.status == 422
        assert answer.json["detail"] == "Webhook host blocked: loopback IP range"
    batch = await plane.post("/runs/batch", [{"assistant_id": "g"}, body])
    assert batch.status == 422


async def test_a_name_that_leads_home_is_not_followed(start_plane, receiver, owner, monkeypatch):
    """Whatever a name meant before: the address that is connected to is the one that is checked."""
    port = int(receiver.url.rpartition(":")[2].partition("/")[0])
    getaddrinfo = socket.getaddrinfo

    def rebound(host, *arguments, **options):
        leads_home = host in {"rebound.example", b"rebound.example"}
        return getaddrinfo("127.0.0.1" if leads_home else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    plane = await start_plane()
    _, task, hand = await running(plane, f"http://rebound.example:{port}/")
    await hand.finish(task)
    await until(owner, "where last_error like '%127.0.0.1 is not a public address%'")
    assert receiver.posts.empty()


@asynccontextmanager
async def serving(config):
    """A plane that is a process of its own."""
    settings = {
        "DURAGRAPH_DATABASE_URL": config.database_url,
        "DURAGRAPH_NATS_URL": config.nats_url,
        "DURAGRAPH_WEBHOOK_NETWORKS": "127.0.0.0/8",
    }
    process = await asyncio.create_subprocess_exec(*SERVE, env=os.environ | settings)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_plane_killed_at_a_delivery_leaves_it_to_others(
    start_plane, config, receiver, owner
):
    await owe(owner, receiver.url)
    async with serving(config) as process:
        first = await receiver.next()
        process.kill()
        await process.wait()
    await start_plane(webhook_networks=LOOPBACK)
    assert await owner.fetchval("select due_at > now() from webhook_delivery")
    await owner.execute(HASTEN)
    second = await receiver.accept()
    assert first.id == second.id
    await nothing_owed(owner)


async def test_two_planes_never_claim_the_same(engine, owner):
    await owe(owner, "https://a.example/", 30)
    await owe(owner, "https://b.example/x", 30)

    async def claimed(conn, less=()):
        found = await claim(conn, 20, less=less, per_host=8)
        return {(each.host, each.run_id) for each in found}

    async with pg.acquire(engine) as one, pg.acquire(engine) as other:
        async with one.transaction():
            first = await claimed(one)
            assert first.isdisjoint(await claimed(other))
        second = await claimed(other)
        assert len(first) == len(second) == 16
        assert first.isdisjoint(second)
        assert {host for host, _ in await claimed(one, ["a.example"])} == {"b.example"}


async def test_a_try_that_lost_its_lease_settles_nothing(engine, owner):
    await owe(owner, "https://a.example/")
    async with pg.acquire(engine) as conn:
        for attempt in (1, 2):
            await owner.execute(HASTEN)
            (claimed,) = await claim(conn, 1)
            assert claimed.attempt == attempt
        await deliveries.failed(conn, claimed.run_id, 1, "late", retry_seconds=None)
    row = await owner.fetchrow(OWED)
    assert (row["last_error"], row["gave_up_at"]) == (None, None)


async def test_a_claim_takes_no_more_than_it_may_hold(engine, owner):
    await owe(owner, "https://a.example/", 10)
    await owner.execute("update webhook_delivery set body = to_json(repeat('x', 9999))")
    size = len('""') + 9999
    async with pg.acquire(engine) as conn:
        for most, number in ((1, 1), (2 * size + 1, 3)):
            assert len(await claim(conn, 10, max_bytes=most)) == number


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.example:8443?x@y", "a.example:8443"),
        ("https://name:password@a.example/", "a.example"),
        ("https://a:b@c@a.example#@d", "a.example"),
        (" https://a.example/", ""),
    ],
)
async def test_a_host_is_known_without_what_is_secret(engine, owner, url, host):
    await owe(owner, url)
    async with pg.acquire(engine) as conn:
        (claimed,) = await claim(conn, 1)
    assert claimed.host == host


async def test_an_answer_that_is_no_http_is_a_failure(plane, owner):
    async def babble(reader, writer):
        writer.write(b"\0\xff what?\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        await owe(owner, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret")
        await until(owner, "where last_error not like '%secret%'")
