"""From a request to a handler's arguments, from its result to a response.

A handler is `async def verb(call, *path parameters, body=…, query=…) -> noun`. Its annotations
say how the request is read, and `openapi.py` reads the same annotations.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, get_args
from uuid import UUID

import attrs
from aiohttp import web

from duragraph import codec, pg
from duragraph.deps import DEPS, Deps
from duragraph.errors import Forbidden, Invalid, TooLarge
from duragraph.identities import User
from duragraph.pg import DEFAULT_ORGANIZATION, Connection, Limits
from duragraph.pg.idempotency import Key

T = TypeVar("T")
Handler: TypeAlias = Callable[..., Awaitable[Any]]

USER = web.RequestKey("user", User)
"""Who asks, where auth handlers say so; not there for the operator's keys and for workers."""
KEY = "Idempotency-Key"
KEY_PATTERN = "^[!-~]{1,255}$"
BODY_SECONDS = 60.0
"""How long a request's body may take to arrive."""
_YES = {"yes": "true", "no": "false"}
_is_key = re.compile(KEY_PATTERN).fullmatch


@attrs.frozen
class Call:
    """One request on behalf of one organization; `conn` is what it works through if set.

    A `user` sees what is within `limits`, which its route's guard has set.
    """

    request: web.Request
    deps: Deps
    organization_id: str = DEFAULT_ORGANIZATION
    key: Key | None = None
    conn: "Connection | None" = None
    user: User | None = None
    limits: Limits | None = None

    @property
    def asker(self) -> dict[str, Any] | None:
        """What a run that this makes gets to know of the user."""
        return None if self.user is None else self.user.configurable()

    def tenant(self) -> AbstractAsyncContextManager[Connection]:
        """A connection that sees the organization's rows only. Raises Unavailable, Forbidden."""
        if self.conn is not None:
            return nullcontext(self.conn)
        if self.user is None:
            return pg.tenant(self.deps.api, self.organization_id)
        if self.limits is None:
            raise Forbidden("Nobody has said what this user may see.")
        return pg.limited(self.deps.users, self.organization_id, self.limits)


@attrs.frozen
class Reply(Generic[T]):
    """A result whose status or headers are not the usual 200 (204 for None)."""

    body: T | None = None
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Unread:
    """In the annotation of `body`: the handler gets the bytes, and parses them as `type`.

    `refusal` is its answer, with 400, to bytes that don't fit.
    """

    type: Any
    refusal: Any = None


def unread(annotation: Any) -> Unread | None:
    """The annotation's `Unread`, if it has one."""
    return next((note for note in get_args(annotation)[1:] if isinstance(note, Unread)), None)


@attrs.frozen
class Media:
    """In a handler's return annotation: the content type of a response that it builds itself."""

    type: str


@attrs.frozen
class Status:
    """In a handler's return annotation: the status of an answer, where it is not the route's."""

    code: int


EventStream: TypeAlias = Annotated[web.StreamResponse, Media("text/event-stream")]
Value: TypeAlias = Annotated[web.StreamResponse, Media("application/json")]
Socket: TypeAlias = Annotated[web.StreamResponse, Media("websocket")]


Guard: TypeAlias = Callable[[Call, dict[str, Any]], Awaitable[Call]]
"""Asks auth handlers whether a user may call an endpoint with these arguments, and changes those
as the handlers do; the call that it returns has its limits."""


