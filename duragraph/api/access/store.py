"""Guards of the store. Its items are nobody's: handlers say who may come, and rewrite namespaces.

A filter narrows a search alone, as on the reference.
"""

from typing import Any

import attrs
import msgspec

from duragraph.api.access.asking import Given, ask, changed, decoded, limited
from duragraph.api.io import Call
from duragraph.errors import Denied


async def put(call: Call, given: Given) -> Call:
    body = given["body"]
    names = ("namespace", "key", "value", "index", "ttl")
    value = {name: getattr(body, name) for name in names}
    decision = await ask(call, "store", "put", value)
    given["body"] = changed(body, decision.changed, *names)
    return limited(call)


async def get(call: Call, given: Given) -> Call:
    """The query has the namespace as one word."""
    query = given["query"]
    value = {
        "namespace": query.namespace.split("."),
        "key": query.key,
        "refresh_ttl": query.refresh_ttl,
    }
    decision = await ask(call, "store", "get", value)
    if "namespace" in decision.changed:
        query = attrs.evolve(query, namespace=_dotted(decision.changed["namespace"]))
    given["query"] = changed(query, decision.changed, "key", "refresh_ttl")
    return limited(call)


async def delete(call: Call, given: Given) -> Call:
    body = given["body"]
    value = {"namespace": body.namespace, "key": body.key}
    decision = await ask(call, "store", "delete", value)
    given["body"] = changed(body, decision.changed, "namespace", "key")
    return limited(call)


async def search(call: Call, given: Given) -> Call:
    body = given["body"]
    names = ("filter", "limit", "offset", "query", "refresh_ttl")
    value = {name: getattr(body, name) for name in names}
    value["namespace"] = body.namespace_prefix or []
    decision = await ask(call, "store", "search", value)
    body = changed(body, decision.changed, *names, namespace="namespace_prefix")
    wanted: dict[str, Any] = msgspec.json.decode(decision.filter)
    if any(body.filter.get(name, wanted[name]) != wanted[name] for name in wanted if body.filter):
        raise Denied(403, "The filter asks for what the auth handlers decide.")
    given["body"] = attrs.evolve(body, filter=(body.filter or {}) | wanted or None)
    return limited(call)


async def namespaces(call: Call, given: Given) -> Call:
    body = given["body"]
    names = ("suffix", "max_depth", "limit", "offset")
    value: dict[str, Any] = {name: getattr(body, name) for name in names}
    value |= {"namespace": body.prefix or None, "suffix": body.suffix or None}
    decision = await ask(call, "store", "list_namespaces", value)
    given["body"] = changed(body, decision.changed, *names, namespace="prefix")
    return limited(call)


def _dotted(namespace: bytes) -> str:
    """Raises Denied; a label with a dot in it would become two, and another's perhaps."""
    labels = decoded(namespace, list[str])
    if bad := [label for label in labels if "." in label]:
        raise Denied(422, f"Namespace label {bad[0]!r} must be a non-empty string without periods")
    return ".".join(labels)
