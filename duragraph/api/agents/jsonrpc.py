"""JSON-RPC 2.0 over POST, as MCP and A2A speak it: one message in, one answer out, no batches.

Errors of a call are answers under HTTP 200; only those of the plane (429, 503) keep their status,
so that clients wait and try again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, TypeVar

import attrs
import msgspec
from msgspec import UNSET, Raw, UnsetType

from duragraph import codec
from duragraph.api.io import Call
from duragraph.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from duragraph.models import EMPTY, NULL

T = TypeVar("T")

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602

MessageId: TypeAlias = str | int | float | UnsetType | None


@attrs.frozen
class Message:
    """A request; without `id` a notification; without `method` a response that nobody awaits."""

    jsonrpc: Literal["2.0"]
    method: str | None = None
    id: MessageId = UNSET
    params: Raw = EMPTY


@attrs.frozen
class Success:
    """The answer to a request."""

    id: MessageId
    result: Any
    jsonrpc: Literal["2.0"] = "2.0"


@attrs.frozen
class Problem:
    code: int
    message: str
    data: Any = UNSET


@attrs.frozen
class Failure:
    """The answer to a request that can't be met; `id` is null where it could not be read."""

    id: MessageId
    error: Problem
    jsonrpc: Literal["2.0"] = "2.0"


class Fault(Exception):
    """What is answered instead of a result."""

    def __init__(self, code: int, message: str, data: Any = UNSET) -> None:
        self.problem = Problem(code, message, data)
        super().__init__(message)


def decode(call: Call, body: bytes) -> Message:
    """Raises Fault for what is no JSON or no message."""
    try:
        given = codec.loads(body, Raw, max_depth=call.deps.config.max_depth)
    except Invalid as error:
        raise Fault(PARSE_ERROR, error.hint or error.message) from None
    try:
        return msgspec.json.decode(given, type=Message)
    except msgspec.ValidationError as error:
        raise Fault(INVALID_REQUEST, f"No JSON-RPC 2.0 message: {error}") from None


def params(message: Message, type: type[T]) -> T:
    """The message's parameters. Raises Fault."""
    given = EMPTY if message.params == NULL else message.params
    try:
        return msgspec.json.decode(given, type=type)
    except msgspec.ValidationError as error:
        raise Fault(INVALID_PARAMS, str(error).replace("`$", "`params")) from None


@contextmanager
def faults() -> Iterator[None]:
    """Turns what the caller has asked wrongly into a Fault."""
    try:
        yield
    except (Conflict, Invalid, NotFound, Refused) as error:
        message = f"{error.message} {error.hint}" if error.hint else error.message
        raise Fault(INVALID_PARAMS, message) from None


def in_words(error: bytes) -> str:
    """A run's `{error, message}`, as one line for a reader."""
    told = msgspec.json.decode(error, type=dict[str, str])
    return f"{told['error']}: {told['message']}"


def check_origin(call: Call) -> None:
    """Raises Forbidden for a page of another site, in a browser that reaches this plane.

    MCP's transport demands it, against DNS rebinding.
    """
    origin = call.request.headers.get("Origin")
    if origin is not None and not call.deps.config.allows_origin(origin):
        raise Forbidden(hint="DURAGRAPH_CORS_ORIGINS lists those that may.")


def accepts(call: Call, *media: str) -> bool:
    """Whether the client takes one of these media types."""
    given = ",".join(call.request.headers.getall("Accept", ["*/*"]))
    ranges = {part.partition(";")[0].strip().lower() for part in given.split(",")}
    families = {f"{name.partition('/')[0]}/*" for name in media}
    return bool(ranges & {"*/*", *families, *media})
