"""MCP over streamable HTTP: every assistant is a tool. Stateless: no session, no standing stream.

Contract: modelcontextprotocol.io, the revisions in VERSIONS, and the LangGraph server's recorded
answers. A call is a stateless run. Its result goes to its caller and nowhere else, so a caller
who hangs up ends the run.
"""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import attrs
import msgspec
from aiohttp import web
from msgspec import UNSET, Raw

from duragraph import __version__, codec
from duragraph.api import creation, sse
from duragraph.api.access import assistants as access
from duragraph.api.agents import jsonrpc
from duragraph.api.agents.jsonrpc import Failure, Fault, Message, MessageId, Success
from duragraph.api.io import Call, Reply, Unread, Value, reply
from duragraph.errors import Refused
from duragraph.frames import Batch
from duragraph.ids import new_id
from duragraph.models import EMPTY, RunCreate
from duragraph.pg import agents
from duragraph.pg.agents import Tool

HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
ENVELOPE = "2026-07-28"
"""No `initialize`: each request names its revision, and HTTP's status tells of errors."""
VERSIONS = (*HANDSHAKE, ENVELOPE)
STRUCTURED = frozenset(VERSIONS[2:])
"""In these a result has a part for programs, and a tool a schema of it."""

UNSUPPORTED_VERSION, HEADER_MISMATCH = -32022, -32020
STATUS = {
    UNSUPPORTED_VERSION: 400,
    HEADER_MISMATCH: 400,
    jsonrpc.INVALID_PARAMS: 400,
    jsonrpc.METHOD_NOT_FOUND: 404,
}

_is_cursor = re.compile(r"\d{1,9}", re.ASCII).fullmatch
PAGE = 100
MESSAGES = {
    "type": "string",
    "title": "Messages",
    "description": "The user message to send to the agent.",
}
"""Asked for where a graph takes messages: a model need not know their shape."""
HINTS = {
    "readOnlyHint": False,
    "destructiveHint": False,
    "idempotentHint": False,
    "openWorldHint": True,
}
ENDED = {"interrupted": "The run was cancelled.", "timeout": "The run took too long."}


@attrs.frozen
class Initialize:
    protocolVersion: str = HANDSHAKE[-1]  # noqa: N815 - the wire's name


@attrs.frozen
class ListTools:
    cursor: str | None = None


@attrs.frozen
class CallTool:
    name: str
    arguments: Raw = EMPTY


async def post(call: Call, *, body: Annotated[bytes, Unread(Message)]) -> Value | Reply[None]:
    """One JSON-RPC message: `initialize`, `server/discover`, `ping`, `tools/list`, `tools/call`."""
    jsonrpc.check_origin(call)
    if not jsonrpc.accepts(call, "application/json", "text/event-stream"):
        raise Refused("Accept header must include application/json or text/event-stream")
    try:
        message = jsonrpc.decode(call, body)
    except Fault as fault:
        raise Refused(str(fault)) from None
    if message.method is None or message.id is UNSET or message.id is None:
        return Reply(status=202)
    version = call.request.headers.get("MCP-Protocol-Version")
    try:
        _check_version(call, message, version)
        if message.method == "tools/call":
            with jsonrpc.faults():
                return await _call_tool(call, message, version)
        result = await _result(call, message, version)
    except Fault as fault:
        failure = Failure(message.id, fault.problem)
        enveloped = version not in {None, *HANDSHAKE}
        return reply(failure, STATUS.get(fault.problem.code, 200) if enveloped else 200)
    return reply(Success(message.id, result), 200)


def _check_version(call: Call, message: Message, version: str | None) -> None:
    if version is not None and version not in VERSIONS:
        raise Fault(
            UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            {"supported": VERSIONS, "requested": version},
        )
    if version == ENVELOPE and call.request.headers.get("Mcp-Method") != message.method:
        raise Fault(HEADER_MISMATCH, "The header Mcp-Method must name the body's method.")


