"""What every provider does, through the vendor's SDK against its wire, in the run of a graph.

A test's docstring is its row in the table of docs/models.md; `matrix.py` writes that.
"""

import asyncio
import json
from contextlib import aclosing
from typing import Literal

import attrs
import msgspec
import pytest
from langchain_core.messages import AIMessage as LangChain
from pydantic import BaseModel

from duragraph_worker import Graph, HumanMessage, llm_node, tool
from duragraph_worker.llm import structured
from duragraph_worker.llm.providers import Request, register_provider, resolve, unregister_provider
from duragraph_worker.testing import scripted
from tests.providers.asking import HI, PIXEL, answers, asked_calls, run, said, system, tools
from tests.providers.fake import Breaks, Drops, Fails, Garbles, Hangs, Refuses, Waits
from tests.providers.vendors import provider
from tests.providers.wires import Call, Reply, calls, says


@tool
async def weather(city: str, days: int = 1) -> str:
    """Weather of a city.

    Args:
        city: Its name.
        days: How many.
    """
    return f"20 C in {city} for {days}"


@tool
def closing_time(shop: str) -> str:
    """When a shop closes."""
    return f"{shop} closes at 8"


async def test_replies(fake, vendor, stream):
    """A reply, whole or streamed, with its model and why it ended"""
    fake.script = [says("Hel", "lo")]
    *_, reply = await said(vendor, stream=stream)
    assert reply.content == "Hello"
    assert reply.response_metadata == {
        "model_provider": vendor,
        "model_name": "the-model",
        "finish_reason": "stop",
    }


async def test_tokens(fake, vendor):
    """Tokens are passed on as they come"""
    heard = asyncio.Event()
    fake.script = [Waits(says("Hel", "lo"), heard, after=_until_first_word(fake))]

    class G:
        @llm_node(model=f"{vendor}/the-model")
        def process(self, state): ...

    contents = []
    async for part in Graph(id="g")(G)().stream(HI, stream_mode="messages-tuple"):
        if part.event == "messages":
            contents.append(part.data[0]["content"])
            heard.set()
    assert contents == ["Hel", "lo", ""]


async def test_system(fake, vendor):
    """System prompts"""
    fake.script = [says("Hello")]
    await said(vendor, system="Be brief.")
    assert system(fake.asked[0]) == "Be brief."


