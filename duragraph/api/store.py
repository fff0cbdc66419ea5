"""The store: items under namespaces. Contract: the LangGraph server's store API."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, cast

import attrs
from msgspec import Meta

from duragraph import codec
from duragraph.api.fields import Limit, Object, Offset
from duragraph.api.io import Call, Reply
from duragraph.errors import Invalid, InvalidLabel, KeyRequired, Refused, TooLarge
from duragraph.models import NULL, Item, Json, SearchItem
from duragraph.pg import store
from duragraph.pg.store import Condition

Label = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^.]+$"})]
Namespace = Annotated[list[Label], Meta(max_length=64)]
Dotted = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^.]+(\.[^.]+)*$"})]
"""Labels are checked by `_check`: what is wrong with them is said in the wire's own way."""
Path = Annotated[str, Meta(max_length=1024)]
NAME_BYTES = 1024
"""Of a key, and of a namespace's labels and the dots between them."""
VALUE_BYTES = 1 << 20
CONDITIONS = 100
Vector = Annotated[list[float], Meta(min_length=1, max_length=4096)]
Vectors = Annotated[list[Vector], Meta(max_length=100)]
NOTHING: Reply[Item | None] = Reply(cast("None", NULL))
"""A body that says `null`, where None would leave it out."""
OPERATORS = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte"}


@attrs.frozen
class ItemKey:
    key: str
    namespace: Namespace = attrs.field(factory=list)


@attrs.frozen
class ItemPut:
    """`ttl` is in minutes. `index` names what full text finds: all if null, nothing if false.

    `vectors`, one a text and all of one length, are what a search by `vector` compares.
    """

    namespace: Namespace
    key: str
    value: dict[str, Json]
    index: Literal[False] | Annotated[list[Path], Meta(max_length=100)] | None = None
    ttl: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    vectors: Vectors | None = None


async def put(call: Call, *, body: ItemPut) -> None:
    """Raises Refused, Invalid, TooLarge."""
    _check(body.namespace, body.key)
    if not body.namespace:
        raise Refused("Namespace cannot be empty.")
    if body.namespace[0] == "langgraph":
        got = tuple(body.namespace)
        raise Refused(f'Root label for namespace cannot be "langgraph". Got: {got}')
    if len({len(vector) for vector in body.vectors or ()}) > 1:
        raise Invalid("The vectors are not all of one length.")
    value = codec.dumps(body.value)
    if len(value) > VALUE_BYTES:
        raise TooLarge(f"Value too large (limit: {VALUE_BYTES} bytes)")
    # PostgreSQL writes 1e131071 out in full, so that a small value could be read as a huge one.
    codec.check(body.value, Object, where="$.value")
    async with call.tenant() as conn:
        await store.put(
            conn,
            call.organization_id,
            body.namespace,
            body.key,
            value=value,
            index=["$"] if body.index is None else body.index or [],
            ttl=body.ttl,
            vectors=body.vectors,
        )


@attrs.frozen
class ItemQuery:
    """`namespace` is `a.b` for `["a", "b"]`."""

    namespace: Dotted = ""
    key: str = ""
    refresh_ttl: bool = True


async def get(call: Call, *, query: ItemQuery) -> Reply[Item | None]:
    """Null where there is none. Raises KeyRequired."""
    namespace = query.namespace.split(".")
    _check(namespace, query.key)
    if not query.key:
        raise KeyRequired
    async with call.tenant() as conn:
        found = await store.get(
            conn, call.organization_id, namespace, query.key, refresh=query.refresh_ttl
        )
    return Reply(found) if found else NOTHING


async def delete(call: Call, *, body: ItemKey) -> None:
    """Nothing to delete is as good."""
    _check(body.namespace, body.key)
    async with call.tenant() as conn:
        await store.delete(conn, call.organization_id, body.namespace, body.key)


@attrs.frozen
class ItemSearch:
    namespace_prefix: Namespace | None = None
    filter: Object | None = None
    limit: Limit = 10
    offset: Offset = 0
    query: Annotated[str, Meta(max_length=16_384)] | None = None
    vector: Vector | None = None
    refresh_ttl: bool | None = None


@attrs.frozen
class Found:
    items: list[SearchItem]


async def search(call: Call, *, body: ItemSearch) -> Found:
    """The last changed first; with a `query`, those that have any of its words, the best first.

    With a `vector`, those that have vectors of its length, the nearest first.

    Raises Refused, Invalid, TooLarge.
    """
    prefix = body.namespace_prefix or []
    _check(prefix)
    if body.query and body.vector:
        raise Invalid("A search has a `query` or a `vector`, not both.")
    conditions = list(_conditions((), body.filter or {}))
    if len(conditions) > CONDITIONS:
        raise Invalid(f"The filter has more than {CONDITIONS} conditions.")
    async with call.tenant() as conn:
        items = await store.search(
            conn,
            call.organization_id,
            prefix,
            conditions,
            query=body.query or body.vector or None,
            limit=body.limit,
            offset=body.offset,
            refresh=body.refresh_ttl is not False,
        )
    return Found(items)


@attrs.frozen
class NamespaceSearch:
    """`*` stands for any label."""

    prefix: Namespace = attrs.field(factory=list)
    suffix: Namespace = attrs.field(factory=list)
    max_depth: Annotated[int, Meta(ge=1, le=1000)] | None = None
    limit: Limit = 100
    offset: Offset = 0


@attrs.frozen
class Namespaces:
    namespaces: list[list[str]]


async def namespaces(call: Call, *, body: NamespaceSearch) -> Namespaces:
    """Those that hold items, in order."""
    _check(body.prefix)
    _check(body.suffix)
    async with call.tenant() as conn:
        found = await store.namespaces(
            conn,
            call.organization_id,
            prefix=body.prefix,
            suffix=body.suffix,
            max_depth=body.max_depth,
            limit=body.limit,
            offset=body.offset,
        )
    return Namespaces(found)


def _check(namespace: Sequence[str], key: str = "") -> None:
    """Raises InvalidLabel, Invalid."""
    for label in namespace:
        if not label or "." in label:
            raise InvalidLabel(
                f"Namespace label {label!r} must be a non-empty string without periods"
            )
    for name, text in (("namespace", ".".join(namespace)), ("key", key)):
        if len(text.encode()) > NAME_BYTES:
            raise Invalid(f"The {name} is longer than {NAME_BYTES} bytes.")


def _conditions(at: tuple[str, ...], wanted: Object) -> Iterator[Condition]:
    """A filter taken apart: operators, values to equal, objects with more of both.

    Raises Refused.
    """
    for name, value in wanted.items():
        yield from _condition((*at, name), value)


def _condition(at: tuple[str, ...], wanted: Any) -> Iterator[Condition]:
    if not isinstance(wanted, dict):
        yield Condition(at, "$eq", wanted)
    elif not any(name.startswith("$") for name in wanted):
        yield Condition(at, "object")
        yield from _conditions(at, wanted)
    else:
        for operator, operand in wanted.items():
            if operator not in OPERATORS:
                raise Refused(f"Unsupported operator: {operator}")
            yield Condition(at, operator, operand)
