"""A command of the event-streaming protocol and its answer, as they travel."""

from typing import Any, TypeVar

import attrs
import msgspec

from duragraph import codec
from duragraph.api.io import Call
from duragraph.errors import Invalid
from duragraph.models import EMPTY, NULL, Json

P = TypeVar("P")


@attrs.frozen
class Command:
    """What a client wants; `params` depend on the method."""

    id: int
    method: str
    params: Json = EMPTY


class Applied(msgspec.Struct):
    """How far the connection's events had come: nowhere, for a command alone."""

    applied_through_seq: int = 0


class Success(msgspec.Struct, tag_field="type", tag="success"):
    id: int
    result: dict[str, Any]
    meta: Applied = msgspec.field(default_factory=Applied)


class Failure(msgspec.Struct, tag_field="type", tag="error"):
    """`error` is one of the protocol's codes."""

    id: int | None
    error: str
    message: str


Answer = Success | Failure


class CommandError(Exception):
    """A command can't be carried out: one of the protocol's codes, and why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Named(msgspec.Struct):
    id: int | None = None


def refusal(body: bytes, error: Invalid) -> Failure:
    """The answer to what is no command; it names its `id`, if it can be told."""
    try:
        number = msgspec.json.decode(body, type=_Named).id
    except (msgspec.DecodeError, RecursionError):
        number = None
    return Failure(number, "invalid_argument", error.message)


def read(call: Call, body: bytes) -> Command:
    """Raises Invalid."""
    return codec.loads(body, Command, max_depth=call.deps.config.max_depth)


def read_params(params: Json, type: type[P]) -> P:
    """A command's parameters. Raises Invalid."""
    try:
        return msgspec.json.decode(EMPTY if params == NULL else params, type=type)
    except msgspec.ValidationError as error:
        raise Invalid(str(error).replace("`$", "`$.params")) from None
