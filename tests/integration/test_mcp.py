"""Assistants as MCP's tools: the official client in each of its eras, and what no client sends."""

import asyncio
import json

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.conformance.graphs import CycleGraph, EchoGraph, ErrorGraph, InterruptGraph
from tests.integration.talking import IN_TIME, Chat, serving

pytestmark = pytest.mark.timeout(30)

GRAPHS = (Chat, EchoGraph, ErrorGraph, InterruptGraph, CycleGraph)
HANG = {"n": 0, "limit": 3, "hang_at": 2}
BOTH = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def served(plane):
    async with serving(plane, *GRAPHS):
        yield plane


@pytest.fixture(params=["legacy", "auto"])
def client(served, request):
    """A client; `auto` asks `server/discover` first and stays in the newest revision."""
    return Client(f"{served.url}/mcp", mode=request.param)


async def ask(plane, method, params=None, *, version=None, **headers):
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
    named = {"MCP-Protocol-Version": version} if version else {}
    return await plane.post("/mcp", body, headers=BOTH | named | headers)


def text(result):
    (block,) = result.content
    return block.text


async def test_the_client_speaks_the_newest_revision_of_its_era(served):
    for mode, version in (("legacy", "2025-11-25"), ("auto", "2026-07-28")):
        async with Client(f"{served.url}/mcp", mode=mode) as client:
            assert client.protocol_version == version
            assert client.server_info.name == "DuraGraph"


async def test_each_assistant_is_a_tool(client):
    async with client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"chat", "echo", "error", "interrupt", "cycle"}
        assert tools["echo"].description == "Tool based on the echo assistant"
        assert tools["echo"].input_schema["properties"].keys() == {"msg", "seconds", "out"}
        assert tools["chat"].input_schema["properties"]["messages"]["type"] == "string"
        assert tools["chat"].output_schema["properties"]["messages"]["type"] == "array"


async def test_a_tool_answers_with_its_output(client):
    async with client:
        result = await client.call_tool("echo", {"msg": "hi"})
        assert not result.is_error
        assert json.loads(text(result)) == {"msg": "hi", "out": "hi"}
        assert result.structured_content == {"msg": "hi", "out": "hi"}


async def test_a_string_is_message_enough(client):
    async with client:
        result = await client.call_tool("chat", {"messages": "good day", "note": "x"})
        said = [message["content"] for message in result.structured_content["messages"]]
        assert said == ["good day", "heard good day, noted x"]


async def test_what_goes_wrong_in_a_run_is_for_the_model_to_read(client):
    async with client:
        result = await client.call_tool("error", {"kind": "value"})
        assert (result.is_error, text(result)) == (True, "ValueError: boom")
        result = await client.call_tool("error", {"kind": "custom"})
        assert text(result) == "QuotaError: An internal error occurred"


async def test_a_tool_that_needs_a_person_says_what_it_asks(client):
    async with client:
        result = await client.call_tool("interrupt", {})
        (asked,) = result.structured_content["__interrupt__"]
        assert asked["value"] == "title?"


async def test_an_unknown_tool_is_an_error(client):
    async with client:
        with pytest.raises(MCPError, match="Unknown tool: nope") as error:
            await client.call_tool("nope", {})
        assert error.value.error.code == -32602


async def test_ping(served):
    async with Client(f"{served.url}/mcp", mode="legacy") as client:
        await client.session.send_ping()


async def test_tools_come_by_the_page(served):
    made = [
        (await served.post("/assistants", {"graph_id": "echo", "name": f"t{n}"})).json
        for n in range(100)
    ]
    async with Client(f"{served.url}/mcp") as client:
        first = await client.list_tools()
        rest = await client.list_tools(cursor=first.next_cursor)
    assert (len(first.tools), len(rest.tools), rest.next_cursor) == (100, len(GRAPHS), None)
    names = [tool.name for tool in (*first.tools, *rest.tools)]
    assert set(names) == {a["name"] for a in made} | {"chat", "echo", "error", "interrupt", "cycle"}


async def test_tools_of_one_name_are_told_apart(served):
    first, second = [
        (
            await served.post(
                "/assistants",
                {"graph_id": "echo", "name": "My Tool!", "context": {"suffix": suffix}},
            )
        ).json["assistant_id"]
        for suffix in "12"
    ]
    async with Client(f"{served.url}/mcp") as client:
        names = {tool.name for tool in (await client.list_tools()).tools if "My" in tool.name}
        assert names == {f"My_Tool_-{first[-8:]}", f"My_Tool_-{second[-8:]}"}
        result = await client.call_tool(f"My_Tool_-{second[-8:]}", {"msg": "hi"})
        assert result.structured_content["out"] == "hi2"
        with pytest.raises(MCPError, match="Multiple tools"):
            await client.call_tool("My_Tool_", {"msg": "hi"})