async def test_usage(fake, vendor, stream):
    """Tokens are counted, those from the vendor's cache too"""
    fake.script = [says("Hello", input_tokens=9, output_tokens=4, cached=2)]
    *_, reply = await said(vendor, stream=stream)
    counted = dict(reply.usage_metadata)
    details = counted.pop("input_token_details", None)
    assert counted == {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    if vendor != "ollama":
        assert details["cache_read"] == 2


async def test_parameters(fake, vendor, stream):
    """`temperature`, `top_p`, `max_tokens`, `stop`"""
    fake.script = [says("Hello")]
    await said(vendor, stream=stream, temperature=0.5, top_p=0.9, max_tokens=7, stop=["END"])
    names = {
        "openai": ("temperature", "top_p", "max_completion_tokens", "stop"),
        "anthropic": ("temperature", "top_p", "max_tokens", "stop_sequences"),
        "cohere": ("temperature", "p", "max_tokens", "stop_sequences"),
        "ollama": ("temperature", "top_p", "num_predict", "stop"),
    }[vendor]
    body = fake.asked[0]["options"] if vendor == "ollama" else fake.asked[0]
    assert [body[name] for name in names] == [0.5, 0.9, 7, ["END"]]


async def test_seed(fake, vendor):
    """`seed`"""
    fake.script = [says("Hello")]
    await said(vendor, seed=3)
    body = fake.asked[0]["options"] if vendor == "ollama" else fake.asked[0]
    assert body.get("seed") == (None if vendor == "anthropic" else 3)


async def test_options(fake, vendor, stream):
    """The vendor's own parameters through `options`"""
    fake.script = [says("Hello")]
    await said(vendor, stream=stream, options={"top_k": 5})
    body = fake.asked[0]["options"] if vendor == "ollama" else fake.asked[0]
    assert body["top_k"] == 5


async def test_cut_short(fake, vendor, stream):
    """A reply at its token limit says so"""
    fake.script = [says("Hel", cut_short=True)]
    *_, reply = await said(vendor, stream=stream)
    assert reply.response_metadata["finish_reason"] == "length"


async def test_tools(fake, vendor, stream):
    """Tools over several rounds, parallel calls, sync and async"""
    first = calls(
        Call("weather", '{"city": "Ulm"}', "a"), Call("closing_time", '{"shop": "Bo"}', "b")
    )
    second = calls(Call("weather", '{"city": "Bonn", "days": 2}', "c"))
    fake.script = [first, second, says("Warm.")]
    messages = await said(vendor, stream=stream, tools=[weather, closing_time])
    assert messages[-1].text == "Warm."
    assert messages[1].response_metadata["finish_reason"] == "tool_calls"
    offered = tools(fake.asked[0])
    assert [(name, about) for name, about, _ in offered] == [
        ("weather", "Weather of a city."),
        ("closing_time", "When a shop closes."),
    ]
    assert offered[0][2]["properties"]["city"]["type"] == "string"
    assert offered[0][2]["properties"]["city"]["description"] == "Its name."
    assert offered[0][2]["required"] == ["city"]
    a, b, c = (None, None, None) if vendor == "ollama" else ("a", "b", "c")
    assert asked_calls(fake.asked[2]) == [
        (a, "weather", {"city": "Ulm"}),
        (b, "closing_time", {"shop": "Bo"}),
        (c, "weather", {"city": "Bonn", "days": 2}),
    ]
    assert answers(fake.asked[2]) == [
        (a or "weather", "20 C in Ulm for 1"),
        (b or "closing_time", "Bo closes at 8"),
        (c or "weather", "20 C in Bonn for 2"),
    ]


async def test_tool_errors(fake, vendor, stream):
    """A call with wrong arguments is answered with what is wrong"""
    fake.script = [calls(Call("weather", '{"town": "Ulm"}')), says("Sorry.")]
    messages = await said(vendor, stream=stream, tools=[weather])
    assert messages[2].status == "error"
    ((_, told),) = answers(fake.asked[1])
    assert "town" in told
    if vendor == "anthropic":
        assert fake.asked[1]["messages"][-1]["content"][0]["is_error"] is True


async def test_broken_calls(fake, vendor):
    """A call whose arguments are no JSON is answered so, and goes back as it came"""
    fake.script = [calls(Call("weather", '{"city": ')), says("Sorry.")]
    if vendor == "ollama":
        # Its server reads the arguments itself.
        fake.script[0] = calls(Call("weather", '{"city": 1}'))
    messages = await said(vendor, tools=[weather])
    assert messages[-1].text == "Sorry."
    assert messages[2].status == "error"
    ((_, told),) = answers(fake.asked[1])
    assert "Error: weather was not called" in told
    ((_, _, args),) = asked_calls(fake.asked[1])
    assert args in ('{"city": ', {"invalid_json": '{"city": '}, {"city": 1})


@attrs.define
class Verdict:
    label: Literal["good", "bad"]
    reasons: list[str] = attrs.Factory(list)


class Place(BaseModel):
    city: str
    note: str | None = None


async def test_types(fake, vendor, stream):
    """Replies of a type, by the vendor's own mode for schemas"""
    fake.script = [says('{"label": "good", ', '"reasons": ["new"]}')]
    result = await run(vendor, stream=stream, output=Verdict, into="verdict")
    assert result.output["verdict"] == {"label": "good", "reasons": ["new"]}
    body = fake.asked[0]
    schema = {
        "openai": lambda: body["response_format"]["json_schema"]["schema"],
        "anthropic": lambda: body["output_config"]["format"]["schema"],
        "cohere": lambda: body["response_format"]["json_schema"],
        "ollama": lambda: body["format"],
    }[vendor]()
    assert set(schema["properties"]) == {"label", "reasons"}
    if vendor in ("openai", "anthropic"):
        assert schema["additionalProperties"] is False


async def test_pydantic(fake, vendor):
    """The same for pydantic models"""
    fake.script = [says('{"city": "Ulm", "note": null}')]
    result = await run(vendor, output=Place, into="place")
    assert result.output["place"] == {"city": "Ulm", "note": None}


async def test_types_and_tools(fake, vendor, stream):
    """Replies of a type beside tools"""
    final = '{"label": "bad", "reasons": []}'
    as_tool = vendor == "cohere"
    fake.script = [
        calls(Call("weather", '{"city": "Ulm"}')),
        calls(Call("Verdict", final)) if as_tool else says(final),
    ]
    result = await run(vendor, stream=stream, output=Verdict, into="verdict", tools=[weather])
    assert result.output["verdict"] == {"label": "bad", "reasons": []}
    assert result.status == "success"


async def test_wrong_type(fake, vendor, stream):
    """A reply of another type is an error that quotes it"""
    fake.script = [says('{"label": "ugly"}')]
    result = await run(vendor, stream=stream, output=Verdict, into="verdict")
    assert result.status == "error"
    assert "ugly" in str(result.error)


IMAGES = {
    "base64": {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
    "data URL": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    "Anthropic's": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
    },
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
async def test_images(fake, vendor, image):
    """Images as base64, in LangChain's, OpenAI's and Anthropic's blocks"""
    fake.script = [says("A dot.")]
    content = [{"type": "text", "text": "What is it?"}, image]
    await said(vendor, {"messages": [{"role": "user", "content": content}]})
    (message,) = fake.asked[0]["messages"]
    if vendor == "ollama":
        assert (message["content"], message["images"]) == ("What is it?", [PIXEL])
        return
    text, shown = message["content"]
    assert text["text"] == "What is it?"
    if vendor == "anthropic":
        assert shown == IMAGES["Anthropic's"]
    else:
        assert shown == IMAGES["data URL"]


async def test_image_urls(fake, vendor):
    """Images by URL"""
    fake.script = [says("A dot.")]
    image = {"type": "image_url", "image_url": {"url": "http://pictures.example/dot.png"}}
    result = await run(vendor, {"messages": [{"role": "user", "content": [image]}]})
    if vendor == "ollama":
        assert "by URL" in str(result.error)
        return
    ((shown,),) = [message["content"] for message in fake.asked[0]["messages"]]
    url = shown["source"]["url"] if vendor == "anthropic" else shown["image_url"]["url"]
    assert url == "http://pictures.example/dot.png"


async def test_reasoning(fake, vendor, stream):
    """Reasoning is kept apart from the text and goes back as the vendor wants it"""
    fake.script = [
        calls(Call("weather", '{"city": "Ulm"}'), thinking=("I should ", "look.")),
        says("Warm.", thinking=("Easy.",)),
    ]
    messages = await said(vendor, stream=stream, tools=[weather])
    assert messages[-1].text == "Warm."
    thoughts = [
        block["reasoning"]
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
        if block["type"] == "reasoning"
    ]
    assert thoughts == ["I should look.", "Easy."]
    kinds = [
        block["type"] for block in LangChain(**msgspec.to_builtins(messages[-1])).content_blocks
    ]
    assert kinds == ["reasoning", "text"]
    back = json.dumps(fake.asked[1]["messages"])
    assert ("I should look." in back) == (vendor != "openai")
    assert ('"signature": "sig"' in back) == (vendor == "anthropic")


async def test_conversation_moves(fake, vendor):
    """A conversation that another vendor began goes on here"""
    begun = [
        {"role": "user", "content": "hi"},
        {
            "type": "ai",
            "content": [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "text", "text": "Yes?"},
            ],
            "tool_calls": [{"name": "weather", "args": {"city": "Ulm"}, "id": "x"}],
            "response_metadata": {"model_provider": "elsewhere"},
        },
        {"role": "tool", "content": "20 C", "tool_call_id": "x", "name": "weather"},
    ]
    fake.script = [says("Warm.")]
    messages = await said(vendor, {"messages": begun}, tools=[weather])
    assert messages[-1].text == "Warm."
    ((_, *call),) = asked_calls(fake.asked[0])
    assert call == ["weather", {"city": "Ulm"}]
    assert "Hm." not in json.dumps(fake.asked[0])


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retries(fake, vendor, stream, status):
    """429 and 5xx are tried again, after Retry-After"""
    fake.script = [Refuses(status), Refuses(status), says("Hello")]
    *_, reply = await said(vendor, stream=stream)
    assert reply.text == "Hello"
    assert len(fake.asked) == 3


async def test_long_waits(fake, vendor):
    """A Retry-After of hours ends the tries"""
    fake.script = [Refuses(429, retry_after="7200"), says("Hello")]
    result = await run(vendor)
    assert result.status == "error"
    assert len(fake.asked) == 1


async def test_lost_connections(fake, vendor, stream):
    """A connection lost before the reply began is tried again"""
    fake.script = [Drops(), says("Hello")]
    *_, reply = await said(vendor, stream=stream)
    assert reply.text == "Hello"


@pytest.mark.parametrize("status", [429, 500])
async def test_tries_run_out(fake, vendor, stream, status):
    """When tries run out, the run fails with the vendor's own error and its status"""
    fake.script = [Refuses(status, "too much") for _ in range(3)]
    result = await run(vendor, stream=stream)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    assert result.error.status_code == status
    assert "too much" in str(result.error)
    assert type(result.error).__module__.split(".")[0] == vendor


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_refused(fake, vendor, stream, status):
    """Wrong requests and keys are not tried again"""
    fake.script = [Refuses(status, "no such thing")]
    result = await run(vendor, stream=stream)
    assert result.error.status_code == status
    assert len(fake.asked) == 1


async def test_no_key(fake, vendor, stream, monkeypatch):
    """A missing key is an error that asks for it, and no other model is asked"""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CO_API_KEY", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    if vendor == "ollama":
        fake.script = [says("Hello")]
        assert (await run(vendor, stream=stream)).status == "success"
        return
    unregister_provider(vendor)
    with scripted("spare", ["Hello from the spare"]):
        result = await run(vendor, model=[f"{vendor}/m", "spare/m"], stream=stream)
    assert "api_key" in str(result.error).lower()


@pytest.mark.parametrize("clean", [False, True], ids=["reset", "closed"])
async def test_cuts(fake, vendor, clean):
    """A stream that is cut is an error, never a short reply"""
    fake.script = [Breaks(says("Hel", "lo"), after=_until_first_word(fake), clean=clean)]
    result = await run(vendor)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    assert "messages" not in (result.output or {}) or len(result.output["messages"]) == 1


async def test_garbage(fake, vendor, stream):
    """An unreadable reply, or piece of one, is an error"""
    fake.script = [Garbles(says("Hel", "lo"), after=_until_first_word(fake))] * 3
    result = await run(vendor, stream=stream)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    assert len(fake.asked) == 1


async def test_errors_in_streams(fake, vendor):
    """An error that the vendor tells in mid-stream fails the run with its words"""
    fake.script = [Fails(says("Hel", "lo"), after=_until_first_word(fake))]
    result = await run(vendor)
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    assert "overloaded" in str(result.error)


async def test_silence(fake, vendor, stream):
    """A reply that hangs ends after `request_timeout`, and its connection is closed"""
    register_provider(vendor, provider(vendor, fake.url, max_retries=0))
    fake.script = [Hangs(says("Hel", "lo"), after=_until_first_word(fake))]
    running = run(vendor, stream=stream, request_timeout=0.3)
    result = await asyncio.wait_for(running, timeout=5)
    assert result.status == "error"
    assert isinstance(result.error, resolve(f"{vendor}/x")[0].errors)
    await asyncio.wait_for(fake.left.wait(), timeout=5)


async def test_cancellation(fake, vendor, stream):
    """A cancelled run closes the vendor's connection"""
    fake.script = [Hangs(says("Hel", "lo"), after=_until_first_word(fake))]
    running = asyncio.create_task(run(vendor, stream=stream))
    await asyncio.wait_for(fake.hanging.wait(), timeout=5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(fake.left.wait(), timeout=5)


async def test_leaving(fake, vendor):
    """Who stops listening closes the vendor's connection"""
    fake.script = [Hangs(says("Hel", "lo"), after=_until_first_word(fake))]
    asked, _ = resolve(f"{vendor}/x")
    output = structured.wanted(Verdict)
    request = Request(model="m", messages=[HumanMessage("hi")], output=output)
    chunks = asked.stream(request)
    async with aclosing(chunks):
        while (await anext(chunks)).content != "Hel":
            pass
    await asyncio.wait_for(fake.left.wait(), timeout=5)


FAULTS = {
    "refused": lambda _: Refuses(429, retry_after="7200"),
    "cut": lambda after: Breaks(says("Hel", "lo"), after=after),
    "garbled": lambda after: Garbles(says("Hel", "lo"), after=after),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_fallbacks(fake, vendor, fault):
    """The next model is asked instead, also when a stream has begun"""
    register_provider(vendor, provider(vendor, fake.url, max_retries=0))
    fake.script = [FAULTS[fault](_until_first_word(fake))]
    with scripted("spare", ["Hello from the spare"]):
        *_, reply = await said(vendor, model=[f"{vendor}/the-model", "spare/m"])
    assert reply.text == "Hello from the spare"


async def test_same_either_way(fake, vendor):
    """Streamed chunks add up to the message that comes whole"""
    reply = Reply(
        text=("Hel", "lo"),
        thinking=("Hm", "m."),
        calls=(Call("weather", '{"city": "Ulm"}'), Call("weather", '{"city": "Bonn"}', "call_2")),
    )
    fake.script = [reply, reply]
    found = []
    for stream in (True, False):
        (*_, message) = await said(vendor, stream=stream, max_tool_rounds=0)
        calls = [{**call, "id": None} for call in message.tool_calls]
        plain = attrs.evolve(message, id=None, tool_calls=calls)
        found.append(plain)
    assert found[0] == found[1]


def _until_first_word(fake):
    """How many frames there are up to a reply's first word."""
    frames = fake.wire.frames(says("Hel", "lo"))
    return next(at for at, frame in enumerate(frames, 1) if b"Hel" in frame)
