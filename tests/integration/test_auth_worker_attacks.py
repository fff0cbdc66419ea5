"""A user tries every route on another's rows, by their ids: nothing is told, nothing moves.

The routes are those of the table, so that a new one is attacked, too. The same requests are then
sent by the owner: an attack that could not have succeeded proves nothing.
"""

import asyncio
import uuid

import aiohttp
import pytest

from duragraph import pg
from duragraph.api import ROUTES
from duragraph.api.cursors import BEGINNING
from duragraph.pg import OPEN, Limits
from tests.integration import owned
from tests.integration.owned import Somebody

SECRET = "of-alice-alone"
RUN = {"assistant_id": "owned", "input": {"x": 1}}
CRON = {"assistant_id": "owned", "schedule": "0 0 1 1 *", "input": {}}
TABLES = ("thread", "run", "checkpoint", "channel_value", "assistant", "assistant_version", "cron")
UNGUARDED = {"/", "/ok", "/info", "/metrics", "/openapi.json", "/docs"}
LIVE = {"GET /threads/{thread_id}/stream", "POST /threads/{thread_id}/stream/events"}
SOCKET = "GET /threads/{thread_id}/stream/events"


def a2a(method, ids):
    task = f"{ids['thread_id']}:{ids['run_id']}"
    message = {"role": "user", "messageId": "m", "parts": [{"kind": "data", "data": {"x": 1}}]}
    params = {"id": task, "contextId": ids["thread_id"], "message": message}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def command(method, **params):
    return {"id": 1, "method": method, "params": params}


def bodies(ids):
    """What is sent where a body is taken, in turn: as much of another's as it may name."""
    thread, assistant, run = ids["thread_id"], ids["assistant_id"], ids["run_id"]
    by_id = RUN | {"assistant_id": assistant}
    create = RUN | {"if_not_exists": "create"}
    runs = [RUN, by_id, create, RUN | {"multitask_strategy": "rollback"}]
    mine = {"metadata": {"owner": "bob"}}
    fork = {"checkpoint_id": ids["checkpoint_id"]}
    at = {"checkpoint": {"checkpoint_id": ids["checkpoint_id"]}}
    crons = [CRON | {"assistant_id": assistant}]
    item = {"namespace": ["alice", "n"], "key": "k"}
    return {
        "POST /assistants": [
            {"assistant_id": assistant, "graph_id": "owned", "if_exists": how} | mine
            for how in ("do_nothing", "raise")
        ],
        "POST /assistants/search": [{}, {"metadata": {"owner": "alice"}}],
        "POST /assistants/count": [{}],
        "PATCH /assistants/{assistant_id}": [{"name": "taken"} | mine],
        "POST /assistants/{assistant_id}/versions": [{}],
        "POST /assistants/{assistant_id}/latest": [{"version": 1}],
        "POST /threads": [
            {"thread_id": thread, "if_exists": how} | mine for how in ("do_nothing", "raise")
        ]
        + [
            {
                "thread_id": thread,
                "if_exists": "do_nothing",
                "metadata": {"graph_id": "owned"},
                "supersteps": [{"updates": [{"as_node": "tell", "values": {"told": "x"}}]}],
            }
        ],
        "POST /threads/search": [
            {},
            {"ids": [thread]},
            {"metadata": {"owner": "alice"}, "extract": {"x": "values.told"}},
            {"values": {"told": SECRET}},
        ],
        "POST /threads/count": [{}, {"values": {"told": SECRET}}],
        "POST /threads/prune": [
            {"thread_ids": [thread], "strategy": strategy} for strategy in ("delete", "keep_latest")
        ],
        "PATCH /threads/{thread_id}": [mine, {"ttl": {"ttl": 1}}],
        "POST /threads/{thread_id}/copy": [None],
        "POST /threads/{thread_id}/signals": [{"name": "approved", "value": SECRET}],
        "POST /threads/{thread_id}/stream/events": [{"channels": ["values", "lifecycle"]}],
        "POST /threads/{thread_id}/commands": [
            command("run.start", assistant_id="owned", input={"x": 1}),
            command("input.respond", interrupt_id="i", response=1),
            command("state.fork", **fork),
            command("state.get"),
            command("state.listCheckpoints"),
            command("agent.getTree"),
        ],
        "POST /threads/{thread_id}/state": [{"values": {"told": "x"}, "as_node": "tell"}],
        "POST /threads/{thread_id}/state/checkpoint": [at],
        "POST /threads/{thread_id}/history": [{}, {"limit": 100}],
        "POST /threads/{thread_id}/runs": runs,
        "POST /threads/{thread_id}/runs/stream": runs,
        "POST /threads/{thread_id}/runs/wait": runs,
        "POST /threads/{thread_id}/runs/crons": [CRON],
        "POST /threads/{thread_id}/runs/{run_id}/cancel": [None],
        "POST /runs": [by_id],
        "POST /runs/stream": [by_id],
        "POST /runs/wait": [by_id],
        "POST /runs/batch": [[RUN, by_id]],
        "POST /runs/cancel": [{"status": "all"}, {"thread_id": thread, "run_ids": [run]}],
        "POST /runs/crons": crons,
        "POST /runs/crons/search": [{}, {"thread_id": thread}, {"assistant_id": assistant}],
        "POST /runs/crons/count": [{}, {"thread_id": thread}],
        "PATCH /runs/crons/{cron_id}": [{"enabled": False} | mine],
        "PUT /store/items": [item | {"value": {"x": 1}}],
        "DELETE /store/items": [item],
        "POST /store/items/search": [
            {"namespace_prefix": prefix} for prefix in ([], ["alice"], ["alice", "n"])
        ],
        "POST /store/namespaces": [{}, {"prefix": ["alice"]}, {"suffix": ["n"]}],
        "POST /mcp": [
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": SECRET, "arguments": {"x": 1}},
            },
        ],
        "POST /a2a/{assistant}": [
            a2a(method, ids)
            for method in ("tasks/get", "tasks/cancel", "ListTasks", "message/send")
        ],
    }


