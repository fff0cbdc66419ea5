"""Tools and their calls as OpenAI's chat completions have them, and many who follow these."""

from typing import Any

import msgspec

from duragraph_worker.llm.tools import Declaration
from duragraph_worker.messages import AIMessage


def declared(tool: Declaration) -> dict[str, Any]:
    """A tool as a model is told of it."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def called(message: AIMessage) -> list[dict[str, Any]]:
    """The tool calls of a reply, those that nobody could read as they came."""
    whole = [
        _call(call["id"], call["name"], msgspec.json.encode(call["args"]).decode())
        for call in message.tool_calls
    ]
    return whole + [_call(c["id"], c["name"], c["args"]) for c in message.invalid_tool_calls]


def _call(call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments or "{}"},
    }
