"""What spares asking a model: the response cache, and memos within a run."""

import asyncio
from typing import Literal

import msgspec
import pytest

from duragraph.errors import Unavailable
from duragraph_worker import AIMessage, Cache, Graph, Retry, Send, llm_node, node, tool
from duragraph_worker.llm import cache as caches
from duragraph_worker.llm.providers import Output, Parameters, register_provider
from duragraph_worker.messages import HumanMessage
from duragraph_worker.testing import ScriptedLLM, scripted

HI = {"messages": [{"role": "user", "content": "hi"}]}
TOKENS = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def reply(text, **fields):
    return AIMessage(text, usage_metadata=TOKENS, **fields)


def chat(**options):
    """A graph of one LLM node."""

    class G:
        @llm_node(**options)
        def process(self, state): ...

    return Graph(id="g")(G)()


def said(result):
    assert result.error is None, result.error
    return result.output["messages"][-1].text


def test_the_same_question_is_asked_once_and_costs_nothing_again():
    app = chat(cache=Cache(60))
    with scripted("openai", [reply("one")]) as llm:
        first, second = app.run(HI), app.run(HI)
    assert said(first) == said(second) == "one"
    assert len(llm.requests) == 1
    assert first.usage["total_tokens"] == 5
    assert second.usage == {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "cached_calls": 1,
        "cost_usd": 0,
        "models": {
            "openai/gpt-4o-mini": {
                "input_tokens": 0,
                "output_tokens": 0,
                "total_tokens": 0,
                "cached_calls": 1,
                "cost_usd": 0,
            }
        },
    }
    before, after = (result.output["messages"][-1] for result in (first, second))
    assert after.response_metadata["cached"] is True
    assert after.usage_metadata is None
    assert after.id != before.id


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4o"},
        {"system": "Be brief."},
        {"temperature": 1.0},
        {"stop": "x"},
        {"options": {"a": 1}},
        {"output": Literal["one"], "into": "x"},
        {"seed": 7},
    ],
)
def test_another_question_is_asked(change):
    kept = Cache(60)
    with scripted("openai", ["one", '{"value": "one"}']) as llm:
        chat(cache=kept).run(HI, raise_error=True)
        chat(cache=kept, **change).run(HI, raise_error=True)
    assert len(llm.requests) == 2


def fingerprint(*messages, models=("m",), tools=(), output=None, parameters=None):
    given = parameters or Parameters()
    return caches.fingerprint(models, messages, tools=tools, output=output, parameters=given)


def test_a_fingerprint_is_of_words_alone():
    told = HumanMessage("hi", id="1")
    assert fingerprint(told) == fingerprint(HumanMessage("hi", id="2"))
    patient = Parameters(request_timeout=9)
    assert fingerprint(told) == fingerprint(told, parameters=patient)
    one, other = Parameters(options={"a": 1, "b": 2}), Parameters(options={"b": 2, "a": 1})
    assert fingerprint(told, parameters=one) == fingerprint(told, parameters=other)

    @tool
    def look(at: str) -> str:
        """Look."""
        return at

    others = [
        fingerprint(HumanMessage("ho")),
        fingerprint(AIMessage("hi")),
        fingerprint(told, told),
        fingerprint(told, models=("n",)),
        fingerprint(told, tools=[look]),
        fingerprint(told, output=Output("o", {})),
        fingerprint(AIMessage("", tool_calls=[{"name": "a", "args": {}, "id": "1"}])),
        fingerprint(AIMessage("", tool_calls=[{"name": "a", "args": {"b": 1}, "id": "1"}])),
    ]
    assert len({fingerprint(told), *others}) == 1 + len(others)


def test_an_answer_is_good_for_its_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(caches, "monotonic", lambda: clock[0])
    app = chat(cache=Cache(60))
    with scripted("openai", ["one", "two"]):
        assert said(app.run(HI)) == "one"
        clock[0] = 59.9
        assert said(app.run(HI)) == "one"
        clock[0] = 60.0
        assert said(app.run(HI)) == "two"


def test_memory_is_bounded_and_the_oldest_go():
    app = chat(cache=Cache(60, size=2))
    ask = lambda text: said(app.run({"messages": text}))  # noqa: E731
    with scripted("openai", ["1", "2", "3", "4"]):
        assert [ask("a"), ask("b"), ask("c")] == ["1", "2", "3"]
        assert [ask("b"), ask("c"), ask("a")] == ["2", "3", "4"]