@pytest.fixture
async def users(start_plane):
    plane = await start_plane(api_keys=("sesame",))
    async with owned.serving(plane.url, api_key="sesame"):
        alice = Somebody(plane, "alice")
        await owned.known(alice)
        yield alice, Somebody(plane, "bob")


async def made(alice):
    """One of everything that can be somebody's; ids by the path parameters that name them."""
    marked = {"metadata": {"mark": SECRET}}
    assistant = (
        await alice.post("/assistants", {"graph_id": "owned", "name": SECRET} | marked)
    ).json["assistant_id"]
    thread = (await alice.post("/threads", marked)).json["thread_id"]
    body = {"assistant_id": assistant, "input": {"secret": SECRET}, "metadata": {"a2a_task": "x"}}
    run = (await alice.post(f"/threads/{thread}/runs", body | marked)).json["run_id"]
    assert SECRET in str((await alice.get(f"/threads/{thread}/runs/{run}/join")).json)
    state = (await alice.get(f"/threads/{thread}/state")).json
    cron = (await alice.post(f"/threads/{thread}/runs/crons", CRON | marked)).json["cron_id"]
    item = {"namespace": ["n"], "key": "k", "value": {"x": SECRET}}
    assert (await alice.call("PUT", "/store/items", item)).status == 204
    return {
        "assistant_id": assistant,
        "assistant": assistant,
        "thread_id": thread,
        "run_id": run,
        "cron_id": cron,
        "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        "namespace": "tell",
        "worker_id": str(uuid.uuid4()),
    }


def requests(ids):
    """(name, method, path, body) of all that can be asked of these ids, by the table of routes."""
    sent = bodies(ids)
    for route in ROUTES:
        name = f"{route.method} {route.path}"
        if route.path in UNGUARDED or name == SOCKET:
            continue
        if route.method in {"POST", "PUT", "PATCH"} and not route.path.startswith("/workers"):
            assert name in sent, f"say what is to be sent to {name}"
        path = route.path.format(**ids)
        query = {"/store/items": "?namespace=alice.n&key=k"}.get(path, "")
        if name.startswith("GET") and path.endswith("/stream"):
            query = f"?last_event_id={BEGINNING}"
        if path == "/.well-known/agent-card.json":
            query = f"?assistant_id={ids['assistant_id']}"
        for body in sent.get(name, [None]):
            yield name, route.method, path + query, body


def route_of(name):
    return name.partition(" ")[2]


async def rows(owner):
    """All of alice's, as it stands."""
    found = {}
    for table in TABLES:
        found[table] = await owner.fetch(
            f"select to_jsonb(x)::text from {table} x where not to_jsonb(x) @> "
            '\'{"metadata": {"owner": "bob"}}\' order by 1'
        )
    found["store"] = await owner.fetch("select * from store_item where path like '.alice.%'")
    return found


