"""How the tests ask: a graph with one LLM node, and readers of what went over the wire."""

import base64
import json
from typing import Any, Literal

import attrs

from duragraph_worker import Graph, llm_node, tool
from duragraph_worker.local.results import RunResult

HI = {"messages": [{"role": "user", "content": "hi"}]}
PIXEL = base64.b64encode(b"no real picture").decode()


@tool
async def weather(city: str) -> str:
    """Weather of a city."""
    return f"20 C in {city}"


@attrs.define
class Verdict:
    label: Literal["good", "bad"]


async def run(vendor: str, given: Any = HI, **options: Any) -> RunResult:
    """One run of a graph whose node asks the vendor's model."""
    options = {"model": f"{vendor}/the-model"} | options

    class G:
        @llm_node(**options)
        def process(self, state): ...

    return await Graph(id="g")(G)().arun(given)


async def said(vendor: str, given: Any = HI, **options: Any) -> list[Any]:
    """The messages at the end of a run that must succeed."""
    result = await run(vendor, given, **options)
    assert result.status == "success", result.error
    return result.output["messages"]


def tools(body: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, description and schema of each tool in a request."""
    found = []
    for declared in body.get("tools", ()):
        told = declared.get("function", declared)
        schema = told.get("parameters") or told.get("input_schema")
        found.append((told["name"], told["description"], schema))
    return found


def system(body: dict[str, Any]) -> str | None:
    """The system prompt in a request."""
    if "system" in body:
        return "".join(block["text"] for block in body["system"])
    first = body["messages"][0]
    return first["content"] if first["role"] == "system" else None


def asked_calls(body: dict[str, Any]) -> list[tuple[str | None, str, Any]]:
    """Id, name and arguments of all tool calls that a request repeats."""
    found = []
    for message in body["messages"]:
        if message["role"] != "assistant":
            continue
        for call in message.get("tool_calls") or ():
            args = call["function"]["arguments"]
            found.append((call.get("id"), call["function"]["name"], _read(args)))
        if isinstance(message.get("content"), list):
            blocks = message["content"]
            uses = [block for block in blocks if block["type"] == "tool_use"]
            found += [(use["id"], use["name"], use["input"]) for use in uses]
    return found


def answers(body: dict[str, Any]) -> list[tuple[str, str]]:
    """What each tool call was answered, with its id, or its name where a vendor has no ids."""
    found = []
    for message in body["messages"]:
        if message["role"] == "tool":
            key = message.get("tool_call_id") or message["tool_name"]
            found.append((key, message["content"]))
        elif isinstance(message.get("content"), list):
            for block in message["content"]:
                if block["type"] == "tool_result":
                    text = "".join(part["text"] for part in block["content"])
                    found.append((block["tool_use_id"], text))
    return found


def _read(args: Any) -> Any:
    if not isinstance(args, str):
        return args
    try:
        return json.loads(args)
    except ValueError:
        return args
