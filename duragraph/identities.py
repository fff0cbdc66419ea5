"""Who a client is and what it may do, where the project's auth handlers say so.

Owns whether they are to be asked at all, and what is remembered of their answers: identities, for
seconds. It never decides by itself, and without an answer nobody comes in.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import attrs
import msgspec
import structlog

from duragraph import codec, pg
from duragraph.bus import Bus
from duragraph.config import Config
from duragraph.consult import Consult
from duragraph.errors import Denied, DuraGraphError
from duragraph.pg import DEFAULT_ORGANIZATION, Pool, access
from duragraph.protocol import pack
from duragraph.questions import AuthAnswer, AuthSpec, Credentials, Intent
from duragraph.sweeps import every

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 1.0
IDENTITY_SECONDS = 5.0
"""How long an identity is remembered: so long do revoked credentials last."""
REMEMBERED = 10_000
DEEPEST = 2
"""`$or` and `$and` within each other, as LangGraph has it."""
BAD_FILTER = "The auth handler returned a filter that can't be used"
_REFUSES, _BEYOND = 400, 600


@attrs.frozen
class User:
    """Whom `authenticate` has named. `fields` is the whole of it, a JSON object."""

    identity: str
    fields: bytes
    permissions: Sequence[str] = ()

    def configurable(self) -> dict[str, Any]:
        """What a run gets to know of who asked for it."""
        return {
            "langgraph_auth_user": msgspec.Raw(self.fields),
            "langgraph_auth_user_id": self.identity,
            "langgraph_auth_permissions": list(self.permissions),
        }


def named(identity: str) -> User:
    """A user of whom no more is known any more, as of a cron that was made long ago."""
    known = {"identity": identity, "is_authenticated": True, "display_name": identity}
    return User(identity, codec.dumps(known))


STUDIO = User(
    "langgraph-studio-user",
    b'{"kind":"StudioUser","identity":"langgraph-studio-user",'
    b'"display_name":"langgraph-studio-user","is_authenticated":true,"permissions":["authenticated"]}',
)


@attrs.frozen
class Decision:
    """`filter` is a JSON object for `permits` of `schema.sql`, `{}` if all is let through."""

    filter: str = "{}"
    changed: Mapping[str, bytes] = attrs.field(factory=dict)


@attrs.frozen
class _Known:
    user: User
    until: float


class Identities:
    def __init__(self, config: Config, pool: Pool, bus: Bus, consult: Consult) -> None:
        self._mode = config.auth_handlers
        self._pool = pool
        self._bus = bus
        self._consult = consult
        self.spec: AuthSpec | None = None
        """Of the handlers that are asked; None if there are none yet."""
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Future[AuthAnswer]] = {}
        self._look = asyncio.Event()
        self.required = self._mode == "required"
        """Whether clients are users. Once handlers were registered that stays, whoever restarts."""

    async def begin(self) -> None:
        """Before the first request. Raises Unavailable."""
        if self._mode == "off":
            async with pg.acquire(self._pool) as conn:
                if await access.auth(conn, DEFAULT_ORGANIZATION) is not None:
                    await access.set_auth(conn, DEFAULT_ORGANIZATION, None)
        await self.refresh()

    def look(self) -> None:
        """Another plane says that there are other handlers: what is remembered is of the old."""
        self._known.clear()
        self._look.set()

    async def run(self) -> None:
        """To be supervised."""
        failing = "can't tell whether there is auth"
        await every(REFRESH_SECONDS, self.refresh, look=self._look, failing=failing)

    async def refresh(self) -> None:
        """Look whether handlers have been registered, here or with another plane."""
        if self._mode == "off":
            return
        async with pg.acquire(self._pool) as conn:
            kept = await access.auth(conn, DEFAULT_ORGANIZATION)
        spec = None if kept is None else msgspec.json.decode(kept, type=AuthSpec)
        if spec != self.spec:
            self.spec = spec
            self._known.clear()
        self.required = self._mode == "required" or spec is not None

    async def register(self, spec: AuthSpec) -> None:
        """A worker brings handlers: from here on they rule, on all planes. Raises Unavailable."""
        if self._mode == "off":
            log.warning("auth handlers were registered, and are off: nobody asks them")
            return
        async with pg.acquire(self._pool) as conn:
            await access.set_auth(conn, DEFAULT_ORGANIZATION, codec.dumps(spec))
        await self.refresh()
        self._bus.hint_auth()

    async def user(self, credentials: Credentials) -> User:
        """Whose these are; equal questions are asked once. Raises Denied, Unavailable."""
        key = self._key(credentials)
        if (known := self._known.get(key)) is not None and known.until > time.monotonic():
            return known.user
        while (asking := self._asking.get(key)) is not None:
            await asyncio.wait([asking])
            if not asking.cancelled():
                return _user(asking.result())
        return await self._ask(key, credentials)

    async def _ask(self, key: bytes, credentials: Credentials) -> User:
        """For all who wait for the same. If our client leaves meanwhile, the next of them asks."""
        asking = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._consult.ask(credentials=credentials)
        except DuraGraphError as error:
            asking.set_exception(error)
            asking.exception()  # seen, also where nobody else waits
            raise
        else:
            asking.set_result(answer)
        finally:
            asking.cancel()
            del self._asking[key]
        user = _user(answer)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = _Known(user, until=time.monotonic() + IDENTITY_SECONDS)
        return user

    def _key(self, credentials: Credentials) -> bytes:
        """Of what `authenticate` looks at, and of no more. Hashed: no secret is kept."""
        reads = set(self.spec.reads) if self.spec else {"headers", "path"}
        headers = sorted(
            (name.lower(), value)
            for name, value in credentials.headers
            if ("headers" in reads and name.lower() != b"content-length")
            or ("authorization" in reads and name.lower() == b"authorization")
        )
        seen: list[Any] = [headers, credentials.socket]
        seen += [getattr(credentials, name) for name in _PARTS if name in reads]
        return sha256(pack(seen)).digest()

    async def may(self, user: User, resource: str, action: str, value: dict[str, Any]) -> Decision:
        """Raises Denied, Unavailable."""
        intent = Intent(user.fields, list(user.permissions), resource, action, codec.dumps(value))
        answer = await self._consult.ask(intent=intent)
        _check(answer)
        return Decision(_filter(answer.filter), answer.changed)


_PARTS = ("method", "path", "path_params", "query")


class _Named(msgspec.Struct):
    identity: str


def _decoded(given: bytes, type: Any) -> Any:
    """Raises Denied for a worker's answer that makes no sense."""
    try:
        return msgspec.json.decode(given, type=type)
    except msgspec.DecodeError as error:
        raise Denied(500, "A worker answered for auth handlers what can't be read.") from error