async def test_a_replay_streams_in_one_piece():
    class G:
        @llm_node(cache=Cache(60))
        async def process(self, state, llm):
            return {"heard": [token async for token in llm.stream("hi")]}

    app = Graph(id="g")(G)()
    with scripted("openai", ["three words here"]):
        first = await app.arun({})
        parts = [part async for part in app.stream({}, stream_mode=["messages-tuple", "values"])]
    assert first.output["heard"] == ["three ", "words ", "here"]
    assert parts[-1].data["heard"] == ["three words here"]
    (chunk,) = [part.data[0] for part in parts if part.event == "messages"]
    assert (chunk["content"], chunk["chunk_position"]) == ("three words here", "last")


def test_tool_calls_are_kept_too_and_the_tools_run():
    ran = []

    @tool
    def paid(n: int) -> str:
        ran.append(n)
        return "done"

    app = chat(tools=[paid], cache=Cache(60))
    call = AIMessage("", tool_calls=[{"name": "paid", "args": {"n": 1}, "id": "1"}])
    with scripted("openai", [call, "all done"]) as llm:
        assert said(app.run(HI)) == said(app.run(HI)) == "all done"
    assert (len(llm.requests), ran) == (2, [1, 1])


def test_neither_errors_nor_replies_of_the_wrong_type_are_kept():
    app = chat(output=Literal["yes"], cache=Cache(60), retry=Retry(times=2, first=0))
    with scripted("openai", [ConnectionError(), "perhaps", '{"value": "yes"}']) as llm:
        assert app.run(HI, raise_error=True).output["response"] == "yes"
        assert app.run(HI, raise_error=True).output["response"] == "yes"
    assert len(llm.requests) == 3


def test_a_model_that_cannot_answer_leaves_the_next_one_s_answer():
    app = chat(model=["openai/a", "backup/b"], cache=Cache(60))
    with scripted("openai", [ConnectionError()] * 2), scripted("backup", ["kept"]) as backup:
        assert said(app.run(HI)) == said(app.run(HI)) == "kept"
    assert len(backup.requests) == 1


class Plane:
    """The store's two requests."""

    def __init__(self):
        self.items, self.asked = {}, []

    async def request(self, method, path, body=None):
        self.asked.append((method, path))
        if method == "PUT":
            self.items[body["key"]] = msgspec.json.decode(msgspec.json.encode(body))
            return b""
        key = path.partition("key=")[2].partition("&")[0]
        return msgspec.json.encode(self.items.get(key))


async def test_a_shared_cache_is_the_plane_s_store():
    plane, kept = Plane(), Cache(90, shared=True)
    assert await kept.get("k", plane) is None
    await kept.put("k", reply("one", id="m1"), plane)
    found = await Cache(90, shared=True).get("k", plane)
    assert (found.text, found.id, found.usage_metadata) == ("one", None, None)
    (item,) = plane.items.values()
    assert item | {"value": None} == {
        "namespace": ["llm_cache"], "key": "k", "value": None, "index": False, "ttl": 1.5,
    }  # fmt: skip


async def test_a_plane_that_is_away_costs_no_answer():
    class Away:
        async def request(self, method, path, body=None):
            raise Unavailable("away")

    kept = Cache(60, shared=True)
    await kept.put("k", reply("one"), Away())
    assert await kept.get("k", Away()) is None


@pytest.mark.parametrize("value", [{}, {"role": "boss", "content": "x"}, [1], {"role": "user"}])
async def test_what_is_no_answer_in_the_plane_s_store_is_none(value):
    plane, kept = Plane(), Cache(60, shared=True)
    await kept.put("k", reply("one"), plane)
    (item,) = plane.items.values()
    item["value"] = value
    assert await kept.get("k", plane) is None


def test_without_a_plane_a_shared_cache_is_in_memory():
    app = chat(cache=Cache(60, shared=True))
    with scripted("openai", ["one"]):
        assert said(app.run(HI)) == said(app.run(HI)) == "one"


@pytest.mark.parametrize("wrong", [{"ttl": 0}, {"ttl": -1}, {"ttl": 1, "size": 0}])
def test_a_cache_that_keeps_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be >=? [01]"):
        Cache(**wrong)


