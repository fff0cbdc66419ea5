"""LangGraph's `Auth` handlers, which say who clients are and what they may do.

The plane asks by `AuthQuestion`s. A user travels as the dict that `authenticate` made of it: any
worker may be asked what it may do, not only the one that let it in.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl
from uuid import UUID

import attrs
import msgspec
from langgraph_sdk import Auth

from duragraph.errors import Invalid
from duragraph.project import Project
from duragraph.questions import AuthAnswer, AuthQuestion, AuthSpec, Credentials, Intent
from duragraph_worker.langgraph.project import named
from duragraph_worker.langgraph.user import User

try:
    from starlette.requests import Request
except ImportError:
    Request = None  # type: ignore[assignment, misc]

log = logging.getLogger(__name__)

_REQUEST = "headers", "method", "path", "path_params", "query"
READS = {
    "authorization": ("authorization",),
    "headers": ("headers",),
    "method": ("method",),
    "path": ("path",),
    "path_params": ("path_params",),
    "query_params": ("query",),
    "scope": _REQUEST,
    "request": _REQUEST,
    "user": (),
    "scopes": (),
}
"""What `authenticate` may take, by name, and what of a request that is."""
IDS = "thread_id", "run_id", "assistant_id", "cron_id"
NAMESPACES = "namespace", "suffix"
FAILED = "Internal Server Error"


def load(project: Project) -> "Handlers | None":
    """Those that the project names, once its environment is settled. Raises Invalid."""
    said = project.content.auth
    if said is None:
        return None
    try:
        auth = named(project, said.path)
        return Handlers.of(auth, studio=not said.disable_studio_auth, openapi=said.openapi)
    except Invalid as error:
        raise Invalid(f"{project.file.name}, auth: {error.message}", hint=error.hint) from error


@attrs.frozen
class _Registered:
    """What an `Auth` was given. Handlers may also be added once it is served."""

    authenticate: Callable[..., Any] | None
    handlers: Mapping[tuple[str, str], Sequence[Callable[..., Awaitable[Any]]]]
    everywhere: Sequence[Callable[..., Awaitable[Any]]]

    @classmethod
    def by(cls, auth: Auth) -> "_Registered":
        names = "_authenticate_handler", "_handlers", "_global_handlers"
        return cls(*(getattr(auth, name) for name in names))  # the SDK shows them no other way


@attrs.frozen
class Handlers:
    """What `served.Authority` asks for, of an `Auth` object."""

    auth: Auth
    takes: frozenset[str]
    spec: AuthSpec

    @classmethod
    def of(cls, auth: object, *, studio: bool = True, openapi: object = None) -> "Handlers":
        """Raises Invalid for what is no `Auth`, or has no `authenticate` that can be called."""
        if not isinstance(auth, Auth):
            raise Invalid(f"{auth!r} is no Auth", hint="auth = langgraph_sdk.Auth()")
        authenticate = _Registered.by(auth).authenticate
        if authenticate is None:
            raise Invalid("it has no handler", hint="decorate one with @auth.authenticate")
        parameters = inspect.signature(authenticate).parameters.values()
        for each in parameters:
            if each.name not in READS and each.default is each.empty:
                raise Invalid(
                    f"authenticate takes {each.name!r}, which nobody can give it",
                    hint=f"it may take {', '.join(sorted(READS))}",
                )
        takes = frozenset(each.name for each in parameters) & READS.keys()
        if "request" in takes and Request is None:
            raise Invalid("authenticate takes a Request", hint="pip install starlette")
        reads = sorted({part for name in takes for part in READS[name]})
        security = msgspec.json.encode(openapi)
        return cls(auth, takes, AuthSpec(reads, studio=studio, security=security))

    async def answer(self, question: AuthQuestion) -> AuthAnswer:
        """Whatever handlers raise is an answer: a refusal."""
        empty = AuthAnswer(question.question_id, question.plane_id)
        try:
            if question.credentials is not None:
                return await self._authenticate(question.credentials, empty)
            assert question.intent is not None
            return await self._authorize(question.intent, empty)
        except Exception as error:  # noqa: BLE001 - of user code; logged, and never a yes
            return _refused(error, empty)

    async def _authenticate(self, given: Credentials, empty: AuthAnswer) -> AuthAnswer:
        if given.socket and "request" in self.takes:
            return attrs.evolve(empty, status=403, detail="A WebSocket has no Request.")
        authenticate = cast("Callable[..., Any]", _Registered.by(self.auth).authenticate)
        arguments = {k: v for k, v in _arguments(given).items() if k in self.takes}
        if "request" in self.takes:
            arguments["request"] = Request(arguments.get("scope") or _scope(given))
        if inspect.iscoroutinefunction(authenticate):
            response = await authenticate(**arguments)
        else:
            response = await asyncio.to_thread(authenticate, **arguments)
        permissions, user = _parts(response)
        return attrs.evolve(
            empty,
            user=msgspec.json.encode(_fields(user), enc_hook=str),
            permissions=[str(each) for each in permissions],
        )

    async def _authorize(self, given: Intent, empty: AuthAnswer) -> AuthAnswer:
        handler = self._handler(given.resource, given.action)
        if handler is None:
            return empty
        value = _value(given)
        before = {name: msgspec.json.encode(part) for name, part in value.items()}
        context = Auth.types.AuthContext(
            permissions=given.permissions,
            user=_user(msgspec.json.decode(given.user)),
            resource=cast("Any", given.resource),
            action=cast("Any", given.action),
        )
        try:
            result = await handler(ctx=context, value=value)
        except AssertionError as error:
            return attrs.evolve(empty, status=403, detail=str(error))
        if result is False:
            return attrs.evolve(empty, status=403, detail="Forbidden")
        if result is not None and result is not True and not isinstance(result, dict):
            log.error("an auth handler returned neither a filter nor a bool: %r", type(result))
            return attrs.evolve(empty, status=500, detail="Auth handler returned invalid result.")
        after = {name: msgspec.json.encode(part) for name, part in value.items()}
        changed = {name: part for name, part in after.items() if part != before.get(name)}
        found = result if isinstance(result, dict) else None
        return attrs.evolve(empty, filter=msgspec.json.encode(found), changed=changed)

    def _handler(self, resource: str, action: str) -> Callable[..., Awaitable[Any]] | None:
        """The most specific one, as LangGraph has it."""
        registered = _Registered.by(self.auth)
        keys = (resource, action), (resource, "*"), ("*", action), ("*", "*")
        handlers = [each for key in keys for each in registered.handlers.get(key, ())]
        return next(iter([*handlers, *registered.everywhere]), None)


def _arguments(given: Credentials) -> dict[str, Any]:
    headers = dict(given.headers)
    authorization = headers.get(b"authorization")
    return {
        "authorization": None if authorization is None else authorization.decode(),
        "headers": headers,
        "method": given.method,
        "path": given.path,
        "path_params": given.path_params,
        "query_params": dict(parse_qsl(given.query, keep_blank_values=True)),
        "scope": _scope(given),
        "scopes": [],
        "user": None,
    }


def _scope(given: Credentials) -> dict[str, Any]:
    """As ASGI has it."""
    return {
        "type": "websocket" if given.socket else "http",
        "method": given.method,
        "scheme": "http",
        "path": given.path,
        "raw_path": given.path.encode(),
        "root_path": "",
        "query_string": given.query.encode(),
        "headers": given.headers,
        "path_params": given.path_params,
    }


def _parts(response: Any) -> tuple[Any, Any]:
    """(permissions, user) of what `authenticate` returned."""
    if isinstance(response, tuple):
        permissions, user = response
        return permissions, user
    if isinstance(response, Mapping):
        return response.get("permissions", ()), response
    return getattr(response, "permissions", ()), response


def _fields(user: Any) -> dict[str, Any]:
    """Raises TypeError for what says not who it is."""
    if isinstance(user, str):
        fields: dict[str, Any] = {"identity": user}
    elif isinstance(user, Mapping):
        fields = dict(user)
    elif callable(dump := getattr(user, "model_dump", None) or getattr(user, "dict", None)):
        fields = {"identity": user.identity, **dump()}
    else:
        fields = {"identity": user.identity, **getattr(user, "__dict__", {})}
    if not isinstance(fields.get("identity"), str):
        raise TypeError("authenticate must return a user with an `identity`, a string")
    named = {"is_authenticated": True, "display_name": fields["identity"]}
    known = {name: getattr(user, name, default) for name, default in named.items()}
    own = {name: value for name, value in fields.items() if not name.startswith("_")}
    return {"identity": fields["identity"], **known, **own}


def _user(fields: dict[str, Any]) -> Any:
    if fields.get("kind") == "StudioUser":
        return Auth.types.StudioUser(fields["identity"], is_authenticated=True)
    return User(fields)


def _value(given: Intent) -> dict[str, Any]:
    """With the types that handlers know: UUIDs, and tuples for namespaces."""
    value: dict[str, Any] = msgspec.json.decode(given.value)
    for name in IDS:
        if isinstance(value.get(name), str):
            value[name] = UUID(value[name])
    if given.resource == "store":
        for name in NAMESPACES:
            if isinstance(value.get(name), list):
                value[name] = tuple(value[name])
    return value


def _refused(error: Exception, empty: AuthAnswer) -> AuthAnswer:
    """An HTTPException, LangGraph's or any framework's, is the handler's own answer."""
    status, detail = getattr(error, "status_code", None), getattr(error, "detail", None)
    if not isinstance(status, int) or not 400 <= status < 600:  # noqa: PLR2004 - HTTP's
        log.error("an auth handler failed", exc_info=error)
        return attrs.evolve(empty, status=500, detail=FAILED)
    headers = {str(k): str(v) for k, v in (getattr(error, "headers", None) or {}).items()}
    return attrs.evolve(empty, status=status, detail=str(detail), headers=headers)
