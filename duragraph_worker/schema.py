"""JSON Schemas of types and of graphs' states. msgspec and pydantic do the work."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from duragraph_worker.messages import AIMessage, HumanMessage, Message, SystemMessage, ToolMessage
from duragraph_worker.plan import Channel, Plan
from duragraph_worker.state import add_messages, is_pydantic, leaves

_KINDS = (HumanMessage, AIMessage, SystemMessage, ToolMessage)


def of(annotation: Any) -> dict[str, Any]:
    """The schema of a type, its own shape at the top. Raises TypeError if it has none."""
    found = set(leaves(annotation))
    if any(is_pydantic(leaf) for leaf in found):
        schema: dict[str, Any] = sys.modules["pydantic"].TypeAdapter(annotation).json_schema()
        return schema
    if any(isinstance(leaf, type) and issubclass(leaf, Message) for leaf in found):
        return _messages()
    (schema,), named = msgspec.json.schema_components(
        [annotation], schema_hook=_foreign, ref_template="#/$defs/{name}"
    )
    own = schema.get("$ref", "").removeprefix("#/$defs/")
    if own and schema["$ref"] not in str(named):
        schema = named.pop(own)
    return schema | {"$defs": named} if named else schema


def fit(value: Any, annotation: Any) -> Any:
    """Plain JSON as a value of a type. Raises ValueError saying what doesn't fit, and where."""
    if any(is_pydantic(leaf) for leaf in leaves(annotation)):
        return sys.modules["pydantic"].TypeAdapter(annotation).validate_python(value)
    return msgspec.convert(value, annotation, dec_hook=_restore)


def of_channels(title: str, channels: Iterable[Channel]) -> dict[str, Any]:
    """The schema of an object with these keys; a key whose type has none takes anything."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for channel in channels:
        schema = _messages() if channel.reducer is add_messages else _of_any(channel.type)
        definitions |= schema.pop("$defs", {})
        properties[channel.name] = {"title": channel.name.replace("_", " ").title()} | schema
    schema = {"title": title, "type": "object", "properties": properties}
    return schema | {"$defs": definitions} if definitions else schema


def of_graph(plan: Plan) -> dict[str, Any]:
    """`{input_schema, output_schema, state_schema, config_schema, context_schema}`.

    None for what is not declared. `config_schema` is the context's, as that may come in either.
    """
    channels = plan.channels
    context = None if plan.context_type is None else _of_any(plan.context_type)
    return {
        "input_schema": _part(plan, channels, "input", plan.input_keys),
        "output_schema": _part(plan, channels, "output", plan.output_keys),
        "state_schema": _part(plan, channels, "state", None),
        "config_schema": context or {},
        "context_schema": context,
    }


def _part(
    plan: Plan,
    channels: Mapping[str, Channel] | None,
    part: str,
    keys: tuple[str, ...] | None,
) -> dict[str, Any] | None:
    if channels is None:
        return None
    chosen = [channels[key] for key in keys] if keys is not None else channels.values()
    return of_channels(f"{plan.graph_id}_{part}", chosen)


def _of_any(annotation: Any) -> dict[str, Any]:
    try:
        return of(annotation)
    except TypeError:
        return {}


def _messages() -> dict[str, Any]:
    schemas, named = msgspec.json.schema_components(_KINDS, ref_template="#/$defs/{name}")
    return {"type": "array", "items": {"anyOf": list(schemas)}, "$defs": named}


def _foreign(annotation: Any) -> dict[str, Any]:
    if is_pydantic(annotation):
        schema: dict[str, Any] = annotation.model_json_schema()
        return schema
    raise NotImplementedError


def _restore(annotation: Any, value: Any) -> Any:
    if is_pydantic(annotation):
        return annotation.model_validate(value)
    raise NotImplementedError
