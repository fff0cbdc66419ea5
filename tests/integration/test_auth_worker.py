"""Auth handlers, run by a worker: who comes in, who is asked what, and what they see of it.

Each row of ASKED was played on LangGraph's server, 0.16.7, which has no signals, with the same
handlers: the statuses for the owner and for somebody else, and what was asked of them. It often
asks `threads.read` again for what it reads after a change; that is left out.
"""

import asyncio
import uuid

import pytest

from duragraph import pg
from duragraph.deps import DEPS
from duragraph.pg import Limits
from duragraph.protocol import Poll, Polled, Register, Registered
from duragraph.questions import AuthAnswer, AuthSpec
from tests.integration import owned
from tests.integration.owned import Somebody

A, T, C, R = "{assistant_id}", "{thread_id}", "{cron_id}", "{run_id}"
RUN = {"assistant_id": "owned", "input": {}}
CRON = {"assistant_id": "owned", "schedule": "0 0 1 1 *", "input": {}}
READ, SEARCH, RUNS = "threads.read", "threads.search", "threads.create_run"
OF_ASSISTANT = "assistants.read"

ASKED = [
    ("POST", "/threads", {"thread_id": T, "if_exists": "do_nothing"}, 200, 409, "threads.create"),
    ("POST", "/threads/search", {}, 200, 200, SEARCH),
    ("POST", "/threads/count", {}, 200, 200, SEARCH),
    ("GET", f"/threads/{T}", None, 200, 404, READ),
    ("PATCH", f"/threads/{T}", {"metadata": {"z": 1}}, 200, 404, "threads.update"),
    ("GET", f"/threads/{T}/state", None, 200, 404, READ),
    ("POST", f"/threads/{T}/state", {"values": {"secret": 2}}, 200, 404, "threads.update"),
    ("POST", f"/threads/{T}/signals", {"name": "go"}, 409, 404, "threads.update"),
    ("GET", f"/threads/{T}/history", None, 200, 404, READ),
    ("POST", f"/threads/{T}/history", {}, 200, 404, READ),
    ("POST", f"/threads/{T}/copy", None, 200, 409, f"{READ} threads.create"),
    ("GET", f"/threads/{T}/runs", None, 200, 404, READ),
    ("POST", f"/threads/{T}/runs", RUN, 200, 404, RUNS),
    ("POST", f"/threads/{T}/runs", RUN | {"if_not_exists": "create"}, 200, 404, RUNS),
    ("POST", f"/threads/{T}/runs/wait", RUN, 200, 404, RUNS),
    ("POST", f"/threads/{T}/runs/stream", RUN, 200, 404, RUNS),
    ("GET", f"/threads/{T}/runs/{R}", None, 200, 404, READ),
    ("GET", f"/threads/{T}/runs/{R}/join", None, 200, 404, READ),
    ("GET", f"/threads/{T}/runs/{R}/stream", None, 200, 200, READ),
    ("POST", f"/threads/{T}/runs/{R}/cancel", {}, 404, 404, "threads.update"),
    ("POST", "/runs/cancel", {"thread_id": T, "run_ids": [R]}, 404, 404, "threads.update"),
    ("POST", "/runs/cancel", {"status": "all"}, 404, 404, "threads.update"),
    ("POST", "/runs/wait", RUN, 200, 200, RUNS),
    ("POST", "/runs/batch", [RUN, RUN], 200, 200, RUNS),
    ("POST", "/assistants", {"assistant_id": A, "graph_id": "owned", "if_exists": "do_nothing"},
        200, 409, "assistants.create"),
    ("POST", "/assistants/search", {}, 200, 200, "assistants.search"),
    ("POST", "/assistants/count", {}, 200, 200, "assistants.search"),
    ("GET", f"/assistants/{A}", None, 200, 404, OF_ASSISTANT),
    ("GET", "/assistants/owned/graph", None, 404, 404, OF_ASSISTANT),
    ("GET", f"/assistants/{A}/graph", None, 200, 404, OF_ASSISTANT),
    ("GET", f"/assistants/{A}/schemas", None, 200, 404, OF_ASSISTANT),
    ("GET", f"/assistants/{A}/subgraphs", None, 200, 404, OF_ASSISTANT),
    ("PATCH", f"/assistants/{A}", {"name": "mine"}, 200, 404, "assistants.update"),
    ("POST", f"/assistants/{A}/versions", {}, 200, 404, OF_ASSISTANT),
    ("POST", f"/assistants/{A}/latest", {"version": 1}, 200, 404, "assistants.update"),
    ("POST", "/runs/wait", RUN | {"assistant_id": A}, 200, 404, f"{RUNS} {OF_ASSISTANT}"),
    ("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, 200, 200,
        "assistants.search"),
    ("POST", "/runs/crons", CRON, 200, 200, "crons.create"),
    ("POST", "/runs/crons", CRON | {"assistant_id": A}, 200, 404, f"crons.create {OF_ASSISTANT}"),
    ("POST", f"/threads/{T}/runs/crons", CRON, 200, 404, f"crons.create {READ}"),
    ("POST", "/runs/crons/search", {}, 200, 200, f"crons.search {SEARCH}"),
    ("POST", "/runs/crons/search", {"thread_id": T}, 200, 200, f"crons.search {READ}"),
    ("POST", "/runs/crons/count", {}, 200, 200, f"crons.search {SEARCH}"),
    ("GET", f"/runs/crons/{C}", None, 200, 404, "crons.read"),
    ("PATCH", f"/runs/crons/{C}", {"enabled": False}, 200, 404, "crons.update"),
    ("PUT", "/store/items", {"namespace": ["n"], "key": "k", "value": {}}, 204, 204, "store.put"),
    ("GET", "/store/items?namespace=n&key=k", None, 200, 200, "store.get"),
    ("POST", "/store/items/search", {"namespace_prefix": []}, 200, 200, "store.search"),
    ("POST", "/store/namespaces", {}, 200, 200, "store.list_namespaces"),
    ("DELETE", "/store/items", {"namespace": ["n"], "key": "k"}, 204, 204, "store.delete"),
    ("DELETE", f"/threads/{T}/runs/{R}", None, 204, 404, "threads.delete"),
    ("POST", "/threads/prune", {"thread_ids": [T]}, 200, 404, "threads.delete"),
    ("DELETE", f"/runs/crons/{C}", None, 204, 404, "crons.delete"),
    ("DELETE", f"/assistants/{A}", None, 204, 404, "assistants.delete"),
]  # fmt: skip


