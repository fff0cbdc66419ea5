"""A node's exception on record, so that its handler meets it again after a takeover.

Made anew as pickle would: by its class, which must be imported by then, from its `args`.
LangGraph's own serializer keeps its text alone, and so does this where it can't be made.
"""

import logging
import sys
from typing import Any

import msgspec
from langgraph.checkpoint.serde.base import SerializerProtocol

KIND = "raised"

log = logging.getLogger(__name__)


class _Raised(msgspec.Struct, array_like=True, frozen=True):
    module: str
    name: str
    text: str
    kind: str
    args: bytes


_load = msgspec.msgpack.Decoder(_Raised).decode


def dump(error: BaseException, serde: SerializerProtocol) -> tuple[str, bytes]:
    """As `dumps_typed`, of kind `KIND` where the exception's `args` can be written."""
    of = type(error)
    try:
        args = serde.dumps_typed(list(error.args))
    except (TypeError, ValueError):
        return serde.dumps_typed(error)
    raised = _Raised(of.__module__, of.__qualname__, repr(error), *args)
    return KIND, msgspec.msgpack.encode(raised)


def load(data: bytes, serde: SerializerProtocol) -> BaseException | str:
    raised = _load(data)
    found: Any = sys.modules.get(raised.module)
    for name in raised.name.split("."):
        found = getattr(found, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        return raised.text
    try:
        return found(*serde.loads_typed((raised.kind, raised.args)))
    except Exception as error:  # noqa: BLE001 - a user's class may refuse its own `args` in any way
        log.warning("an exception can't be made anew", extra={"of": raised.text, "why": str(error)})
        return raised.text