@attrs.frozen
class Route:
    """One line of the route table. `status` is what success answers.

    `once`: the handler heeds `call.key`, the request's `Idempotency-Key`.
    """

    method: str
    path: str
    handler: Handler
    guard: Guard
    status: int = 200
    once: bool = False

    @property
    def live(self) -> bool:
        """Whether the handler streams its answer: then its path has no HEAD."""
        returned = inspect.get_annotations(self.handler, eval_str=True)["return"]
        return get_args(returned)[:1] == (web.StreamResponse,)

    def endpoint(self) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The aiohttp handler: parse, call, reply."""
        hints = inspect.get_annotations(self.handler, eval_str=True)
        body_type, query_type = hints.get("body"), hints.get("query")
        handler, guard, status, once = self.handler, self.guard, self.status, self.once

        async def endpoint(request: web.Request) -> web.StreamResponse:
            arguments: dict[str, Any] = {
                name: path_id(name, text) for name, text in request.match_info.items()
            }
            if body_type is not None:
                arguments["body"] = await body(request, body_type)
            if query_type is not None:
                arguments["query"] = query(request, query_type)
            call = Call(request, request.app[DEPS])
            if (user := request.get(USER)) is not None:
                call = await guard(attrs.evolve(call, user=user), arguments)
            if once and KEY in request.headers:
                call = attrs.evolve(call, key=await _key(call))
            result = await handler(call, **arguments)
            return result if isinstance(result, web.StreamResponse) else reply(result, status)

        return endpoint


async def _key(call: Call) -> Key:
    """What the key stands for: method, path and body, to the byte. Raises Invalid."""
    request = call.request
    given = request.headers[KEY]
    if not _is_key(given):
        raise Invalid(
            "Invalid Idempotency-Key",
            hint="1 to 255 printable ASCII characters without spaces, such as a UUID.",
        )
    asked = b"%s %s\n%s" % (request.method.encode(), request.path_qs.encode(), await read(request))
    if call.user is not None:  # of two users with one key neither is told of the other
        given = f"{given} {call.user.identity}"
    return Key(call.organization_id, given, sha256(asked).digest())


def path_id(name: str, text: str) -> str:
    """A path parameter; those named `…_id` must be UUIDs. Raises Invalid."""
    if not name.endswith("_id"):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        noun = name.removesuffix("_id")
        raise Invalid(f"Invalid {noun} ID: must be a UUID") from None


async def body(request: web.Request, type: Any) -> Any:
    """The request's JSON, or its bytes where the handler reads them. Raises as `read` does."""
    if unread(type) is not None:
        return await read(request)
    return codec.loads(await read(request), type, max_depth=request.app[DEPS].config.max_depth)


async def read(request: web.Request) -> bytes:
    """The request's body. Raises Invalid, TooLarge, and HTTPRequestTimeout if it is not sent."""
    try:
        if request.content.is_eof():
            return await request.read()
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[DEPS].config.max_body_bytes
        raise TooLarge(f"Request body too large (limit: {limit} bytes)") from None
    except web.RequestPayloadError as error:
        raise Invalid("The body can't be read.", hint="Check its length and encoding.") from error


def query(request: web.Request, type: Any) -> Any:
    """The query string as an attrs class; lists may be repeated, comma-separated or JSON.

    Raises Invalid, naming the parameter.
    """
    given: dict[str, Any] = {}
    for field in attrs.fields(type):
        # As in bodies: PostgreSQL's text can't hold NUL.
        values = [v.replace("\0", "\ufffd") for v in request.query.getall(field.name, [])]
        if values and codec.is_list(field.type):
            given[field.name] = codec.many(values)
        elif values:
            given[field.name] = _YES.get(values[-1].lower(), values[-1])
    return codec.from_text(given, type)


def reply(result: Any, status: int) -> web.Response:
    headers: dict[str, str] = {}
    if isinstance(result, Reply):
        result, status, headers = result.body, result.status, result.headers
    if result is None:
        return web.Response(status=204 if status == HTTPStatus.OK else status, headers=headers)
    return web.Response(
        body=codec.dumps(result), status=status, headers=headers, content_type="application/json"
    )


def page(rows: list[T], limit: int, offset: int) -> Reply[list[T]]:
    """Search results with pagination headers. `rows` holds one more than `limit` if there is more.

    X-Pagination-Total is no total: the reference means "at least this many".
    """
    if len(rows) > limit:
        following = offset + limit
        headers = {
            "X-Pagination-Next": str(following),
            "X-Pagination-Total": str(following + 1),
        }
        return Reply(rows[:limit], headers=headers)
    return Reply(rows, headers={"X-Pagination-Total": str(offset + len(rows))})
