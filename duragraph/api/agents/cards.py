"""A2A's agent cards: who an assistant is, where it is reached, what it takes."""

from typing import Any

import attrs
import msgspec
from aiohttp import web
from msgspec import Raw

from duragraph import __version__
from duragraph.api.io import Call
from duragraph.pg.agents import Agent

MODES = ["application/json", "text/plain"]


def card(call: Call, agent: Agent) -> dict[str, Any]:
    """For clients of both dialects: 0.3 reads `url` and the like, 1.0 `supportedInterfaces`."""
    url = f"{_base(call.request)}/a2a/{agent.assistant_id}"
    described = agent.description or f"{agent.name} assistant"
    skill = {
        "id": f"{agent.assistant_id}-main",
        "name": f"{agent.name} Capabilities",
        "description": described,
        "tags": ["assistant", "langgraph"],
        "examples": [],
        "inputModes": MODES,
        "outputModes": MODES,
        "metadata": {"inputSchema": _taken(agent)},
    }
    shown: dict[str, Any] = {
        "name": agent.name,
        "description": described,
        "url": url,
        "protocolVersion": "0.3.0",
        "preferredTransport": "JSONRPC",
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": version}
            for version in ("1.0", "0.3")
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "stateTransitionHistory": False,
        },
        "defaultInputModes": MODES,
        "defaultOutputModes": MODES,
        "skills": [skill],
        "version": __version__,
    }
    if call.deps.config.auth:
        key = {"type": "apiKey", "in": "header", "name": "x-api-key"}
        shown |= {"securitySchemes": {"key": key}, "security": [{"key": []}]}
    return shown


@attrs.frozen
class _Schema:
    """What of a graph's input schema is shown."""

    properties: dict[str, Raw] = attrs.field(factory=dict)
    required: list[str] = attrs.field(factory=list)


def _schema(agent: Agent) -> _Schema:
    """Of what a worker says anything can come; what is no such schema tells nothing."""
    try:
        return msgspec.json.decode(agent.input_schema or b"{}", type=_Schema)
    except msgspec.ValidationError:
        return _Schema()


def fields(agent: Agent) -> list[str]:
    """What its graph takes, by name; nothing where no worker has said."""
    return list(_schema(agent).properties)


def _taken(agent: Agent) -> dict[str, Any]:
    taken = fields(agent)
    return {
        "required": sorted(_schema(agent).required),
        "properties": sorted(taken),
        "supportsA2A": "messages" in taken,
    }


def _base(request: web.Request) -> str:
    """Where the asker reached this plane, its mount included; a proxy may have ended TLS."""
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    scheme = forwarded if forwarded in {"http", "https"} else request.scheme
    mount = request.path.partition("/.well-known")[0].partition("/a2a")[0]
    return f"{scheme}://{request.host}{mount}"
