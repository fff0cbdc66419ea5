"""Replies of a given type: the schema a model is asked for, and the value read from its reply."""

from typing import Any

import msgspec

from duragraph_worker import schema, serialize
from duragraph_worker.llm.providers import Output


class OutputError(ValueError):
    """A model's reply doesn't have the type it was asked for."""


def wanted(annotation: Any) -> Output:
    """The schema to ask for. Models only promise objects: other types are wrapped in one."""
    shape = schema.of(annotation)
    if shape.get("type") != "object":
        named = shape.pop("$defs", None)
        shape = {"type": "object", "properties": {"value": shape}, "required": ["value"]}
        shape |= {"$defs": named} if named else {}
    name = getattr(annotation, "__name__", "output")
    return Output(name if name.isidentifier() else "output", shape)


def read(text: str, annotation: Any) -> Any:
    """The value in a reply. Raises OutputError with what the model said instead."""
    try:
        value = msgspec.json.decode(text)
        if schema.of(annotation).get("type") != "object":
            value = value["value"]
        return schema.fit(value, annotation)
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"the model's reply is no {annotation}: {error}; it said {text!r:.200}"
        ) from error


def plain(value: Any) -> Any:
    """The value as it stands in a state: JSON's types only."""
    return serialize.decode(serialize.encode(value))
