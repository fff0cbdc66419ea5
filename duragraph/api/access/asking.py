"""Asking auth handlers about one user's intent, and what follows from the answer.

Owns the words in which guards say it: asked, limited, checked, changed.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import attrs
import msgspec

from duragraph import codec
from duragraph.api.io import Call
from duragraph.errors import Denied, DuraGraphError, Forbidden
from duragraph.identities import Decision
from duragraph.pg import OPEN, Limits, access

T = TypeVar("T")
Given = dict[str, Any]


async def ask(call: Call, resource: str, action: str, value: Given) -> Decision:
    """Raises Denied, Unavailable."""
    assert call.user is not None
    return await call.deps.identities.may(call.user, resource, action, value)


def limited(call: Call, **limits: str) -> Call:
    """The call, seeing what it saw and, of these nouns, what their filters let through."""
    return attrs.evolve(call, limits=attrs.evolve(call.limits or Limits(), **limits))


async def check(call: Call, noun: str, id: str, filter: str, otherwise: DuraGraphError) -> None:
    """Raises `otherwise` if the filter hides it, or if there is no such thing."""
    if filter == OPEN:
        return
    async with limited(call, **{f"{noun}s": filter}).tenant() as conn:
        if not await access.sees(conn, call.organization_id, noun, id):
            raise otherwise


def changed(body: T, changes: Mapping[str, bytes], *names: str, **fields: str) -> T:
    """`body` with what handlers changed of these `names`.

    `fields` are those that have another name in the value. Raises Denied for what can't stand
    there.
    """
    hints = get_type_hints(type(body), include_extras=True)
    fields |= {name: name for name in names}
    new = {
        field: decoded(changes[name], hints[field])
        for name, field in fields.items()
        if name in changes
    }
    return attrs.evolve(body, **new) if new else body  # type: ignore[misc]


def decoded(change: bytes, type: Any) -> Any:
    """Raises Denied for what can't stand there."""
    try:
        return msgspec.json.decode(change, type=type)
    except msgspec.DecodeError as error:
        raise Denied(500, f"An auth handler changed a value to what it can't be: {error}") from None


async def creating(call: Call, noun: str, given: Given, body: Any, filter: str) -> Call:
    """Before a thread or an assistant is made; sets `given["body"]`.

    Its id may be that of a hidden one: then it is taken, and that is all. Who would not see what
    they make may make it all the same, as on the reference.
    """
    given["body"] = body
    free, within = limited(call, **{f"{noun}s": OPEN}), limited(call, **{f"{noun}s": filter})
    if filter == OPEN:
        return free
    async with within.tenant() as conn:
        if await access.permits(conn, filter, codec.dumps(body.metadata)):
            return within
        if not await access.sees(conn, call.organization_id, noun, getattr(body, f"{noun}_id")):
            given["body"] = attrs.evolve(body, if_exists="raise")
    return free


async def everybody(call: Call, _given: Given) -> Call:
    """The guard of what says nothing of anybody's: the gate asks nobody who comes."""
    return call


async def later(call: Call, _given: Given) -> Call:
    """The guard of what asks once it has read what is to be done; until then it sees nothing."""
    return limited(call)


async def workers_only(_call: Call, _given: Given) -> Call:
    """Workers come with the plane's keys: a user has nothing to do there."""
    raise Forbidden("Only workers may ask this.")
