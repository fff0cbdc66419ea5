"""The vendors' SDKs against a fake that others wrote: `@copilotkit/aimock`, a Node program.

It is installed at the first use. It has no counts for Ollama, and tells what Cohere's and Ollama's
models think as text or not at all: that is left to `test_matrix.py`.
"""

import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from duragraph_worker import Graph, llm_node
from duragraph_worker.llm.providers import register_provider, resolve, unregister_provider
from tests import npm
from tests.providers.asking import Verdict, run, weather
from tests.providers.vendors import VENDORS, provider

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent / "aimock"
MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-haiku-4-5",
    "cohere": "command-a-03-2025",
    "ollama": "llama3.2",
}
LONG = "This reply is long enough to be cut somewhere."
CALLS = [{"name": "weather", "arguments": json.dumps({"city": city})} for city in ("Ulm", "Bonn")]
USED = {"input_tokens": 9, "output_tokens": 4, "prompt_tokens": 9, "completion_tokens": 4}


def fixture(said: str, response: dict[str, object], **more: object) -> dict[str, object]:
    """What is answered to a user's message with `said` in it."""
    match = {"userMessage": said} | {k: more.pop(k) for k in ("sequenceIndex",) if k in more}
    if said == "weather" and "content" in response:
        match["hasToolResult"] = True
    return {"match": match, "response": response} | more


FIXTURES = [
    fixture("hello", {"content": "Hello there, how are you?", "usage": USED}),
    fixture("weather", {"content": "It is warm."}),
    fixture("weather", {"toolCalls": CALLS}),
    fixture("verdict", {"content": '{"label": "good"}'}),
    fixture("broken", {"error": {"message": "on fire", "type": "server_error"}, "status": 500}),
    fixture("refused", {"error": {"message": "who are you?", "type": "auth"}, "status": 401}),
    fixture("dropped", {"content": LONG}, chaos={"disconnectRate": 1}),
    fixture("garbled", {"content": LONG}, chaos={"malformedRate": 1}),
    fixture("cut", {"content": LONG}, truncateAfterChunks=3),
    fixture("slow", {"content": LONG}, latency=60_000),
    *(
        fixture(f"limited {vendor} {stream}", response, **more)
        for vendor in VENDORS
        for stream in (True, False)
        for response, more in (
            ({"error": {"message": "slow down", "type": "x"}, "status": 429}, {"sequenceIndex": 0}),
            ({"content": "At last."}, {}),
        )
    ),
]


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    npm.install(HERE)
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = HERE / "node_modules/@copilotkit/aimock/dist/cli.js"
    command = ["node", str(program), "-p", str(port), "-f", str(fixtures), "-c", "6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stdout is not None
        try:
            assert any("listening" in line for line in server.stdout), "aimock did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(autouse=True)
async def asked_there(aimock: str, vendor: str) -> AsyncIterator[None]:
    """The vendor's models are asked at aimock."""
    register_provider(vendor, provider(vendor, aimock, max_retries=1))
    yield
    unregister_provider(vendor)


async def ask(vendor: str, what: str, **options: object):
    given = {"messages": [{"role": "user", "content": what}]}
    return await run(vendor, given, model=f"{vendor}/{MODELS[vendor]}", **options)


async def test_it_replies(vendor, stream):
    result = await ask(vendor, "hello", stream=stream)
    reply = result.output["messages"][-1]
    assert reply.text == "Hello there, how are you?"
    if vendor != "ollama":
        assert reply.usage_metadata["total_tokens"] == 13


async def test_it_streams(vendor):
    class G:
        @llm_node(model=f"{vendor}/{MODELS[vendor]}")
        def process(self, state): ...

    given = {"messages": [{"role": "user", "content": "hello"}]}
    parts = [part async for part in Graph(id="g")(G)().stream(given, stream_mode="messages-tuple")]
    texts = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert "".join(texts) == "Hello there, how are you?"
    assert len(texts) > 3


async def test_it_calls_tools(vendor, stream):
    result = await ask(vendor, "weather", stream=stream, tools=[weather])
    assert result.status == "success", result.error
    texts = [message.text for message in result.output["messages"]]
    assert texts[2:] == ["20 C in Ulm", "20 C in Bonn", "It is warm."]


async def test_it_answers_with_a_type(vendor, stream):
    result = await ask(vendor, "verdict", stream=stream, output=Verdict, into="verdict")
    assert result.output["verdict"] == {"label": "good"}


async def test_a_rate_limit_is_waited_for(vendor, stream):
    result = await ask(vendor, f"limited {vendor} {stream}", stream=stream)
    assert result.output["messages"][-1].text == "At last."


@pytest.mark.parametrize(
    "what",
    ["broken", "refused", "dropped", "garbled"],
)
async def test_a_fault_ends_the_run(vendor, stream, what):
    result = await ask(vendor, what, stream=stream)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    status = {"broken": 500, "refused": 401}.get(what)
    assert status is None or result.error.status_code == status


async def test_a_cut_stream_ends_the_run(vendor):
    result = await ask(vendor, "cut")
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)


async def test_silence_ends_the_run(vendor, aimock):
    register_provider(vendor, provider(vendor, aimock, max_retries=0))
    result = await ask(vendor, "slow", request_timeout=0.5)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