@pytest.fixture
async def alice(plane):
    owned.asked.clear()
    async with owned.serving(plane.url):
        alice = Somebody(plane, "alice")
        await owned.known(alice)
        yield alice


@pytest.fixture
def bob(plane):
    return Somebody(plane, "bob")


async def test_the_same_is_asked_as_on_the_reference(alice, bob):
    thread_id, assistant_id = str(uuid.uuid4()), str(uuid.uuid4())
    await alice.post("/threads", {"thread_id": thread_id})
    await alice.post("/assistants", {"assistant_id": assistant_id, "graph_id": "owned"})
    cron = (await alice.post("/runs/crons", CRON)).json
    run = (await alice.post(f"/threads/{thread_id}/runs", RUN)).json
    await alice.get(f"/threads/{thread_id}/runs/{run['run_id']}/join")
    ids = {T: thread_id, A: assistant_id, C: cron["cron_id"], R: run["run_id"]}

    def named(given):
        if isinstance(given, dict):
            return {key: named(value) for key, value in given.items()}
        if isinstance(given, list):
            return [named(each) for each in given]
        for name, value in ids.items():
            given = given.replace(name, value) if isinstance(given, str) else given
        return given

    for method, path, body, own, foreign, questions in ASKED:
        for somebody, status in ((bob, foreign), (alice, own)):
            owned.asked.clear()
            answer = await somebody.call(method, named(path), named(body))
            shown = f"{somebody.name}: {method} {path} {body}"
            assert answer.status == status, (shown, answer.body)
            asked = [".".join(each) for each in owned.asked if each[0] != "authenticate"]
            wanted = questions.split()
            if somebody is alice:
                assert [each for each in dict.fromkeys(asked) if each in wanted] == wanted, shown
            else:  # who is refused by the first is not asked the second
                assert asked[0] == wanted[0], shown