# memos


def twice(**second):
    """Two nodes with the same question; the second one may differ in configuration."""

    class G:
        @llm_node(memo=True, into="a")
        def one(self, state):
            return "the question"

        @llm_node(**{"memo": True, "into": "b", **second})
        def two(self, state):
            return "the question"

        one >> two

    return Graph(id="g")(G)()


def test_equal_questions_of_one_run_are_asked_once():
    with scripted("openai", [reply("one"), "again"]) as llm:
        app = twice()
        result = app.run({})
        assert (result.output["a"], result.output["b"]) == ("one", "one")
        assert app.run({}).output["a"] == "again", "another run asks for itself"
    assert len(llm.requests) == 2
    assert (result.usage["calls"], result.usage["cached_calls"]) == (1, 1)
    assert result.usage["total_tokens"] == 5


@pytest.mark.parametrize("other", [{"memo": False}, {"temperature": 0.1}, {"max_tool_rounds": 0}])
def test_what_is_configured_otherwise_is_asked_for_itself(other):
    with scripted("openai", ["one", "two"]):
        assert twice(**other).run({}).output["b"] == "two"


def test_an_agent_asked_twice_runs_its_tools_once_and_says_it_in_messages_of_their_own():
    ran = []

    @tool
    def paid() -> str:
        ran.append(1)
        return "done"

    class G:
        @llm_node(tools=[paid], memo=True)
        def one(self, state):
            return "question"

        @llm_node(tools=[paid], memo=True)
        def two(self, state):
            return "question"

        one >> two

    call = AIMessage("", tool_calls=[{"name": "paid", "args": {}, "id": "1"}])
    with scripted("openai", [call, "all done"]):
        result = Graph(id="g")(G)().run({"messages": []}, raise_error=True)
    texts = [message.text for message in result.output["messages"]]
    assert texts == ["", "done", "all done"] * 2
    assert ran == [1]


class Thoughtful(ScriptedLLM):
    """Lets whoever else is there go on before it answers."""

    async def complete(self, request):
        for _ in range(100):
            await asyncio.sleep(0)
        return await super().complete(request)


async def test_who_asks_at_once_waits_for_the_one_answer():
    class G:
        @node(goto=["ask"])
        def fan(self, state):
            return [Send("ask", {}) for _ in range(5)]

        @llm_node
        async def ask(self, state, llm):
            replies = await asyncio.gather(*(llm("q", memo=True) for _ in range(2)))
            assert {each.text for each in replies} == {"one"}

    with scripted("openai", []):
        register_provider("openai", llm := Thoughtful(["one"]))
        result = await Graph(id="g")(G)().arun({}, raise_error=True)
    assert len(llm.requests) == 1
    assert result.usage["cached_calls"] == 9


def test_a_failed_question_is_asked_by_the_next_one_who_has_it():
    class G:
        @llm_node
        async def ask(self, state, llm):
            try:
                await llm("q", memo=True)
            except ConnectionError:
                return {"a": (await llm("q", memo=True)).text}

    with scripted("openai", [ConnectionError(), "one"]):
        assert Graph(id="g")(G)().run({}).output["a"] == "one"


def test_who_answers_a_question_to_a_person_meets_the_words_that_were_recalled():
    class G:
        @llm_node(memo=True, into="a")
        def one(self, state):
            return "q"

        @llm_node
        async def two(self, state, llm, ctx):
            draft = await llm("q", memo=True)
            return {"b": f"{draft.text}: {ctx.interrupt(draft.text)}"}

        one >> two

    app = Graph(id="g")(G)()
    with scripted("openai", ["one"]):
        app.run({}, thread_id="t")
        assert app.resume("t", "fine").output["b"] == "one: fine"


def test_a_retry_recalls_and_does_not_count_twice():
    tried = []

    class G:
        @llm_node(retry=Retry(times=1, first=0))
        async def ask(self, state, llm):
            texts = [(await llm("q", memo=True)).text for _ in range(2)]
            tried.append(texts)
            if len(tried) == 1:
                raise OSError
            return {"texts": texts}

    with scripted("openai", [reply("one")]):
        result = Graph(id="g")(G)().run({}, raise_error=True)
    assert tried == [["one", "one"]] * 2
    assert (result.usage["calls"], result.usage["cached_calls"]) == (1, 1)
