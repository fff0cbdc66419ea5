"""What is OpenAI's own, and what its compatible servers add."""

import asyncio
import json
from typing import Any

import attrs
import pytest

from duragraph_worker.integrations.openai import OpenAI
from duragraph_worker.llm.providers import register_provider, unregister_provider
from duragraph_worker.replies import ReplyError
from tests.providers.asking import HI, run, said
from tests.providers.fake import Fake, serving
from tests.providers.wires import says, sse


@pytest.fixture
def vendor():
    return "openai"


async def test_a_request_holds_what_was_asked_and_no_more(fake):
    fake.script = [says("Hello")]
    await said("openai", system="Be brief.", temperature=0.5, max_tokens=7)
    assert fake.asked == [
        {
            "model": "the-model",
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
    assert fake.headers[0]["authorization"] == "Bearer secret"


@pytest.mark.parametrize("usage", [5, {"prompt_tokens_details": []}])
async def test_a_count_of_tokens_that_is_none_is_a_reply_that_can_not_be_read(fake, usage):
    *frames, _, done = fake.wire.frames(says("Hello"))
    last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    fake.script = [[*frames, sse(last | {"choices": [], "usage": usage}), done]]
    assert isinstance((await run("openai")).error, ReplyError)


async def test_a_refusal_is_the_text_and_goes_back_as_a_refusal(fake, stream):
    fake.script = [says(refusal="I |can't."), says("Well.")]
    messages = await said("openai", stream=stream)
    refusal = messages[-1].text
    assert refusal.replace("|", "") == "I can't."
    assert messages[-1].additional_kwargs == {"refusal": refusal}
    await said("openai", {"messages": [*messages, {"role": "user", "content": "Why?"}]})
    assert fake.asked[1]["messages"][1] == {
        "role": "assistant",
        "content": None,
        "refusal": refusal,
    }


@attrs.define
class Closed:
    name: str
    size: int | None = None
    default: str = "none"


@attrs.define
class Open:
    counts: dict[str, int]


async def test_strict_mode_closes_objects_and_asks_for_all_fields(fake):
    fake.script = [says('{"name": "a", "size": null, "default": "b"}')]
    await run("openai", output=Closed, into="it")
    shape = fake.asked[0]["response_format"]["json_schema"]
    assert (shape["name"], shape["strict"]) == ("Closed", True)
    assert shape["schema"]["required"] == ["name", "size", "default"]
    assert shape["schema"]["additionalProperties"] is False
    assert "default" not in shape["schema"]["properties"]["size"]


async def test_what_strict_mode_cannot_say_is_asked_for_without_it(fake):
    fake.script = [says('{"counts": {"a": 1}}')]
    result = await run("openai", output=Open, into="it")
    assert fake.asked[0]["response_format"]["json_schema"]["strict"] is False
    assert result.output["it"] == {"counts": {"a": 1}}


async def test_developer_messages_stay_such(fake):
    fake.script = [says("Hello")]
    messages = [{"role": "developer", "content": "Be brief."}, *HI["messages"]]
    await said("openai", {"messages": messages})
    assert fake.asked[0]["messages"][0] == {"role": "developer", "content": "Be brief."}


async def test_citations_are_kept(fake, stream):
    cited = [{"type": "url_citation", "url_citation": {"url": "http://a.example", "title": "A"}}]
    fake.script = [_with_annotations(fake, cited, stream=stream)]
    *_, reply = await said("openai", stream=stream)
    (kept,) = reply.additional_kwargs["annotations"]
    assert kept["url_citation"]["url"] == "http://a.example"


async def test_a_compatible_server_has_a_name_of_its_own(fake):
    register_provider("vllm", OpenAI(base_url=f"{fake.url}/v1", api_key="none"))
    fake.script = [says("Hello")]
    await said("vllm", model="vllm/meta-llama/Llama-3-8B", options={"top_k": 3})
    assert (fake.asked[0]["model"], fake.asked[0]["top_k"]) == ("meta-llama/Llama-3-8B", 3)
    unregister_provider("vllm")


async def test_base_url_and_key_come_from_the_environment(fake, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{fake.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    unregister_provider("openai")
    fake.script = [says("Hello")]
    await said("openai")
    assert fake.headers[0]["authorization"] == "Bearer from-env"


def test_one_provider_serves_several_event_loops():
    provider = OpenAI(base_url="http://127.0.0.1:1/v1", api_key="secret", max_retries=0)

    async def once() -> str:
        async with serving(Fake("openai", [says("Hello")])) as fake:
            client = await provider._clients.here()
            client.base_url = f"{fake.url}/v1"
            return (await said("openai"))[-1].text

    register_provider("openai", provider)
    try:
        assert [asyncio.run(once()) for _ in range(2)] == ["Hello", "Hello"]
    finally:
        unregister_provider("openai")


def _with_annotations(fake: Fake, annotations: list[Any], *, stream: bool) -> Any:
    if not stream:
        whole = fake.wire.whole(says("Hello"))
        whole["choices"][0]["message"]["annotations"] = annotations
        return whole
    head, word, *rest = fake.wire.frames(says("Hello"))
    data = json.loads(word.removeprefix(b"data:"))
    data["choices"][0]["delta"]["annotations"] = annotations
    return [head, b"data: " + json.dumps(data).encode() + b"\n\n", *rest]