async def test_a_long_call_is_kept_alive(start_plane, monkeypatch):
    monkeypatch.setattr("duragraph.api.sse.KEEP_ALIVE_SECONDS", 0.05)
    plane = await start_plane()
    http = httpx2.AsyncClient(timeout=httpx2.Timeout(5, read=1))
    transport = streamable_http_client(f"{plane.url}/mcp", http_client=http)
    async with serving(plane, EchoGraph), http, Client(transport) as client:
        result = await client.call_tool("echo", {"msg": "late", "seconds": 2})
    assert result.structured_content["out"] == "late"


async def test_a_caller_who_hangs_up_ends_the_run(served):
    calling = asyncio.create_task(ask(served, "tools/call", {"name": "cycle", "arguments": HANG}))
    async with asyncio.timeout(IN_TIME):
        while await running(served) == 0:
            pass
        calling.cancel()
        while await running(served):
            pass


async def test_a_run_that_others_cancel_is_no_success(served):
    calling = asyncio.create_task(ask(served, "tools/call", {"name": "cycle", "arguments": HANG}))
    async with asyncio.timeout(IN_TIME):
        while await running(served) == 0:
            pass
        assert (await served.post("/runs/cancel", {"status": "running"})).status == 204
        result = (await calling).json["result"]
    assert (result["isError"], result["content"][0]["text"]) == (True, "The run was cancelled.")


async def running(plane):
    return (await plane.get("/metrics?format=json")).json["queue"]["n_running"]


async def test_structure_comes_with_the_revisions_that_know_it(served):
    for version, structured in ((None, False), ("2025-03-26", False), ("2025-06-18", True)):
        listed = (await ask(served, "tools/list", version=version)).json["result"]["tools"]
        call = {"name": "echo", "arguments": {"msg": "hi"}}
        called = (await ask(served, "tools/call", call, version=version)).json["result"]
        assert any("outputSchema" in tool for tool in listed) == structured
        assert ("structuredContent" in called) == structured


@pytest.mark.parametrize("asked", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_known_revision_is_agreed_to(plane, asked):
    answer = await ask(plane, "initialize", {"protocolVersion": asked})
    assert answer.json["result"]["protocolVersion"] == asked


@pytest.mark.parametrize("params", [{"protocolVersion": "1999-01-01"}, {}])
async def test_for_another_the_newest_is_offered(plane, params):
    answer = await ask(plane, "initialize", params)
    assert answer.json["result"]["protocolVersion"] == "2025-11-25"


async def test_an_unknown_revision_in_the_header_is_refused(plane):
    answer = await ask(plane, "ping", version="1999-01-01")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32022)
    assert "2026-07-28" in answer.json["error"]["data"]["supported"]


async def test_the_newest_revision_tells_errors_by_status_too(plane):
    newest = {"version": "2026-07-28"}
    answer = await ask(plane, "nope", **newest, **{"Mcp-Method": "nope"})
    assert (answer.status, answer.json["error"]["code"]) == (404, -32601)
    answer = await ask(plane, "ping", **newest, **{"Mcp-Method": "tools/call"})
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)


async def test_an_unknown_method_is_an_error(plane):
    answer = await ask(plane, "resources/list")
    assert answer.status == 200
    assert answer.json == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {"code": -32601, "message": "Method not found: resources/list"},
    }


@pytest.mark.parametrize(
    "params", [[1], {"cursor": 3}, {"cursor": "zz"}, {"cursor": "-1"}, {"cursor": "9" * 99}]
)
async def test_wrong_parameters_are_an_error(plane, params):
    answer = await ask(plane, "tools/list", params)
    assert (answer.status, answer.json["error"]["code"]) == (200, -32602)


@pytest.mark.parametrize(
    "body",
    [
        {"method": "notifications/initialized"},
        {"method": "nope"},
        {"id": 1, "result": {}},
        {"id": None, "method": "ping"},
    ],
)
async def test_what_awaits_no_answer_gets_none(plane, body):
    answer = await plane.post("/mcp", {"jsonrpc": "2.0"} | body, headers=BOTH)
    assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"3",
        b"[]",
        b"\xff",
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
async def test_what_is_no_message_is_refused(plane, body):
    answer = await plane.post("/mcp", data=body, headers=BOTH)
    assert (answer.status, answer.json["code"]) == (400, "refused")


async def test_who_takes_no_json_is_refused(plane):
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for accept, status in (("text/html", 400), ("application/json", 200), ("*/*", 200)):
        assert (await plane.post("/mcp", body, headers={"Accept": accept})).status == status


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_standing_stream_and_no_session(plane, method):
    answer = await plane.call(method, "/mcp")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_a_page_of_another_site_may_not_ask(start_plane):
    plane = await start_plane(cors_origins=("https://mine.example",))
    for origin, status in (("https://mine.example", 200), ("http://evil.example", 403)):
        for path in ("/mcp", "/a2a/chat"):
            answer = await plane.post(
                path,
                {"jsonrpc": "2.0", "id": 1, "method": "ping"},
                headers=BOTH | {"Origin": origin, "Host": "evil.example"},
            )
            assert answer.status == status


async def test_a_tool_needs_the_key_as_all_does(start_plane):
    plane = await start_plane(api_keys=("secret",))
    assert (await ask(plane, "ping")).status == 401
    assert (await ask(plane, "ping", **{"x-api-key": "secret"})).status == 200
