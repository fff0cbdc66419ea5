"""What is Cohere's own: plans, citations and endings that are errors."""

import httpx
import pytest

from duragraph_worker import tool
from duragraph_worker.integrations.cohere import Cohere
from duragraph_worker.llm.providers import register_provider, unregister_provider
from duragraph_worker.replies import ReplyError
from tests.providers.asking import run, said
from tests.providers.wires import Call, calls, says, sse

PLAN = "I will look it up."
CITED = {
    "start": 0,
    "end": 5,
    "text": "Warm.",
    "sources": [{"type": "tool", "id": "call_1:0", "tool_output": {"content": "20 C"}}],
    "type": "TEXT_CONTENT",
}


@pytest.fixture
def vendor():
    return "cohere"


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"20 C in {city}"


async def test_plans_and_citations_go_back_as_they_came(fake, stream):
    asks, cites = calls(Call("weather", '{"city": "Ulm"}')), says("Warm.")
    if stream:
        head, *rest = fake.wire.frames(asks)
        plans = [
            {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
            for piece in (PLAN[:6], PLAN[6:])
        ]
        *begin, end, done = fake.wire.frames(cites)
        citation = {
            "type": "citation-start",
            "index": 0,
            "delta": {"message": {"citations": CITED}},
        }
        fake.script = [
            [head, *(sse(plan, plan["type"]) for plan in plans), *rest],
            [*begin, sse(citation, "citation-start"), end, done],
        ]
    else:
        asked, cited = fake.wire.whole(asks), fake.wire.whole(cites)
        asked["message"]["tool_plan"] = PLAN
        cited["message"]["citations"] = [CITED]
        fake.script = [asked, cited]
    fake.script.append(says("Bye."))
    messages = await said("cohere", stream=stream, tools=[weather])
    assert messages[-1].text == "Warm."
    assert messages[-1].additional_kwargs["citations"] == [CITED]
    await said("cohere", {"messages": [*messages, {"role": "user", "content": "Thanks"}]})
    _, plan, _, answer, _ = fake.asked[2]["messages"]
    assert plan["tool_plan"] == PLAN
    assert "content" not in plan
    assert answer["citations"] == [CITED]


async def test_a_reply_that_ends_in_an_error_is_one(fake):
    whole = fake.wire.whole(says("Hel")) | {"finish_reason": "ERROR"}
    fake.script = [whole]
    result = await run("cohere", stream=False)
    assert isinstance(result.error, ReplyError)


async def test_its_key_is_sent_and_its_bill_counts(fake):
    fake.script = [says("Hello")]
    *_, reply = await said("cohere")
    assert fake.headers[0]["authorization"] == "Bearer secret"
    # The model read 60 more, which are not billed.
    assert reply.usage_metadata["input_tokens"] == 9


async def test_its_connections_are_nobody_elses():
    async with httpx.AsyncClient() as http:
        register_provider("cohere", Cohere(api_key="secret", httpx_client=http))
        try:
            result = await run("cohere", stream=False)
        finally:
            unregister_provider("cohere")
        assert isinstance(result.error, TypeError)
        assert http.event_hooks["response"] == []