async def test_whom_authenticate_refuses_is_told_so_in_its_words(alice, plane):
    nobody = await plane.post("/threads/search", {})
    assert (nobody.status, nobody.json["detail"]) == (401, "who are you?")
    assert nobody.headers["x-who"] == "x"
    teapot = await Somebody(plane, "teapot").post("/threads/search", {})
    assert (teapot.status, teapot.json["detail"]) == (418, "no tea")
    broken = await Somebody(plane, "broken").post("/threads/search", {})
    assert (broken.status, broken.json["detail"]) == (500, "Internal Server Error")
    for path in ("/ok", "/info", "/metrics", "/docs", "/openapi.json"):
        assert (await plane.get(path)).status == 200
    assert (await plane.get("/nowhere")).status == 401


@pytest.mark.parametrize(
    ("handler", "status", "detail"),
    [
        ("refuses", 403, "Forbidden"),
        ("asserts", 403, "not so"),
        ("raises", 409, "no"),
        ("errs", 500, "Internal Server Error"),
        ("babbles", 500, "Auth handler returned invalid result."),
        ("unknown", 500, "owner takes $eq or $contains"),
        ("lonely", 500, "$or takes a list of two objects or more"),
    ],
)
async def test_what_a_handler_says_is_the_answer(alice, handler, status, detail):
    answer = await alice.post("/threads/search", {"metadata": {"handler": handler}})
    assert answer.status == status
    assert detail in answer.json["detail"]
    assert (answer.headers.get("x-why") == "y") is (handler == "raises")
    assert (await alice.post("/threads/count", {})).json == 0


async def test_what_a_handler_makes_of_a_run_must_be_one(alice):
    answer = await alice.post("/runs", RUN | {"metadata": {"handler": "scrambles"}})
    assert answer.status == 500
    assert "Expected `object`" in answer.json["detail"]


async def test_metadata_that_handlers_set_is_kept(alice, bob):
    made = (await alice.post("/threads", {"metadata": {"owner": "bob", "x": 1}})).json
    assert made["metadata"] == {"owner": "alice", "x": 1}
    assistant = (await alice.post("/assistants", {"graph_id": "owned"})).json
    assert assistant["metadata"] == {"owner": "alice"}
    body = RUN | {"on_completion": "keep", "metadata": {"y": 1}}
    run = (await alice.post("/runs", body)).json
    thread = (await alice.get(f"/threads/{run['thread_id']}")).json
    assert thread["metadata"]["owner"] == "alice"
    assert (await bob.get(f"/threads/{run['thread_id']}")).status == 404
    thread_id = str(uuid.uuid4())
    await alice.post(f"/threads/{thread_id}/runs", RUN | {"if_not_exists": "create"})
    assert (await alice.get(f"/threads/{thread_id}")).json["metadata"]["owner"] == "alice"
    cron = (await alice.post("/runs/crons", CRON)).json
    assert cron["metadata"] == {"owner": "alice"}


async def test_a_run_knows_its_user_and_believes_no_other(alice):
    forged = {"langgraph_auth_user": {"identity": "root"}, "langgraph_auth_user_id": "root"}
    for config in ({}, {"configurable": forged}):
        run = (await alice.post("/runs", RUN | {"config": config})).json
        configurable = run["kwargs"]["config"]["configurable"]
        assert configurable["langgraph_auth_user_id"] == "alice"
        assert configurable["langgraph_auth_permissions"] == ["p"]
        assert configurable["langgraph_auth_user"] == {
            "identity": "alice",
            "is_authenticated": True,
            "display_name": "alice",
            "permissions": ["p"],
            "team": "of alice",
        }


