"""The real OpenAI SDK against a server that speaks its wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import attrs
import openai
import pytest
from aiohttp import web

from duragraph_worker import Graph, llm_node, tool
from duragraph_worker.integrations.openai import OpenAI
from duragraph_worker.llm.providers import register_provider, unregister_provider

CUT = object()
"""In a stream: close the connection here."""

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 2},
}
COUNTED = {
    "input_tokens": 9,
    "output_tokens": 4,
    "total_tokens": 13,
    "input_token_details": {"cache_read": 2},
}
HI = {"messages": [{"role": "user", "content": "hi"}]}


@attrs.define
class Fake:
    """Answers chat completions from a script; keeps what was asked."""

    script: list[Any] = attrs.field(factory=list)
    asked: list[dict[str, Any]] = attrs.field(factory=list)
    keys: list[str] = attrs.field(factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers["Authorization"])
        body = await request.json()
        self.asked.append(body)
        line = self.script.pop(0)
        if isinstance(line, web.Response):
            return line
        if not body.get("stream"):
            return web.json_response(line)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in line:
            if event is CUT:
                request.transport.abort()
                return response
            if isinstance(event, asyncio.Event):
                await asyncio.wait_for(event.wait(), timeout=5)
                continue
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


def chunk(delta=None, finish=None, usage=None):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": choices,
        "usage": usage,
    }


def text(*words):
    first = chunk({"role": "assistant", "content": ""})
    return [
        first,
        *(chunk({"content": word}) for word in words),
        chunk({}, "stop"),
        chunk(usage=USAGE),
    ]


def whole(message, finish="stop"):
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return chunk() | {"object": "chat.completion", "choices": [choice], "usage": USAGE}


def piece(args, index=0, **first):
    call = {"index": index, "function": {"arguments": args}} | first
    return chunk({"tool_calls": [call]})


def error(status, **headers):
    body = {"error": {"message": "no", "type": "x", "code": None}}
    return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.fixture
async def fake():
    fake = Fake()
    async with serving(fake) as base_url:
        register_provider("openai", OpenAI(base_url=base_url, api_key="secret", max_retries=2))
        yield fake
        unregister_provider("openai")


async def ask(cls, **options):
    result = await Graph(id="g")(cls)().arun(HI, raise_error=True, **options)
    return result.output, result


async def test_a_reply_streams_and_is_counted(fake):
    class G:
        @llm_node(model="gpt-4o-mini", system="Be brief.", temperature=0.5, max_tokens=7)
        def process(self, state): ...

    fake.script = [text("Hel", "lo")]
    output, result = await ask(G)
    reply = output["messages"][-1]
    assert reply.text == "Hello"
    assert reply.usage_metadata == COUNTED
    assert result.usage["total_tokens"] == 13
    assert reply.response_metadata == {
        "model_provider": "openai",
        "model_name": "gpt-4o-mini-2024-07-18",
        "finish_reason": "stop",
    }
    assert fake.keys == ["Bearer secret"]
    assert fake.asked == [
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ],
            "temperature": 0.5,
            "max_completion_tokens": 7,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_tokens_arrive_before_the_reply_is_whole(fake):
    class G:
        @llm_node
        def process(self, state): ...

    heard = asyncio.Event()
    role, first, *rest = text("Hel", "lo")
    fake.script = [[role, first, heard, *rest]]
    contents = []
    async for part in Graph(id="g")(G)().stream(HI, stream_mode="messages-tuple"):
        if part.event == "messages":
            contents.append(part.data[0]["content"])
            heard.set()
    assert contents == ["Hel", "lo", ""]


async def test_without_stream_the_reply_comes_whole(fake):
    class G:
        @llm_node(stream=False)
        def process(self, state): ...

    message = {"role": "assistant", "content": "Hello"}
    fake.script = [whole(message)]
    output, _ = await ask(G)
    assert output["messages"][-1].text == "Hello"
    assert output["messages"][-1].usage_metadata == COUNTED
    assert "stream" not in fake.asked[0]


@pytest.mark.parametrize("stream", [True, False])
async def test_tools_are_described_called_and_answered(fake, stream):
    @tool
    async def weather(city: str) -> str:
        """Weather of a city."""
        return f"20 C in {city}"

    class G:
        @llm_node(tools=[weather], stream=stream)
        def process(self, state): ...

    calls = [
        {"id": "a", "type": "function", "function": {"name": "weather", "arguments": args}}
        for args in ('{"city": "Ulm"}',)
    ] + [{"id": "b", "type": "function", "function": {"name": "weather", "arguments": "{"}}]
    streamed = [
        piece("", id="a", type="function", function={"name": "weather", "arguments": ""}),
        piece('{"ci'),
        piece('ty": "Ulm"}'),
        piece("{", 1, id="b", type="function", function={"name": "weather", "arguments": "{"}),
        chunk({}, "tool_calls"),
    ]
    asking = whole({"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls")
    done = whole({"role": "assistant", "content": "Warm."})
    fake.script = [streamed, text("Warm.")] if stream else [asking, done]
    output, _ = await ask(G)
    assert [m.text for m in output["messages"]][2] == "20 C in Ulm"
    assert output["messages"][-1].text == "Warm."
    first, second = fake.asked
    assert first["tools"][0]["function"]["name"] == "weather"
    assert first["tools"][0]["function"]["description"] == "Weather of a city."
    assert first["tools"][0]["function"]["parameters"]["required"] == ["city"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant"] + 2 * [
        "tool"
    ]
    asked = second["messages"][1]["tool_calls"]
    assert [json.loads(asked[0]["function"]["arguments"]), asked[1]["function"]["arguments"]] == [
        {"city": "Ulm"},
        "{",
    ]
    assert [message["tool_call_id"] for message in second["messages"][2:]] == ["a", "b"]
    assert "no JSON object" in second["messages"][3]["content"]


async def test_a_type_is_asked_for_in_strict_mode(fake):
    @attrs.define
    class Verdict:
        label: Literal["good", "bad"]
        default: str = "none"

    class G:
        @llm_node(output=Verdict, into="verdict")
        def judge(self, state): ...

    fake.script = [text('{"label": "good", ', '"default": "x"}')]
    output, _ = await ask(G)
    assert output["verdict"] == {"label": "good", "default": "x"}
    shape = fake.asked[0]["response_format"]["json_schema"]
    assert (shape["name"], shape["strict"]) == ("Verdict", True)
    assert shape["schema"]["required"] == ["label", "default"]
    assert shape["schema"]["additionalProperties"] is False


async def test_the_sdk_waits_and_tries_again_after_429_and_500(fake):
    class G:
        @llm_node
        def process(self, state): ...

    fake.script = [error(429, **{"Retry-After": "0.01"}), error(500), text("Hello")]
    output, _ = await ask(G)
    assert output["messages"][-1].text == "Hello"
    assert len(fake.asked) == 3


async def test_when_tries_run_out_the_error_keeps_its_type(fake):
    class G:
        @llm_node
        def process(self, state): ...

    fake.script = [error(429, **{"Retry-After": "0.01"}) for _ in range(3)]
    with pytest.raises(openai.RateLimitError):
        await ask(G)


async def test_the_next_model_is_asked_when_one_is_overloaded(fake):
    class G:
        @llm_node(model=["openai/busy", "openai/idle"])
        def process(self, state): ...

    fake.script = [error(404), text("Hello")]
    output, _ = await ask(G)
    assert output["messages"][-1].text == "Hello"
    assert [body["model"] for body in fake.asked] == ["busy", "idle"]


@pytest.mark.parametrize("end", [[CUT], []])
async def test_a_cut_stream_is_an_error_and_no_short_reply(fake, end):
    class G:
        @llm_node
        def process(self, state): ...

    fake.script = [[*text("Hel")[:2], *end]]
    with pytest.raises(OpenAI.errors):
        await ask(G)


async def test_base_url_and_key_come_from_the_environment(monkeypatch):
    class G:
        @llm_node
        def process(self, state): ...

    fake = Fake([text("Hello")])
    async with serving(fake) as base_url:
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "from-env")
        unregister_provider("openai")
        output, _ = await ask(G)
        unregister_provider("openai")
    assert output["messages"][-1].text == "Hello"
    assert fake.keys == ["Bearer from-env"]


def test_one_provider_serves_several_event_loops():
    class G:
        @llm_node
        def process(self, state): ...

    async def once(provider):
        fake = Fake([text("Hello")])
        async with serving(fake) as base_url:
            provider.base_url(base_url)
            output, _ = await ask(G)
        return output["messages"][-1].text

    class Moving(OpenAI):
        def base_url(self, url):
            self._options = {"base_url": url, "api_key": "secret"}

    provider = Moving()
    register_provider("openai", provider)
    try:
        assert [asyncio.run(once(provider)) for _ in range(2)] == ["Hello", "Hello"]
    finally:
        unregister_provider("openai")
