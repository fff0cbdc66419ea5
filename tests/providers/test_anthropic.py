"""What is Anthropic's own: blocks with signatures and citations, turns, answers by a tool."""

from typing import Any, Literal

import attrs
import pytest

from duragraph_worker import tool
from tests.providers.asking import run, said
from tests.providers.wires import Call, calls, says, sse

SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srv_1",
    "content": [
        {
            "type": "web_search_result",
            "url": "http://a.example",
            "title": "A",
            "encrypted_content": "x",
            "page_age": None,
        }
    ],
}
CITED = {
    "type": "web_search_result_location",
    "cited_text": "warm",
    "url": "http://a.example",
    "title": "A",
    "encrypted_index": "y",
}
HIDDEN = {"type": "redacted_thinking", "data": "zzz"}


@pytest.fixture
def vendor():
    return "anthropic"


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"20 C in {city}"


def text(value: str) -> dict[str, str]:
    return {"type": "text_delta", "text": value}


def reply(fake: Any, blocks: list[tuple[Any, list[Any]]]) -> list[bytes]:
    """A stream of these blocks, each as it starts and its deltas."""
    start, ping, *_ = fake.wire.frames(says())
    *_, end, stop = fake.wire.frames(says())
    events = [
        e for i, (block, deltas) in enumerate(blocks) for e in fake.wire.block(i, block, deltas)
    ]
    return [start, ping, *(sse(event, event["type"]) for event in events), end, stop]


async def test_blocks_of_its_own_go_back_as_they_came(fake):
    query = {"type": "input_json_delta", "partial_json": '{"query": "Ulm"}'}
    citation = {"type": "citations_delta", "citation": CITED}
    fake.script = [
        reply(
            fake,
            [
                (HIDDEN, []),
                ({"type": "text", "text": ""}, [text("Let me "), text("look. ")]),
                (SEARCH, [query]),
                (FOUND, []),
                ({"type": "text", "text": "", "citations": []}, [citation, text("It is warm.")]),
            ],
        ),
        says("Bye."),
    ]
    messages = await said("anthropic")
    assert messages[-1].text == "Let me look. It is warm."
    assert messages[-1].tool_calls == []
    await said("anthropic", {"messages": [*messages, {"role": "user", "content": "Thanks"}]})
    assert fake.asked[1]["messages"][1]["content"] == [
        HIDDEN,
        {"type": "text", "text": "Let me look. "},
        SEARCH | {"input": {"query": "Ulm"}},
        FOUND,
        {"type": "text", "text": "It is warm.", "citations": [CITED]},
    ]


async def test_messages_of_langchain_go_on(fake):
    call = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Ulm"}, "index": 1}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig", "index": 0}
    asks = {
        "type": "ai",
        "content": [thought, call],
        "tool_calls": [{"name": "weather", "args": {"city": "Ulm"}, "id": "a"}],
        "response_metadata": {"model_provider": "anthropic"},
    }
    told = {"role": "tool", "content": "20 C", "tool_call_id": "a"}
    fake.script = [says("Warm.")]
    await said("anthropic", {"messages": [{"role": "user", "content": "hi"}, asks, told]})
    assert fake.asked[0]["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Ulm"}},
    ]


async def test_a_citation_that_comes_late_belongs_to_the_text_before_it(fake):
    citation = {"type": "citations_delta", "citation": CITED}
    blocks = [({"type": "text", "text": ""}, [text("It is "), citation, text("warm.")])]
    fake.script = [reply(fake, blocks)]
    *_, answer = await said("anthropic")
    assert answer.content == [{"type": "text", "text": "It is warm.", "citations": [CITED]}]


async def test_all_answers_stand_in_the_turn_after_the_calls(fake):
    asks = calls(Call("weather", '{"city": "Ulm"}', "a"), Call("weather", '{"city": "B"}', "b"))
    fake.script = [asks, says("Warm.")]
    await said("anthropic", tools=[weather])
    roles = [message["role"] for message in fake.asked[1]["messages"]]
    assert roles == ["user", "assistant", "user"]
    kinds = [block["type"] for block in fake.asked[1]["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result"]


async def test_what_it_would_refuse_is_not_sent(fake):
    fake.script = [says("Hello")]
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": " \n"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "?"}]},
    ]
    await said("anthropic", {"messages": talk}, seed=3)
    body = fake.asked[0]
    assert [block["text"] for block in body["system"]] == ["Be brief.", "Be kind."]
    (turn,) = body["messages"]
    assert [block["text"] for block in turn["content"]] == ["hi", "?"]
    assert body["max_tokens"] == 16384
    assert "seed" not in body


async def test_cache_marks_and_foreign_blocks_pass(fake):
    fake.script = [says("Hello")]
    mark = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    page = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    await said("anthropic", {"messages": [{"role": "user", "content": [mark, page]}]})
    assert fake.asked[0]["messages"][0]["content"] == [mark, page]


@attrs.define
class Verdict:
    label: Literal["good", "bad"]


@attrs.define
class Counts:
    counts: dict[str, int]


@pytest.mark.parametrize("tools", [[], [weather]], ids=["alone", "beside tools"])
async def test_what_schemas_cannot_say_is_answered_by_a_tool(fake, stream, tools):
    fake.script = [calls(Call("Counts", '{"counts": {"a": 1}}'))]
    result = await run("anthropic", stream=stream, tools=tools, output=Counts, into="v")
    assert result.output["v"] == {"counts": {"a": 1}}
    choice = fake.asked[0]["tool_choice"]
    assert choice == ({"type": "any"} if tools else {"type": "tool", "name": "Counts"})
    assert fake.asked[0]["tools"][-1]["input_schema"]["properties"].keys() == {"counts"}


async def test_who_thinks_is_not_made_to_call(fake):
    fake.script = [calls(Call("Counts", '{"counts": {}}'), thinking=("Hm.",))]
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    result = await run("anthropic", options=thinking, output=Counts, into="v")
    assert result.status == "success", result.error
    assert fake.asked[0]["tool_choice"] == {"type": "auto"}
    assert fake.asked[0]["thinking"]["budget_tokens"] == 2000


async def test_an_effort_stands_beside_the_schema(fake):
    fake.script = [says('{"label": "good"}')]
    options = {"output_config": {"effort": "low"}}
    await run("anthropic", options=options, output=Verdict, into="v")
    config = fake.asked[0]["output_config"]
    assert (config["effort"], config["format"]["type"]) == ("low", "json_schema")
