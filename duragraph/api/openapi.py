"""The API described by itself: OpenAPI 3.1 from the route table and the handlers' annotations.

Workers speak msgpack, which is not described here; see `duragraph/protocol.py`.
"""

import inspect
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import attrs
import msgspec
from aiohttp import web
from msgspec import UNSET, Raw, UnsetType

from duragraph import __version__
from duragraph.api.io import KEY, KEY_PATTERN, Media, Reply, Route, Socket, Status, unread
from duragraph.api.middleware import OPEN, STATUS
from duragraph.models import Id

JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"
PLAIN = {"text/plain": {"schema": {"type": "string"}}}
"""What the wire has for a namespace's label that can't be one."""
NO_BODY = 204
IDEMPOTENCY_KEY = {
    "name": KEY,
    "in": "header",
    "description": "The same request under the same key is carried out once.",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}

Schema = dict[str, Any]


@attrs.frozen
class Error:
    """Why a request failed. `code` is for programs, `detail` and `hint` are for people."""

    detail: str
    code: str
    hint: str | UnsetType = UNSET


class _Security(msgspec.Struct):
    """`auth.openapi` of a `langgraph.json`, which may spell it in either way."""

    securitySchemes: Schema | None = None  # noqa: N815 - OpenAPI's name
    security_schemes: Schema | None = None
    security: list[Schema] | None = None


def secured(shown: bytes, security: bytes) -> bytes:
    """The document with a project's own security schemes, if it has some, beside the key."""
    try:
        said = msgspec.json.decode(security, type=_Security | None)
    except msgspec.DecodeError:
        return shown
    schemes = said and (said.securitySchemes or said.security_schemes)
    if said is None or schemes is None:
        return shown
    whole: Schema = msgspec.json.decode(shown)
    whole["components"]["securitySchemes"] |= schemes
    if said.security is not None:
        whole["security"] = [*said.security, {"key": []}]
    return msgspec.json.encode(whole)


