"""Chains of models: who is asked next, after which errors, and what is accounted for."""

import pytest

from duragraph_worker import Graph, llm_node
from duragraph_worker.llm.structured import OutputError
from duragraph_worker.messages import AIMessageChunk
from duragraph_worker.testing import ScriptedLLM, scripted

HI = {"messages": [{"role": "user", "content": "hi"}]}
TOKENS = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Refused(ConnectionError):
    """A request that was answered with an HTTP error, or a stream that told of one."""

    def __init__(self, status_code):
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


class Breaking(ScriptedLLM):
    """Tells what it took, says a word, and breaks off."""

    async def stream(self, request):
        self.requests.append(request)
        yield AIMessageChunk(usage_metadata=TOKENS)
        yield AIMessageChunk("Well, ")
        raise ConnectionError("cut")


@Graph(id="g")
class Chain:
    @llm_node(model=["first/a", "second/b", "third/c"])
    def process(self, state): ...


def asked(first, second=("from second",), third=("from third",), graph=Chain):
    with scripted("first", first), scripted("second", second), scripted("third", third):
        return graph().run(HI)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("down"),
        TimeoutError("silent"),
        *map(Refused, (-1, 200, 404, 408, 409, 413, 425, 429, 500, 502, 503, 529)),
    ],
)
def test_what_says_nothing_against_another_model_passes_on(error):
    result = asked([error])
    assert result.output["messages"][-1].text == "from second"
    assert result.usage["calls"] == 2
    assert result.usage["failed_calls"] == 1
    assert result.usage["models"]["first/a"]["failed_calls"] == 1


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_what_no_other_model_mends_is_raised_at_once(status):
    result = asked([Refused(status)], second=[])
    assert isinstance(result.error, Refused)
    assert list(result.usage["models"]) == ["first/a"]


def test_the_last_one_s_error_is_the_node_s():
    result = asked([ConnectionError()], [Refused(503)], [Refused(500)])
    assert result.error.status_code == 500
    assert result.usage["failed_calls"] == 3


def test_what_is_no_provider_s_error_asks_nobody_else():
    assert isinstance(asked([ValueError("a bug")], second=[]).error, ValueError)


def test_a_reply_of_the_wrong_type_is_no_reason_to_ask_another():
    @Graph(id="g")
    class Typed:
        @llm_node(model=["first/a", "second/b"], output=bool)
        def process(self, state): ...

    result = asked(["perhaps"], second=[], graph=Typed)
    assert isinstance(result.error, OutputError)
    assert result.usage["calls"] == 1, "it was paid all the same"


async def test_after_a_cut_the_next_reply_is_a_message_of_its_own():
    with scripted("first", []) as first, scripted("second", ["all of it"]):
        first.stream = Breaking().stream
        stream = Chain().stream(HI, stream_mode=["messages-tuple", "values"])
        parts = [part async for part in stream]
    chunks = [part.data[0] for part in parts if part.event == "messages"]
    assert [chunk["content"] for chunk in chunks] == ["Well, ", "all ", "of ", "it", ""]
    said = {}
    for chunk in chunks:
        said[chunk["id"]] = said.get(chunk["id"], "") + chunk["content"]
    assert list(said.values()) == ["Well, ", "all of it"]
    state = parts[-1].data["messages"]
    assert [message["content"] for message in state] == ["hi", "all of it"]


def test_tokens_of_a_call_that_failed_count():
    with scripted("first", []) as first, scripted("second", ["x"]):
        first.stream = Breaking().stream
        usage = Chain().run(HI).usage
    assert usage["models"]["first/a"] == {
        **TOKENS,
        "calls": 1,
        "failed_calls": 1,
        "unpriced_calls": 1,
    }


def test_a_body_that_has_heard_a_token_hears_no_other_model():
    heard = []

    @Graph(id="g")
    class Body:
        @llm_node(model=["first/a", "second/b"])
        async def process(self, state, llm):
            async for token in llm.stream("hi"):
                heard.append(token)  # noqa: PERF401 - what came before the error counts

    with scripted("first", []) as first, scripted("second", ["never"]) as second:
        first.stream = Breaking().stream
        result = Body().run({})
    assert heard == ["Well, "]
    assert isinstance(result.error, ConnectionError)
    assert second.requests == []


def test_a_body_that_has_heard_nothing_yet_hears_the_next_model():
    @Graph(id="g")
    class Body:
        @llm_node(model=["first/a", "second/b"])
        async def process(self, state, llm):
            return {"heard": [token async for token in llm.stream("hi")]}

    with scripted("first", [Refused(529)]), scripted("second", ["the next"]):
        assert Body().run({}).output["heard"] == ["the ", "next"]
