"""What handlers are given and may return, as LangGraph has it; no plane is needed for that."""

import json
from types import SimpleNamespace
from uuid import UUID

import attrs
import pytest
from langgraph_sdk import Auth

from duragraph.errors import Invalid
from duragraph.protocol import Task
from duragraph.questions import AuthQuestion, Credentials, Intent
from duragraph_worker.langgraph.auth import Handlers
from duragraph_worker.langgraph.given import Given

ID = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b"
REQUEST = Credentials(
    method="GET",
    path="/threads/x",
    path_params={"thread_id": "x"},
    query="a=1&b=",
    headers=[(b"authorization", b"Bearer t"), (b"x-team", b"red")],
)
ALICE = b'{"identity":"alice","team":"red"}'


def question(given):
    kind = "credentials" if isinstance(given, Credentials) else "intent"
    return AuthQuestion("q", "p", **{kind: given})


async def who(authenticate, given=REQUEST):
    auth = Auth()
    auth.authenticate(authenticate)
    return await Handlers.of(auth).answer(question(given))


async def may(auth, resource, action, **value):
    if auth._authenticate_handler is None:
        auth.authenticate(lambda: "x")
    body = json.dumps(value).encode()
    return await Handlers.of(auth).answer(question(Intent(ALICE, ["p"], resource, action, body)))


async def test_authenticate_takes_what_it_names():
    def everything(
        *,
        authorization,
        headers,
        method,
        path,
        path_params,
        query_params,
        scope,
        scopes,
        user,
        request,
    ):
        assert (authorization, headers[b"x-team"]) == ("Bearer t", b"red")
        assert (method, path, path_params) == ("GET", "/threads/x", {"thread_id": "x"})
        assert query_params == {"a": "1", "b": ""}
        assert scope["query_string"] == b"a=1&b="
        assert (scopes, user) == ([], None)
        assert request.headers["x-team"] == "red"
        return "somebody"

    answer = await who(everything)
    assert json.loads(answer.user)["identity"] == "somebody", answer
    socket = await who(everything, attrs.evolve(REQUEST, socket=True))
    assert (socket.status, socket.detail) == (403, "A WebSocket has no Request.")


@pytest.mark.parametrize(
    ("takes", "reads"),
    [
        ("authorization", ["authorization"]),
        ("headers, path", ["headers", "path"]),
        ("request", ["headers", "method", "path", "path_params", "query"]),
        ("", []),
    ],
)
def test_identities_are_remembered_by_what_authenticate_reads(takes, reads):
    auth = Auth()
    auth.authenticate(eval(f"lambda {takes}: 'x'"))
    assert Handlers.of(auth).spec.reads == reads


class Dumped(SimpleNamespace):
    def model_dump(self):
        return {"team": self.team}


@pytest.mark.parametrize(
    ("returned", "permissions", "team"),
    [
        ("alice", [], None),
        ({"identity": "alice", "permissions": ["p"], "team": "red"}, ["p"], "red"),
        ((["p"], {"identity": "alice"}), ["p"], None),
        (SimpleNamespace(identity="alice", permissions=["p"], team="red"), ["p"], "red"),
        (Dumped(identity="alice", team="red"), [], "red"),
    ],
)
async def test_a_user_comes_in_many_forms(returned, permissions, team):
    async def authenticate():
        return returned

    answer = await who(authenticate)
    user = json.loads(answer.user)
    assert (user["identity"], user["display_name"]) == ("alice", "alice")
    assert user["is_authenticated"] is True
    assert answer.permissions == permissions
    assert user.get("team") == team


@pytest.mark.parametrize("returned", [None, 7, {}, {"identity": 7}, ("a", "b", "c")])
async def test_who_is_nobody_does_not_come_in(returned):
    answer = await who(lambda: returned)
    assert (answer.status, answer.detail) == (500, "Internal Server Error")


async def test_the_most_specific_handler_is_asked():
    auth, asked = Auth(), []

    def handler(name):
        async def handle(ctx, value):
            asked.append(name)

        return handle

    auth.on(handler("all"))
    auth.on.threads(handler("threads"))
    auth.on.threads.read(handler("threads.read"))
    auth.on(resources="*", actions="search")(handler("search"))
    for resource, action in (
        ("threads", "read"),
        ("threads", "search"),
        ("crons", "search"),
        ("crons", "read"),
    ):
        await may(auth, resource, action)
    assert asked == ["threads.read", "threads", "search", "all"]


async def test_a_handler_sees_the_user_and_changes_the_value():
    auth = Auth()

    @auth.on
    async def handle(ctx, value):
        assert (ctx.user.identity, ctx.user["team"], ctx.user.get("x")) == ("alice", "red", None)
        assert (ctx.permissions, ctx.resource, ctx.action) == (["p"], "threads", "create")
        assert value["thread_id"] == UUID(ID)
        value["metadata"]["owner"] = ctx.user.identity
        value["new"] = value["thread_id"]
        return {"owner": ctx.user.identity}

    answer = await may(auth, "threads", "create", thread_id=ID, metadata={}, limit=1)
    assert answer.filter == b'{"owner":"alice"}'
    assert answer.changed == {"metadata": b'{"owner":"alice"}', "new": f'"{ID}"'.encode()}


async def test_namespaces_are_tuples():
    auth = Auth()

    @auth.on.store
    async def scope(ctx, value):
        value["namespace"] = (ctx.user.identity, *value["namespace"])

    answer = await may(auth, "store", "put", namespace=["n"], key="k")
    assert answer.changed == {"namespace": b'["alice","n"]'}
    assert (await may(auth, "threads", "read")).status == 200


def test_a_node_finds_its_user_by_items_and_by_attributes():
    config = {"configurable": {"langgraph_auth_user": json.loads(ALICE)}}
    kwargs = json.dumps({"config": config}).encode()
    given = Given.of(Task("run", ID, 1, 1, ID, ID, "g", "1", kwargs))
    user = given.config["configurable"]["langgraph_auth_user"]
    assert (user.identity, user["team"], user.get("x"), dict(user)) == (
        "alice",
        "red",
        None,
        {"identity": "alice", "team": "red"},
    )
    with pytest.raises(AttributeError):
        _ = user.x


async def test_studio_is_told_apart():
    auth = Auth()

    @auth.on
    async def handle(ctx, value):
        return isinstance(ctx.user, Auth.types.StudioUser)

    auth.authenticate(lambda: "x")
    intent = Intent(b'{"kind":"StudioUser","identity":"s"}', [], "threads", "read", b"{}")
    assert (await Handlers.of(auth).answer(question(intent))).status == 200
    assert (await may(auth, "threads", "read")).status == 403


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "has no handler"),
        (lambda auth: auth.authenticate(lambda body: "x"), "takes 'body'"),
        (lambda auth: auth.authenticate(lambda token: "x"), "takes 'token'"),
    ],
)
def test_what_can_never_be_asked_is_told_at_the_start(make, problem):
    auth = Auth()
    make(auth)
    with pytest.raises(Invalid, match=problem):
        Handlers.of(auth)
    with pytest.raises(Invalid, match="is no Auth"):
        Handlers.of(object())