async def test_a_cron_runs_in_its_users_name_and_its_threads_are_seen(alice, bob, owner):
    cron = (await alice.post("/runs/crons", CRON | {"on_run_completed": "keep"})).json
    assert cron["user_id"] == "alice"
    await owner.execute("update cron set next_run_date = now()")
    found = []
    async with asyncio.timeout(20):
        while not found:
            body = {"metadata": {"graph_id": "owned"}}
            found = (await alice.post("/threads/search", body)).json
    thread_id = found[0]["thread_id"]
    (run,) = (await alice.get(f"/threads/{thread_id}/runs")).json
    configurable = run["kwargs"]["config"]["configurable"]
    assert configurable["langgraph_auth_user"]["identity"] == "alice"
    assert configurable["cron_id"] == cron["cron_id"]
    assert (await bob.get(f"/threads/{thread_id}")).status == 404


async def test_equal_questions_are_asked_once_and_identities_are_remembered(alice, plane):
    carol = Somebody(plane, "carol")
    owned.asked.clear()
    answers = await asyncio.gather(*(carol.get("/store/items?namespace=n&key=k") for _ in range(9)))
    assert {answer.status for answer in answers} == {200}
    assert owned.asked.count(("authenticate", "carol")) == 1
    assert owned.asked.count(("store", "get")) == 9
    for _ in range(2):
        await plane.get("/threads", headers={"authorization": ""})
    assert owned.asked.count(("authenticate", "")) == 2, "a refusal was remembered"


async def test_a_key_of_one_user_is_not_the_others(alice, bob):
    headers = {"idempotency-key": "k"}
    answers = [
        (await each.post("/threads", {"metadata": {}}, headers=headers)).json
        for each in (alice, alice, bob)
    ]
    assert answers[0] == answers[1]
    assert answers[2]["metadata"]["owner"] == "bob"
    assert answers[2]["thread_id"] != answers[0]["thread_id"]


async def test_a_stream_ends_where_its_thread_is_given_away(alice, bob, plane):
    thread = (await alice.post("/threads", {})).json["thread_id"]
    headers = {"authorization": "Bearer alice"}
    async with plane.http.get(f"/threads/{thread}/stream", headers=headers) as stream:
        assert (await alice.post(f"/threads/{thread}/runs/wait", RUN)).status == 200
        async with asyncio.timeout(10):
            while b"run_done" not in await stream.content.readline():
                pass
        deps = plane.app[DEPS]
        async with deps.engine.acquire() as conn:
            await conn.execute('update thread set metadata = \'{"owner": "bob"}\'')
        secret = RUN | {"input": {"secret": "bob's own"}}
        assert (await bob.post(f"/threads/{thread}/runs/wait", secret)).status == 200
        async with asyncio.timeout(10):
            assert b"bob's own" not in await stream.content.read()


async def test_the_operators_key_is_asked_nothing_and_workers_need_one(start_plane, tmp_path):
    plane = await start_plane(api_keys=("sesame",))
    alice, bob = Somebody(plane, "alice"), Somebody(plane, "bob")
    async with owned.serving(plane.url, api_key="sesame"):
        await owned.known(alice)
        thread = (await alice.post("/threads", {})).json["thread_id"]
        owned.asked.clear()
        found = await plane.get(f"/threads/{thread}", headers={"x-api-key": "sesame"})
        assert found.json["metadata"] == {"owner": "alice"}
        assert owned.asked == []
        assert (await bob.get(f"/threads/{thread}", headers={"x-api-key": "other"})).status == 404
        for path in ("/workers", "/api/v1/workers", f"/workers/{uuid.uuid4()}/answers"):
            assert (await alice.post(path, data=b"")).status == 401