async def _result(call: Call, message: Message, version: str | None) -> dict[str, Any]:
    able = {"tools": {"listChanged": False}}
    server = {"name": "DuraGraph", "version": __version__}
    match message.method:
        case "initialize":
            asked = jsonrpc.params(message, Initialize).protocolVersion
            agreed = asked if asked in HANDSHAKE else HANDSHAKE[-1]
            return {"protocolVersion": agreed, "capabilities": able, "serverInfo": server}
        case "server/discover":
            meta = {"io.modelcontextprotocol/serverInfo": server}
            found = {"supportedVersions": VERSIONS, "capabilities": able, "_meta": meta}
            return found | _stale(version)
        case "ping":
            return {}
        case "tools/list":
            listed = await _list_tools(call, jsonrpc.params(message, ListTools), version)
            return listed | _stale(version)
    raise Fault(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {message.method}")


def _stale(version: str | None) -> dict[str, Any]:
    """Assistants come and go: clients may not cache the answer."""
    if version != ENVELOPE:
        return {}
    return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def _list_tools(call: Call, asked: ListTools, version: str | None) -> dict[str, Any]:
    cursor = asked.cursor or "0"
    if not _is_cursor(cursor):
        raise Fault(jsonrpc.INVALID_PARAMS, "Invalid cursor.")
    call = await access.tools(call, limit=PAGE, offset=int(cursor))
    async with call.tenant() as conn:
        found = await agents.tools(conn, call.organization_id, limit=PAGE + 1, offset=int(cursor))
    shown: dict[str, Any] = {"tools": [_shown(tool, version) for tool in found[:PAGE]]}
    return shown | ({"nextCursor": str(int(cursor) + PAGE)} if len(found) > PAGE else {})


def _shown(tool: Tool, version: str | None) -> dict[str, Any]:
    described = tool.description or f"Tool based on the {tool.title} assistant"
    takes = msgspec.json.decode(tool.input_schema)
    fields = takes.get("properties")
    if isinstance(fields, dict) and "messages" in fields:
        fields["messages"] = MESSAGES
    shown = {
        "name": tool.name,
        "title": tool.title,
        "description": described,
        "inputSchema": takes,
    }
    gives = msgspec.json.decode(tool.output_schema)
    if version in STRUCTURED and isinstance(gives, dict) and gives.get("type") == "object":
        # A run that stops at an interrupt has not written all that its graph gives.
        shown["outputSchema"] = {key: gives[key] for key in gives if key != "required"}
    return shown | {"annotations": HINTS}


async def _call_tool(call: Call, message: Message, version: str | None) -> web.StreamResponse:
    asked = jsonrpc.params(message, CallTool)
    call = await access.tools(call, limit=PAGE)
    async with call.tenant() as conn:
        found = await agents.tools_named(conn, call.organization_id, asked.name)
    if not found:
        raise Fault(jsonrpc.INVALID_PARAMS, f"Unknown tool: {asked.name}")
    if len(found) > 1:
        raise Fault(jsonrpc.INVALID_PARAMS, "Multiple tools found with the same name.")
    run_id = new_id()
    body = RunCreate(found[0].assistant_id, input=asked.arguments, on_disconnect="cancel")
    with call.deps.streams.subscribe(run_id) as follower:
        run = (await creation.create(call, run_id, None, body)).run
        batches = call.deps.streams.follow(run_id, follower, fresh=True)
        async with sse.while_connected(call, run, cancel=True):
            return await sse.value(call, _called(message.id, version, batches), {})


async def _called(id: MessageId, version: str | None, batches: AsyncIterator[Batch]) -> bytes:
    """What came of the run; what went wrong in it is for the model to read."""
    output, failed = b"{}", None
    async for batch in batches:
        for _, event, data in batch.numbered():
            if event == "values":
                output = data
            elif event == "error":
                failed = jsonrpc.in_words(data)
        failed = failed or ENDED.get(batch.status or "")
    result: dict[str, Any]
    if failed is not None:
        result = {"isError": True, "content": [{"type": "text", "text": failed}]}
    else:
        result = {"content": [{"type": "text", "text": output.decode()}]}
        if version in STRUCTURED:
            result["structuredContent"] = Raw(output)
    if version == ENVELOPE:
        result["resultType"] = "complete"
    return codec.dumps(Success(id, result))