class Components:
    """Schemas of types; those of classes are collected to be referred to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}

    def schema(self, type: Any) -> Schema:
        (schema,), found = msgspec.json.schema_components([_shown(type)], ref_template=REFERENCE)
        self.schemas |= found
        return schema

    def fields(self, type: Any) -> dict[str, Schema]:
        """The properties of an attrs class, which itself is not collected."""
        _, found = msgspec.json.schema_components([type], ref_template=REFERENCE)
        properties: dict[str, Schema] = found.pop(type.__name__)["properties"]
        self.schemas |= found
        return properties

    def selected(self, rows: Any) -> Schema:
        """A row, or a list of them, that may lack keys, since the client selects them."""
        schema = self.schema(rows)
        row = self.schemas[schema.get("items", schema)["$ref"].rpartition("/")[2]]
        partial = {k: v for k, v in row.items() if k not in {"required", "title"}}
        return schema | {"items": partial} if "items" in schema else partial


def document(routes: Iterable[Route]) -> Schema:
    """The whole document. Paths are given once, without their mounts."""
    components = Components()
    paths: dict[str, Schema] = {}
    for route in routes:
        if not route.path.startswith("/workers"):
            operations = paths.setdefault(route.path, {})
            operations[route.method.lower()] = _operation(route, components)
    error = {"content": {JSON: {"schema": components.schema(Error)}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DuraGraph",
            "version": __version__,
            "description": "A durable control plane for agent graphs.",
        },
        "servers": [{"url": "/"}, {"url": "/api/v1"}],
        "security": [{}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "responses": {code: {"description": _words(code)} | error for code in STATUS}
            | {"invalid_label": {"description": "Invalid", "content": error["content"] | PLAIN}},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _operation(route: Route, components: Components) -> Schema:
    room = route.handler.__module__.rpartition(".")[2]
    hints = inspect.get_annotations(route.handler, eval_str=True)
    body, query = hints.get("body"), hints.get("query")
    given = [t for t in (body, query) if t is not None and attrs.has(t)]
    selects = any("select" in attrs.fields_dict(t) for t in given)
    operation: Schema = {
        "operationId": f"{room}_{route.handler.__name__}",
        "tags": [room],
        "summary": _words(route.handler.__name__),
        "parameters": [
            *_path(route, components),
            *(_query(query, components) if query else []),
            *([IDEMPOTENCY_KEY] if route.once else []),
        ],
        "responses": _successes(route, hints["return"], components, selects=selects)
        | _failures(route),
    }
    if documentation := inspect.getdoc(route.handler):
        operation["description"] = documentation
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": components.schema(body)}},
        }
    if (read := unread(body)) is not None and read.refusal is not None:
        schema = components.schema(read.refusal)
        operation["responses"]["400"] = {
            "description": "Refused.",
            "content": {JSON: {"schema": schema}},
        }
    return operation


def _path(route: Route, components: Components) -> Iterable[Schema]:
    for name in re.findall(r"{(\w+)}", route.path):
        kind = Id if name.endswith("_id") else Annotated[str, msgspec.Meta(min_length=1)]
        yield {"name": name, "in": "path", "required": True, "schema": components.schema(kind)}


def _query(type: Any, components: Components) -> Iterable[Schema]:
    for name, schema in components.fields(type).items():
        alternatives = [s for s in schema.get("anyOf", [schema]) if s != {"type": "null"}]
        plain = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
        default = schema.get("default")
        shown = plain if default is None else plain | {"default": default}
        yield {"name": name, "in": "query", "schema": shown}


def _successes(route: Route, type: Any, components: Components, *, selects: bool) -> Schema:
    """By status: each member of the return annotation is one answer."""
    members = get_args(type) if get_origin(type) in {Union, UnionType} else (type,)
    answers: Schema = {}
    for member in members:
        status, marks = route.status, getattr(member, "__metadata__", ())
        if marks and isinstance(marks[0], Status):
            status = marks[0].code
        elif marks:
            (media,) = (m for m in marks if isinstance(m, Media))
            if member == Socket:
                answers["101"] = {"description": "A WebSocket."}
                answers["405"] = {"description": "No WebSocket was asked for."}
                continue
            answers.setdefault("200", _success())["content"][media.type] = {"schema": {}}
            continue
        bare = get_args(member)[0] if marks else member
        noun = get_args(bare)[0] if get_origin(bare) is Reply else bare
        if noun is NoneType or noun is None:
            status = NO_BODY if status == web.HTTPOk.status_code else status
            answers[str(status)] = {"description": "No body."}
        else:
            schema = components.selected(noun) if selects else components.schema(noun)
            content = answers.setdefault(str(status), _success())["content"]
            content[JSON] = {"schema": schema}
    return answers


def _shown(type: Any) -> Any:
    """A body's class without defaults of raw JSON, which msgspec can't put into a schema."""
    if described := unread(type):
        return _shown(described.type)
    if get_origin(type) is Annotated:
        return type.copy_with([_shown(get_args(type)[0])])
    if get_origin(type) is list:
        return list.__class_getitem__(_shown(*get_args(type)))
    if not attrs.has(type) or not any(isinstance(f.default, Raw) for f in attrs.fields(type)):
        return type
    fields = {
        f.name: attrs.field(
            type=f.type, default=attrs.Factory(bytes) if isinstance(f.default, Raw) else f.default
        )
        for f in attrs.fields(type)
    }
    return attrs.make_class(type.__name__, fields, class_body={"__doc__": type.__doc__})


def _success() -> Schema:
    return {"description": "Success.", "content": {}}


def _failures(route: Route) -> Schema:
    codes = {"invalid", "unavailable", "internal"} if route.path in OPEN else set(STATUS)
    invalid = "invalid_label" if route.path.startswith("/store/") else "invalid"
    return {
        str(status): {"$ref": f"#/components/responses/{invalid if code == 'invalid' else code}"}
        for code, status in STATUS.items()
        if code in codes
    }


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