async def test_a_worker_asks_as_itself_where_there_are_no_keys(alice, plane):
    (worker,) = plane.app[DEPS].dispatcher.answering()
    ours = {"x-duragraph-worker": worker.worker.worker_id}
    assert (await plane.post("/threads/search", {}, headers=ours)).status == 200
    for other in (str(uuid.uuid4()), "x", ""):
        answer = await plane.post("/threads/search", {}, headers={"x-duragraph-worker": other})
        assert answer.status == 401


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"user": b"null"},
        {"user": b"{"},
        {"user": b'{"identity":7}'},
        {"user": b'{"identity":"x"}', "filter": b"[]"},
        {"user": b'{"identity":"x"}', "filter": b'"', "status": 7},
        {"user": b'{"identity":"x"}', "changed": {"metadata": b"["}},
    ],
)
async def test_a_worker_that_answers_nonsense_lets_nobody_in(plane, said):
    register = Register("hand", 1, [], auth=AuthSpec(["authorization"], security=b"{"))
    worker = (await plane._message("/workers", register, Registered)).worker_id
    asking = asyncio.create_task(Somebody(plane, "x").post("/threads/search", {}))
    while not asking.done():
        polled = await plane._message(f"/workers/{worker}/poll", Poll(0, []), Polled)
        answers = [AuthAnswer(each.question_id, each.plane_id, **said) for each in polled.questions]
        await plane._message(f"/workers/{worker}/answers", answers, dict)
        await asyncio.wait([asking], timeout=0.1)
    assert (await asking).status == 500
    assert (await plane.get("/openapi.json")).status == 200


async def test_without_handlers_nothing_is_opened_for_users(plane, hand):
    assert (await plane.post("/threads", {})).status == 200
    deps = plane.app[DEPS]
    assert not deps.identities.required
    assert deps.users.get_size() == 0


@pytest.mark.parametrize(
    ("filter", "metadata", "passes"),
    [
        ("{}", "{}", True),
        ('{"a":{"$eq":1}}', '{"a":1.0}', True),
        ('{"a":{"$eq":1}}', '{"a":[1]}', False),
        ('{"a":{"$eq":null}}', "{}", False),
        ('{"a":{"$eq":null}}', '{"a":null}', True),
        ('{"a":{"$eq":{"b":1}}}', '{"a":{"b":1,"c":2}}', False),
        ('{"a":{"$contains":"x"}}', '{"a":["x","y"]}', True),
        ('{"a":{"$contains":["x","z"]}}', '{"a":["x","y"]}', False),
        ('{"a":{"$contains":"x"}}', '{"a":"x"}', False),
        ('{"a":{"$eq":1,"$contains":1}}', '{"a":1}', False),
        ('{"$or":[{"a":{"$eq":1}},{"b":{"$eq":1}}]}', '{"b":1}', True),
        ('{"$or":[{"a":{"$eq":1}},{"b":{"$eq":1}}],"c":{"$eq":1}}', '{"b":1}', False),
        ('{"$and":[{"a":{"$eq":1}},{"b":{"$eq":1}}]}', '{"b":1}', False),
        ('{"$or":[]}', "{}", False),
        ('{"a":{"$new":1}}', '{"a":1}', False),
    ],
)
async def test_filters_are_judged_by_postgresql(owner, filter, metadata, passes):
    assert await owner.fetchval("select permits($1, $2)", filter, metadata) is passes


async def test_a_session_cut_off_as_it_is_limited_does_not_believe_what_it_was(database_url):
    alice, bob = (Limits(threads=f'{{"owner":{{"$eq":"{name}"}}}}') for name in ("alice", "bob"))

    async def limited(limits):
        async with pg.limited(pool, pg.DEFAULT_ORGANIZATION, limits) as conn:
            return await conn.fetchval("select current_setting('app.threads')")

    async with await pg.open_pool(database_url, "duragraph_user", size=1) as pool:
        for turns in range(40):
            assert await limited(alice) == alice.threads
            other = asyncio.create_task(limited(bob))
            for _ in range(turns):
                await asyncio.sleep(0)
            other.cancel()
            await asyncio.wait([other])


async def test_the_description_says_how_the_project_secures_it(plane):
    scheme = {"type": "http", "scheme": "bearer"}
    openapi = {"securitySchemes": {"token": scheme}, "security": [{"token": []}]}
    async with owned.serving(plane.url, openapi=openapi):
        await owned.known(Somebody(plane, "alice"))
        shown = (await plane.get("/openapi.json")).json
    assert shown["components"]["securitySchemes"]["token"] == scheme
    assert shown["security"] == [{"token": []}, {"key": []}]
