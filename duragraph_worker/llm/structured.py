"""Replies of a given type: the schema a model is asked for, and the value read from its reply.

Providers without such a mode, or without it beside tools, get the schema as one more tool, whose
arguments are the reply.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import attrs
import msgspec

from duragraph_worker import schema, serialize
from duragraph_worker.llm.providers import Output
from duragraph_worker.llm.tools import Declaration
from duragraph_worker.messages import AIMessage, AIMessageChunk


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


def closed(shape: Any) -> Any:
    """A schema as strict modes ask: objects closed and whole, unions `anyOf`, no defaults.

    Raises ValueError where that would change its meaning: a mapping has no names to list.
    """
    if isinstance(shape, list):
        return [closed(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    if shape.get("type") == "object" and not shape.get("properties"):
        raise ValueError("strict modes have no mappings")
    strict = {
        {"oneOf": "anyOf"}.get(key, key): closed(value)
        for key, value in shape.items()
        if key not in ("default", "discriminator", "properties", "$defs")
    }
    # Their keys are names, not keywords.
    for key in shape.keys() & {"properties", "$defs"}:
        strict[key] = {name: closed(value) for name, value in shape[key].items()}
    if "properties" in strict:
        strict |= {"additionalProperties": False, "required": list(strict["properties"])}
    return strict


def as_tool(output: Output) -> Declaration:
    """The schema as a tool that takes the reply."""
    return Declaration(output.name, "Give your final answer by calling this.", output.schema)


def answer(reply: AIMessage, output: Output | None) -> AIMessage:
    """The reply with the call of `as_tool(output)`, if it has one, as its text."""
    if output is None:
        return reply
    given = [call for call in reply.tool_calls if call["name"] == output.name]
    broken = [call for call in reply.invalid_tool_calls if call["name"] == output.name]
    if not given and not broken:
        return reply
    text = msgspec.json.encode(given[0]["args"]).decode() if given else broken[0]["args"]
    return attrs.evolve(
        reply,
        content=text,
        tool_calls=[call for call in reply.tool_calls if call not in given],
        invalid_tool_calls=[call for call in reply.invalid_tool_calls if call not in broken],
    )


async def answers(
    chunks: AsyncGenerator[AIMessageChunk, None], output: Output | None
) -> AsyncGenerator[AIMessageChunk, None]:
    """The same for a stream of chunks; without an `output`, they pass."""
    ours: set[int | None] = set()
    async with aclosing(chunks):
        async for chunk in chunks:
            pieces = chunk.tool_call_chunks
            if output is None or not pieces:
                yield chunk
                continue
            ours |= {piece["index"] for piece in pieces if piece["name"] == output.name}
            text = "".join(piece["args"] or "" for piece in pieces if piece["index"] in ours)
            others = [piece for piece in pieces if piece["index"] not in ours]
            yield attrs.evolve(chunk, content=text or chunk.content, tool_call_chunks=others)