def _user(answer: AuthAnswer) -> User:
    _check(answer)
    identity = _decoded(answer.user, _Named).identity
    return User(identity, answer.user, answer.permissions)


def _check(answer: AuthAnswer) -> None:
    if answer.status >= _REFUSES:
        status = answer.status if answer.status < _BEYOND else 500
        raise Denied(status, answer.detail, headers=answer.headers)


def _filter(answer: bytes) -> str:
    """The handler's filter, each condition with its operator. Raises Denied: that is its fault."""
    given = _decoded(answer, dict[str, Any] | None)
    return codec.dumps(_normal(given, 0)).decode() if given else "{}"


def _normal(filter: Any, depth: int) -> dict[str, Any]:
    if not isinstance(filter, dict) or depth > DEEPEST:
        raise Denied(500, f"{BAD_FILTER}: no object, or nested more than {DEEPEST} deep.")
    normal: dict[str, Any] = {}
    for name, wanted in filter.items():
        if name in {"$or", "$and"}:
            if not isinstance(wanted, list) or len(wanted) < 2:  # noqa: PLR2004 - as LangGraph has it
                raise Denied(500, f"{BAD_FILTER}: {name} takes a list of two objects or more.")
            normal[name] = [_normal(each, depth + 1) for each in wanted]
        elif not isinstance(wanted, dict):
            normal[name] = {"$eq": wanted}
        elif not wanted or wanted.keys() - {"$eq", "$contains"}:
            raise Denied(500, f"{BAD_FILTER}: {name} takes $eq or $contains.")
        else:
            normal[name] = wanted
    return normal
