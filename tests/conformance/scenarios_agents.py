"""What other agents ask: assistants as tools of MCP, and as agents of A2A in both its dialects."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from duragraph.ids import system_assistant_id
from tests.conformance.normal import GRAPHS
from tests.conformance.wire import Exchange, Wire

NOBODY = "00000000-0000-4000-8000-000000000000"
NO_TASK = f"{NOBODY}:{NOBODY}"
TOKENS, ECHO = (f"/a2a/{system_assistant_id(g)}" for g in ("tokens", "echo"))
BOTH = {"accept": "application/json, text/event-stream"}
V10 = {"a2a-version": "1.0"}


async def ask(wire: Wire, path: str, method: str, params: Any = None, **headers: str) -> Exchange:
    body = {"jsonrpc": "2.0", "id": 1, "method": method}
    given = {} if params is None else {"params": params}
    return await wire.call("POST", path, body | given, headers=BOTH | headers)


async def mcp(wire: Wire, method: str, params: Any = None, **headers: str) -> Exchange:
    return await ask(wire, "/mcp", method, params, **headers)


async def initialize(wire: Wire) -> None:
    client = {"capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    for version in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "1999-01-01"):
        await mcp(wire, "initialize", {"protocolVersion": version, **client})
    await mcp(wire, "initialize")
    await mcp(wire, "initialize", {})
    await mcp(wire, "ping")
    for method in ("nope", "resources/list", "prompts/list", "server/discover"):
        await mcp(wire, method)
    await mcp(wire, "ping", **{"mcp-protocol-version": "1999-01-01"})
    await mcp(wire, "ping", **{"mcp-session-id": "abc"})


async def tools(wire: Wire) -> None:
    """Those of the fixture graphs, by name: other scenarios make assistants meanwhile."""
    listed = await mcp(wire, "tools/list")
    answer = listed.json
    known = [tool for tool in answer["result"]["tools"] if tool["name"] in GRAPHS]
    answer["result"]["tools"] = sorted(known, key=lambda tool: str(tool["name"]))
    listed.body[:] = json.dumps(answer).encode()


async def calls(wire: Wire) -> None:
    for name, arguments in (
        ("echo", {"msg": "hi"}),
        ("router", {"number": 3}),
        ("tokens", {"messages": "hi"}),
        ("tokens", {"messages": [{"role": "user", "content": "hi", "id": "question"}]}),
        ("error", {"kind": "value"}),
        ("error", {"kind": "zero"}),
        ("error", {"kind": "custom"}),
        ("interrupt", {}),
        ("echo", "text"),
        ("nope", {}),
    ):
        await mcp(wire, "tools/call", {"name": name, "arguments": arguments})
    wrongs: Any = (None, {}, {"name": "router"}, {"arguments": {}}, {"name": 3}, [1])
    for wrong in wrongs:
        await mcp(wire, "tools/call", wrong)


async def envelopes(wire: Wire) -> None:
    for body in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": "text", "method": "ping"},
        {"jsonrpc": "2.0", "id": {}, "method": "ping"},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"id": 1, "method": "ping"},
        [{"jsonrpc": "2.0", "id": 1, "method": "ping"}],
        [],
        b"",
        b"{",
        b"3",
        b"\xff",
    ):
        for path in ("/mcp", TOKENS):
            await wire.call("POST", path, body, headers=BOTH)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for accept in ("application/json", "text/event-stream", "text/html", "*/*"):
        for path in ("/mcp", TOKENS):
            await wire.call("POST", path, ping, headers={"accept": accept})
    for method in ("GET", "DELETE", "PUT"):
        await wire.call(method, "/mcp")
        if method != "GET":
            await wire.call(method, TOKENS)
    await wire.call("POST", "/mcp/", ping, headers=BOTH)


def message(*texts: str, **place: str) -> dict[str, Any]:
    parts = [{"kind": "text", "text": text} for text in texts]
    sent = {"role": "user", "parts": parts, "messageId": str(uuid4()), **place}
    return {"message": sent}


def message_10(text: str, **place: str) -> dict[str, Any]:
    sent = {"role": "ROLE_USER", "parts": [{"text": text}], "messageId": str(uuid4()), **place}
    return {"message": sent}


async def talk(wire: Wire) -> None:
    first = (await ask(wire, TOKENS, "message/send", message("hi")))["result"]
    place = {"contextId": first["contextId"]}
    await ask(wire, TOKENS, "message/send", message("more", **place))
    await ask(wire, TOKENS, "message/send", message("x", taskId=first["id"], **place))
    for params in ({}, {"contextId": first["contextId"]}, {"historyLength": 1}):
        await ask(wire, TOKENS, "tasks/get", {"id": first["id"], **params})
    await ask(wire, TOKENS, "tasks/cancel", {"id": first["id"]})
    await ask(wire, TOKENS, "GetTask", {"id": first["id"]}, **V10)
    await ask(wire, TOKENS, "CancelTask", {"id": first["id"]}, **V10)
    await ask(wire, TOKENS, "SendMessage", message_10("hi"), **V10)
    await ask(wire, TOKENS, "message/send", message("hi", contextId=str(uuid4())))
    await ask(wire, TOKENS, "ListTasks", {**place, "historyLength": 1}, **V10)
    await ask(wire, TOKENS, "ListTasks", {"contextId": str(uuid4())}, **V10)


async def talk_of_data(wire: Wire) -> None:
    parts = [{"kind": "data", "data": {"msg": "hi"}}]
    sent = {"message": {"role": "user", "messageId": "m", "parts": parts}}
    await ask(wire, ECHO, "message/send", sent)
    await ask(wire, ECHO, "message/send", message("hi"))
    await ask(wire, ECHO, "message/stream", message("hi"))


async def stream_talk(wire: Wire) -> None:
    await ask(wire, TOKENS, "message/stream", message("hi"))
    await ask(wire, TOKENS, "SendStreamingMessage", message_10("hi"), **V10)


async def wrong_talk(wire: Wire) -> None:
    given = message("hi")["message"]
    for wrong in (
        None,
        {},
        [1],
        {"message": "x"},
        {"message": {**given, "parts": []}},
        {"message": {"role": "user", "messageId": "a"}},
        {"message": {"role": "user", "parts": given["parts"]}},
        {"message": {"messageId": "a", "parts": given["parts"]}},
        {"message": {**given, "parts": ["x"]}},
        {"message": {**given, "parts": [{"kind": "nope"}]}},
        {"message": {**given, "contextId": "nope"}},
        {"message": {**given, "taskId": "nope"}},
        {"message": {**given, "taskId": NO_TASK}},
    ):
        await ask(wire, TOKENS, "message/send", wrong)
    for method in ("tasks/get", "tasks/cancel"):
        for params in (None, {}, {"id": 3}, {"id": "nope"}, {"id": NO_TASK}):
            await ask(wire, TOKENS, method, params)
    for params in ({"pageSize": 0}, {"pageSize": 101}, {"pageToken": "zz"}, {"status": "x"}):
        await ask(wire, TOKENS, "ListTasks", params, **V10)
    for method in ("nope", "tasks/list", "tasks/pushNotificationConfig/set"):
        await ask(wire, TOKENS, method, {})
    for path in (f"/a2a/{NOBODY}", "/a2a/nope"):
        await ask(wire, path, "message/send", message("hi"))
        await ask(wire, path, "message/stream", message("hi"))
        await ask(wire, path, "tasks/get", {"id": NO_TASK})


async def cards(wire: Wire) -> None:
    for graph in ("tokens", "echo"):
        assistant = system_assistant_id(graph)
        await wire.get(f"/.well-known/agent-card.json?assistant_id={assistant}")
        await wire.get(f"/a2a/{assistant}/.well-known/agent-card.json")
        await wire.get(f"/a2a/{assistant}")
    await ask(wire, TOKENS, "GetExtendedAgentCard", {}, **V10)
    await wire.get("/.well-known/agent-card.json")
    for nobody in (NOBODY, "nope"):
        await wire.get(f"/.well-known/agent-card.json?assistant_id={nobody}")
        await wire.get(f"/a2a/{nobody}/.well-known/agent-card.json")


SCENARIOS: tuple[Callable[[Wire], Awaitable[None]], ...] = (
    initialize,
    tools,
    calls,
    envelopes,
    talk,
    talk_of_data,
    stream_talk,
    wrong_talk,
    cards,
)
