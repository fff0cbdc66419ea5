"""Around every request: who asks, what went wrong, and which pages may ask from a browser."""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from duragraph import codec
from duragraph.api.io import USER
from duragraph.config import Config
from duragraph.deps import DEPS, Deps
from duragraph.errors import Denied, DuraGraphError, InvalidLabel, KeyRequired, Unauthorized
from duragraph.identities import STUDIO, User
from duragraph.ids import new_id
from duragraph.metrics import REQUESTS
from duragraph.questions import WORKER_HEADER, Credentials

log = structlog.get_logger(__name__)

Next: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS = {
    "invalid": 422,
    "refused": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "gone": 410,
    "too_large": 413,
    "busy": 429,
    "unavailable": 503,
    "internal": 500,
}
OPEN = frozenset({"/", "/ok", "/info", "/metrics", "/docs", "/openapi.json"})
"""Answered without a key, under any mount."""

CORS = {
    "Access-Control-Allow-Methods": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY",
    "Access-Control-Max-Age": "600",
    "Access-Control-Allow-Private-Network": "true",
}
EXPOSED = "x-pagination-total, x-pagination-next, content-location, location"
OWN = frozenset({"content-length", "content-type", "transfer-encoding", "connection"})
REQUEST_ID = web.RequestKey("request_id", str)
_is_plain = re.compile(r"[!-~]{1,200}").fullmatch


def gate(config: Config, mounts: Iterable[str]) -> Middleware:
    """The one middleware: three checks in a row would cost three frames on every request."""
    keys = [hashlib.sha256(key.encode()).digest() for key in config.api_keys]
    free = frozenset(mount + path for mount in mounts for path in OPEN)
    workers = tuple(f"{mount}/workers" for mount in mounts)

    @web.middleware
    async def gate(request: web.Request, handler: Next) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        allowed = origin is not None and config.allows_origin(origin)
        if request.method == "OPTIONS" and allowed:
            response: web.StreamResponse = web.Response(headers=_preflight(request))
        else:
            try:
                if request.path not in free:
                    users = request.app[DEPS].identities.required
                    if users and not _route(request).startswith(workers):
                        await _identify(request, keys)
                    elif keys:
                        _check_key(request, keys)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - the last stop: logged, never leaked
                response = failure(request, error)
        REQUESTS.labels(request.method, _route(request), str(response.status)).inc()
        if allowed and not response.prepared:
            response.headers.update(cors(request, config))
        return response

    return gate


def cors(request: web.Request, config: Config) -> dict[str, str]:
    """For responses that are prepared before the middleware sees them again, as streams are."""
    origin = request.headers.get("Origin")
    if origin is None or not config.allows_origin(origin):
        return {}
    allowed = "*" if "*" in config.cors_origins else origin
    return {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": EXPOSED}


def failure(request: web.Request, error: Exception) -> web.Response:
    """`{"detail", "code", "hint"?}`; what we didn't foresee goes to the log, not to the client."""
    if isinstance(error, web.HTTPException):
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        if isinstance(error, web.HTTPRedirection):
            headers["Location"] = error.headers["Location"]
        return _error(
            error.status, error.reason, error.reason.lower().replace(" ", "_"), headers=headers
        )
    if isinstance(error, InvalidLabel):
        return web.Response(text=error.message, status=STATUS[error.code])  # the wire's own way
    if isinstance(error, Denied):
        return _error(error.status, error.message, error.code, headers=_own(error.headers))
    if isinstance(error, DuraGraphError):
        more = {"error": error.message} if isinstance(error, KeyRequired) else None
        headers = {"Retry-After": "1"} if error.code in {"busy", "unavailable"} else {}
        return _error(
            STATUS[error.code],
            error.message,
            error.code,
            hint=error.hint,
            headers=headers,
            more=more,
        )
    request_id = id_of(request)
    if isinstance(error, ConnectionError) and _is_gone(request):
        log.info("connection gone", request_id=request_id, path=request.path, cause=repr(error))
        return _error(503, "The connection is gone.", "unavailable", headers={})  # to nobody
    log.error("unexpected", request_id=request_id, path=request.path, exc_info=error)
    return _error(500, "Internal Server Error", "internal", headers={"x-request-id": request_id})


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def id_of(request: web.Request) -> str:
    """The client's `x-request-id`, if it can be logged, stored and sent back; else a new one."""
    if REQUEST_ID not in request:
        given = request.headers.get("x-request-id", "")
        request[REQUEST_ID] = given if _is_plain(given) else new_id()
    return request[REQUEST_ID]


def _error(
    status: int,
    detail: str,
    code: str,
    *,
    hint: str | None = None,
    headers: dict[str, str],
    more: dict[str, str] | None = None,
) -> web.Response:
    body = {"detail": detail, "code": code} | ({"hint": hint} if hint else {}) | (more or {})
    return web.Response(
        body=codec.dumps(body), status=status, headers=headers, content_type="application/json"
    )


def _route(request: web.Request) -> str:
    """As it stands in the route table: a bounded set, whatever clients ask for."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _check_key(request: web.Request, keys: list[bytes]) -> None:
    if not _has_key(request, keys):
        raise Unauthorized(hint="Send a valid key as x-api-key.")


def _has_key(request: web.Request, keys: list[bytes]) -> bool:
    given = hashlib.sha256(request.headers.get("x-api-key", "").encode()).digest()
    return bool(sum(hmac.compare_digest(given, key) for key in keys))


async def _identify(request: web.Request, keys: list[bytes]) -> None:
    """Ask the project's auth handlers who this is; who has one of the plane's keys is no user.

    Without keys that is whoever names a worker: anybody may be one then. Raises Denied,
    Unavailable.
    """
    deps = request.app[DEPS]
    if _has_key(request, keys) or (not keys and await _is_worker(request, deps)):
        return
    request[USER] = await _user(request, deps)


async def _user(request: web.Request, deps: Deps) -> User:
    spec, headers = deps.identities.spec, request.headers
    studio = deps.config.studio and spec is not None and spec.studio
    if studio and headers.get("x-auth-scheme") == "langsmith":
        return STUDIO
    return await deps.identities.user(
        Credentials(
            method=request.method,
            path=request.path,
            path_params=dict(request.match_info),
            query=request.rel_url.raw_query_string,
            headers=[(name.lower(), value) for name, value in request.raw_headers],
            socket=headers.get("Upgrade", "").lower() == "websocket",
        )
    )


async def _is_worker(request: web.Request, deps: Deps) -> bool:
    try:
        worker_id = UUID(request.headers.get(WORKER_HEADER, ""))
    except ValueError:
        return False
    return await deps.dispatcher.knows(str(worker_id))


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    """A handler's headers, less those that a response has of itself."""
    return {name: value for name, value in headers.items() if name.lower() not in OWN}


def _preflight(request: web.Request) -> dict[str, str]:
    asked = request.headers.get("Access-Control-Request-Headers", "")
    return CORS | {"Access-Control-Allow-Headers": asked or "*"}