async def test_no_route_shows_or_moves_what_is_anothers(users, owner):
    alice, bob = users
    ids = await made(alice)
    before = await rows(owner)
    for name, method, path, body in requests(ids):
        timeout = aiohttp.ClientTimeout(total=20)
        answer = await bob.call(method, path, body, timeout=timeout)
        shown = (name, body, answer.status, answer.body)
        assert SECRET not in answer.body.decode().replace(f"Unknown tool: {SECRET}", ""), shown
        assert answer.status < 500, shown
        if route_of(name).startswith("/workers"):
            assert answer.status == 401, shown
    after = await rows(owner)
    changed = {table for table in before if before[table] != after[table]}
    assert changed <= {"assistant_version"}, changed  # a system assistant's are everybody's
    assert before["assistant_version"] == after["assistant_version"]


async def test_who_may_see_nothing_finds_every_table_empty(users, database_url):
    alice, _ = users
    await made(alice)
    nothing, everything = Limits(), Limits(threads=OPEN, assistants=OPEN, crons=OPEN)
    async with await pg.open_pool(database_url, "duragraph_user", size=1) as pool:
        for limits, seen in ((nothing, False), (everything, True)):
            async with pg.limited(pool, pg.DEFAULT_ORGANIZATION, limits) as conn:
                for table in (*TABLES, "event"):
                    found = await conn.fetchval(f"select exists (select from {table})")
                    assert found is seen, table


async def test_no_socket_shows_what_is_anothers(users):
    alice, bob = users
    ids = await made(alice)
    seen = {}
    for somebody in (alice, bob):
        headers = {"authorization": f"Bearer {somebody.name}"}
        path = f"/threads/{ids['thread_id']}/stream/events"
        async with somebody.plane.http.ws_connect(path, headers=headers) as socket:
            await socket.send_json(command("subscription.subscribe", channels=["values"]))
            await socket.send_json(command("state.get") | {"id": 2})
            seen[somebody.name] = ""
            async with asyncio.timeout(10):
                while '"id":2' not in seen[somebody.name].replace(" ", ""):
                    seen[somebody.name] += str((await socket.receive()).data)
    assert SECRET in seen["alice"]
    assert SECRET not in seen["bob"]


async def streamed(somebody, method, path, body):
    """Until a stream without an end has shown the secret."""
    headers = {"authorization": f"Bearer {somebody.name}"}
    async with somebody.plane.http.request(method, path, json=body, headers=headers) as stream:
        async with asyncio.timeout(10):
            while SECRET.encode() not in await stream.content.readline():
                assert not stream.content.at_eof(), path


async def test_the_same_requests_show_their_owner_everything(users, owner):
    alice, _ = users
    ids = await made(alice)
    order = {"GET": 0, "POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4}
    sent = sorted(requests(ids), key=lambda each: (order[each[1]], "prune" in each[2]))
    shown = set()
    for name, method, path, body in sent:
        if name in LIVE:
            await streamed(alice, method, path, body)
            continue
        answer = await alice.call(method, path, body, timeout=aiohttp.ClientTimeout(total=20))
        assert answer.status < 500, (name, body, answer.body)
        if SECRET.encode() in answer.body:
            shown.add(name)
    for path in ("", "/state", "/history", "/runs", "/runs/{run_id}/join"):
        assert f"GET /threads/{{thread_id}}{path}" in shown
    for name in (
        "POST /threads/search",
        "POST /assistants/search",
        "POST /runs/crons/search",
        "POST /store/items/search",
        "POST /mcp",
        "GET /a2a/{assistant}",
        "GET /assistants/{assistant_id}",
        "GET /runs/crons/{cron_id}",
        "GET /runs/{run_id}/stream",
        "GET /threads/{thread_id}/runs/{run_id}/stream",
        "POST /threads/{thread_id}/commands",
        "POST /threads/{thread_id}/copy",
    ):
        assert name in shown, name
    for table in ("thread", "assistant", "cron"):
        left = await owner.fetchval(
            f'select count(*) from {table} where metadata @> \'{{"mark": "{SECRET}"}}\''
            + (" and erase_at is null" if table == "thread" else "")
        )
        assert left <= (1 if table == "thread" else 0), table  # the copy
