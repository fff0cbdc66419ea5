import asyncio
import sys
from typing import Annotated, Literal, TypedDict

import attrs
import pytest

from duragraph_worker import (
    AIMessage,
    Graph,
    GraphError,
    HumanMessage,
    Message,
    Retry,
    add_messages,
    llm_node,
    node,
    tool,
    tool_node,
)
from duragraph_worker.llm import content
from duragraph_worker.llm.model import ToolRoundsError
from duragraph_worker.llm.providers import ModelError, replaced, resolve, unregister_provider
from duragraph_worker.llm.structured import OutputError
from duragraph_worker.messages import AIMessageChunk, tool_call_chunk
from duragraph_worker.testing import ScriptedLLM, scripted

HI = {"messages": [{"role": "user", "content": "hi"}]}


def call(name, id="1", **args):
    return {"name": name, "args": args, "id": id}


def asks(*calls):
    return AIMessage("", tool_calls=list(calls))


@pytest.fixture
def run():
    """Runs one LLM node, written as a class body, over a script."""

    def run(cls, script, input=HI, **graph):
        with scripted("openai", script) as llm:
            result = Graph(id="g", **graph)(cls)().run(input, raise_error=True)
        return result.output, llm.requests

    return run


def told(request):
    return [(message.role, message.text) for message in request.messages]


def said(output):
    return [(message.role, message.text) for message in output["messages"]]


def test_an_empty_body_asks_with_the_messages_and_appends_the_reply(run):
    class G:
        @llm_node(model="gpt-4o-mini", system="Be brief.")
        def process(self, state): ...

    output, (request,) = run(G, ["hello"])
    assert told(request) == [("system", "Be brief."), ("user", "hi")]
    assert said(output) == [("user", "hi"), ("assistant", "hello")]


def test_bare_decorator_asks_the_default_model(run):
    class G:
        @llm_node
        def process(self, state): ...

    _, (request,) = run(G, ["hello"])
    assert request.model == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("returned", "asked"),
    [
        ("a string", [("user", "a string")]),
        (AIMessage("a message"), [("assistant", "a message")]),
        ({"role": "user", "content": "a dict"}, [("user", "a dict")]),
        ([("system", "a"), HumanMessage("list")], [("system", "a"), ("user", "list")]),
        (None, [("user", "hi")]),
        (..., [("user", "hi")]),
    ],
)
def test_what_the_body_returns_is_the_prompt(run, returned, asked):
    class G:
        @llm_node
        def process(self, state):
            return returned

    output, (request,) = run(G, ["hello"])
    assert told(request) == asked
    assert said(output) == [("user", "hi"), ("assistant", "hello")]


def test_a_mapping_is_an_update_and_the_messages_with_it_are_the_prompt(run):
    class G:
        @llm_node
        async def process(self, state):
            return {"messages": "and more", "topic": "x"}

    output, (request,) = run(G, ["hello"])
    assert told(request) == [("user", "hi"), ("user", "and more")]
    assert said(output) == [("user", "hi"), ("user", "and more"), ("assistant", "hello")]
    assert output["topic"] == "x"


def test_without_messages_the_input_is_asked_and_the_reply_is_the_response(run):
    class G:
        @llm_node
        def process(self, state): ...

    output, (request,) = run(G, ["hello"], input={"input": "hi"})
    assert told(request) == [("user", "hi")]
    assert output == {"input": "hi", "response": "hello"}


def test_with_nothing_to_ask_it_says_so(run):
    class G:
        @llm_node
        def process(self, state): ...

    with pytest.raises(ValueError, match="LLM node process has nothing to ask"):
        run(G, [], input={"x": 1})


def test_into_gets_the_reply_and_leaves_the_messages_alone(run):
    class G:
        @llm_node(into="title")
        def process(self, state): ...

    output, _ = run(G, ["hello"])
    assert output["title"] == "hello"
    assert said(output) == [("user", "hi")]


def test_output_is_asked_for_by_schema_and_written_as_plain_values(run):
    @attrs.define
    class Order:
        id: str
        count: int

    class G:
        @llm_node(output=Order, into="order")
        def order(self, state): ...

        @llm_node(output=Literal["yes", "no"])
        def decide(self, state): ...

        order >> decide

    output, (first, second) = run(G, ['{"id": "a", "count": 2}', '{"value": "yes"}'])
    assert output["order"] == {"id": "a", "count": 2}
    assert output["response"] == "yes"
    assert first.output.schema["properties"].keys() == {"id", "count"}
    assert second.output.schema["properties"] == {"value": {"enum": ["no", "yes"]}}


def test_a_reply_of_the_wrong_type_is_not_recorded_so_a_retry_asks_again(run):
    class G:
        @llm_node(output=Literal["yes"], retry=Retry(times=1, on=OutputError, first=0))
        def decide(self, state): ...

    output, requests = run(G, ["perhaps", '{"value": "yes"}'])
    assert output["response"] == "yes"
    assert len(requests) == 2


def test_tools_loop_until_the_model_stops_asking(run):
    class G:
        unit = "C"

        @tool
        async def weather(self, city: str) -> str:
            """Weather of a city."""
            return f"{city}: 20 {self.unit}"

        @llm_node(tools=[weather])
        def process(self, state): ...

    script = [asks(call("weather", city="Ulm")), asks(call("weather", "2", city="Bonn")), "warm"]
    output, requests = run(G, script)
    assert said(output)[1:] == [
        ("assistant", ""),
        ("tool", "Ulm: 20 C"),
        ("assistant", ""),
        ("tool", "Bonn: 20 C"),
        ("assistant", "warm"),
    ]
    assert requests[2].messages[-1].tool_call_id == "2"


def test_parallel_tool_calls_run_in_parallel(run):
    both = asyncio.Barrier(2)

    @tool
    async def meet(who: str) -> str:
        await asyncio.wait_for(both.wait(), timeout=5)
        return who

    class G:
        @llm_node(tools=[meet])
        def process(self, state): ...

    output, _ = run(G, [asks(call("meet", "1", who="a"), call("meet", "2", who="b")), "met"])
    assert said(output)[2:] == [("tool", "a"), ("tool", "b"), ("assistant", "met")]


def test_what_the_model_can_mend_is_told_to_it(run):
    @tool
    def add(a: int) -> int:
        return a

    class G:
        @llm_node(tools=[add])
        def process(self, state): ...

    output, _ = run(G, [asks(call("sub", "1"), call("add", "2", a="x")), "sorry"])
    wrong_name, wrong_type = output["messages"][2:4]
    assert (wrong_name.status, wrong_type.status) == ("error", "error")
    assert "it doesn't exist; the tools are: add" in wrong_name.text
    assert "Expected `int`, got `str`" in wrong_type.text


def test_a_tool_that_raises_fails_the_node_with_its_own_exception(run):
    @tool
    def burn() -> None:
        raise OSError("on fire")

    class G:
        @llm_node(tools=[burn])
        def process(self, state): ...

    with pytest.raises(OSError, match="on fire"):
        run(G, [asks(call("burn"))])


def test_a_tool_that_ends_the_process_fails_its_node_alone(run):
    @tool
    async def leave(ctx) -> str:
        sys.exit(3)

    class G:
        @llm_node(tools=[leave])
        def process(self, state): ...

    with pytest.raises(RuntimeError, match=r"tool leave called sys.exit\(3\)"):
        run(G, [asks(call("leave"))])


def test_tool_rounds_have_a_limit(run):
    @tool
    def again() -> str:
        return "again"

    class G:
        @llm_node(tools=[again], max_tool_rounds=2)
        def process(self, state): ...

    with pytest.raises(ToolRoundsError, match="after 2 rounds"):
        run(G, [asks(call("again", str(n))) for n in range(3)])


def test_a_retry_pays_for_no_reply_and_no_recorded_tool_twice(run):
    called, tried = [], []

    @tool
    def paid() -> str:
        called.append("paid")
        return "done"

    @tool(record=False)
    def free() -> str:
        called.append("free")
        return "done"

    @tool
    def flaky() -> str:
        tried.append(1)
        if len(tried) == 1:
            raise ConnectionError
        return "done"

    class G:
        @llm_node(tools=[paid, free, flaky], retry=Retry(times=1, first=0))
        def process(self, state): ...

    script = [asks(call("paid", "1"), call("free", "2")), asks(call("flaky", "3")), "all done"]
    output, requests = run(G, script)
    assert said(output)[-1] == ("assistant", "all done")
    assert len(requests) == 3
    assert sorted(called) == ["free", "free", "paid"]


def test_a_body_that_takes_llm_is_in_charge(run):
    class G:
        @llm_node(system="Be brief.")
        async def process(self, state, llm):
            reply = await llm("first")
            kind = await llm([reply, "second"], output=Literal["a", "b"])
            tokens = [token async for token in llm.stream("third")]
            return {"kind": kind, "tokens": tokens}

    output, requests = run(G, ["one", '{"value": "b"}', "three words here"])
    assert told(requests[1]) == [("system", "Be brief."), ("assistant", "one"), ("user", "second")]
    assert output["tokens"] == ["three ", "words ", "here"]
    assert output["kind"] == "b"
    assert said(output) == [("user", "hi")]


def test_one_question_of_a_body_may_have_no_type(run):
    class G:
        @llm_node(output=Literal["a", "b"])
        async def process(self, state, llm):
            return {"free": (await llm("first", output=None)).text, "kind": await llm("second")}

    output, (free, typed) = run(G, ["neither", '{"value": "b"}'])
    assert (output["free"], output["kind"]) == ("neither", "b")
    assert (free.output, typed.output is None) == (None, False)


def test_a_sync_body_asks_with_sync(run):
    class G:
        @llm_node
        def process(self, state, llm):
            return {"answer": llm.sync(state["messages"]).text}

    assert run(G, ["hello"])[0]["answer"] == "hello"


def test_an_async_body_is_told_to_await_instead(run):
    class G:
        @llm_node
        async def process(self, state, llm):
            with pytest.raises(RuntimeError, match="await it"):
                llm.sync(state["messages"])
            return {"answer": "none"}

    assert run(G, [])[0]["answer"] == "none"


def test_a_body_in_charge_may_run_tools_itself(run):
    @tool
    def add(a: int) -> int:
        return a + 1

    class G:
        @llm_node
        async def process(self, state, llm):
            reply = await llm("add", tools=[add], max_tool_rounds=0)
            return {"asked": reply.tool_calls[0]["args"]}

    assert run(G, [asks(call("add", a=1))])[0]["asked"] == {"a": 1}


def test_the_next_model_is_asked_when_one_cannot_answer(run):
    class G:
        @llm_node(model=["openai/a", "backup/b"])
        def process(self, state): ...

    with scripted("backup", ["from backup"]) as backup:
        output, requests = run(G, [ConnectionError("down")])
    assert said(output)[-1] == ("assistant", "from backup")
    assert [request.model for request in requests + backup.requests] == ["a", "b"]


async def test_tokens_stream_and_no_try_shares_a_message_with_another():
    class G:
        @llm_node(model=["openai/a", "openai/b"], output=Literal["yes"], retry=Retry(first=0))
        def decide(self, state): ...

    with scripted("openai", [ConnectionError(), "no way", '{"value": "yes"}', "unused"]):
        # The second line is of the wrong type: the node is tried again from its first model.
        parts = [
            part.data[0]
            async for part in Graph(id="g")(G)().stream(HI, stream_mode="messages-tuple")
            if part.event == "messages"
        ]
    texts = {}
    for chunk in parts:
        texts[chunk["id"]] = texts.get(chunk["id"], "") + chunk["content"]
    assert list(texts.values()) == ["no way", '{"value": "yes"}']


HALVES = ("\ud83d", "\ude00")


class Cutting(ScriptedLLM):
    """As servers do that count UTF-16: it cuts an emoji in two, and ends in half of one."""

    async def stream(self, request):
        for text in ("Hi ", HALVES[0], "", f"{HALVES[1]}!", HALVES[0]):
            yield AIMessageChunk(text)
        yield AIMessageChunk(chunk_position="last")

    async def complete(self, request):
        return AIMessage(f"Hi {HALVES[0]}{HALVES[1]}!{HALVES[0]}")


@pytest.mark.parametrize("stream", [True, False])
async def test_characters_come_whole_however_their_server_cuts_them(stream):
    @Graph(id="g")
    class G:
        @llm_node(model="cutting/x", stream=stream)
        def process(self, state): ...

    with replaced(["cutting"], Cutting()):
        parts = [part async for part in G().stream(HI, stream_mode=["messages-tuple", "values"])]
    told = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert "".join(told) == "Hi \U0001f600!\ufffd"
    assert parts[-1].data["messages"][-1]["content"] == "Hi \U0001f600!\ufffd"


class CuttingThoughtsAndCalls(ScriptedLLM):
    async def stream(self, request):
        for half in HALVES:
            yield AIMessageChunk(content.thought(half))
        for args in ('{"text": "', *HALVES, '"}') if len(request.messages) == 1 else ():
            piece = tool_call_chunk(0, id="1", name="echo", args=args)
            yield AIMessageChunk(tool_call_chunks=[piece])
        yield AIMessageChunk(chunk_position="last")


def test_thoughts_and_calls_come_in_whole_characters_too():
    @tool
    def echo(text: str) -> str:
        return text

    @Graph(id="g")
    class G:
        @llm_node(model="cutting/x", tools=[echo])
        def process(self, state): ...

    with replaced(["cutting"], CuttingThoughtsAndCalls()):
        _, asked, answer, _ = G().run(HI, raise_error=True).output["messages"]
    (thought,) = asked.content
    assert (thought["reasoning"], answer.content) == ("\U0001f600", "\U0001f600")


async def test_without_stream_the_reply_is_one_chunk():
    class G:
        @llm_node(stream=False)
        def process(self, state): ...

    with scripted("openai", ["three words here"]):
        stream = Graph(id="g")(G)().stream(HI, stream_mode="messages-tuple")
        contents = [part.data[0]["content"] async for part in stream if part.event == "messages"]
    assert contents == ["three words here"]


def test_declared_state_says_where_the_reply_goes(run):
    class Chat(TypedDict):
        messages: Annotated[list[Message], add_messages]

    class Plain(TypedDict):
        input: str
        response: str

    class Neither(TypedDict):
        input: str

    class G:
        @llm_node
        def process(self, state): ...

    assert said(run(G, ["hello"], state=Chat)[0])[-1] == ("assistant", "hello")
    output, _ = run(G, ["hello"], input={"input": "hi"}, state=Plain)
    assert output["response"] == "hello"
    with pytest.raises(GraphError, match="`process` writes to 'messages', 'response'"):
        Graph(id="g", state=Neither)(G)


def test_output_needs_a_key_that_the_state_has():
    class Chat(TypedDict):
        messages: Annotated[list[Message], add_messages]

    class G:
        @llm_node(output=bool)
        def process(self, state): ...

    with pytest.raises(GraphError, match=r"`process` writes to 'response'.*`into=`"):
        Graph(id="g", state=Chat)(G)


@pytest.mark.parametrize("decorator", [llm_node, node])
def test_generators_are_refused_at_decoration(decorator):
    class G:
        @decorator
        def process(self, state):
            yield "x"

    with pytest.raises(GraphError, match="`process` is a generator"):
        Graph(id="g")(G)


def test_a_tool_node_runs_the_calls_of_the_last_message(run):
    @tool
    def add(a: int) -> int:
        return a + 1

    class G:
        @llm_node
        async def ask(self, state, llm):
            return {"messages": await llm(state["messages"], tools=[add], max_tool_rounds=0)}

        @tool_node(tools=[add])
        def tools(self, state): ...

        ask >> tools

    output, _ = run(G, [asks(call("add", a=1))])
    assert said(output)[-1] == ("tool", "2")


def test_a_tool_node_with_a_body_is_a_plain_node(run):
    class G:
        @tool_node
        def fetch(self, state):
            return {"x": 1}

    assert Graph(id="g")(G).plan.nodes["fetch"].kind == "tool"
    assert run(G, [])[0]["x"] == 1


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai:gpt-4o", "gpt-4o"])
def test_a_model_names_its_provider(model):
    with scripted("openai", []) as llm:
        assert resolve(model) == (llm, "gpt-4o")


@pytest.mark.parametrize("model", ["o3-mini", "chatgpt-4o-latest"])
def test_well_known_names_need_no_provider(model):
    with scripted("openai", []) as llm:
        assert resolve(model) == (llm, model)


def test_only_the_first_slash_separates():
    with scripted("local", []) as llm:
        assert resolve("local/meta/llama-3:8b") == (llm, "meta/llama-3:8b")


@pytest.mark.parametrize("model", ["gemini-3-pro", "nowhere/x", "mystery"])
def test_an_unknown_model_names_the_providers_there_are(model):
    with pytest.raises(ModelError, match=r"installed.*: .*openai"):
        resolve(model)


def test_a_missing_extra_names_the_pip_line(monkeypatch):
    unregister_provider("openai")
    monkeypatch.delitem(sys.modules, "duragraph_worker.integrations.openai", raising=False)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ModelError, match=r"pip install 'duragraph\[openai\]'"):
        resolve("gpt-4o-mini")


def test_messages_without_a_reducer_are_written_whole(run):
    class State(TypedDict):
        messages: list[Message]

    class G:
        @llm_node
        def first(self, state): ...

        @llm_node
        def second(self, state):
            return {"messages": ["only this"]}

        first >> second

    output, requests = run(G, ["one", "two"], state=State)
    assert told(requests[1]) == [("user", "only this")]
    assert said(output) == [("user", "only this"), ("assistant", "two")]


def test_a_question_to_a_person_does_not_ask_the_model_again():
    class G:
        @llm_node
        async def process(self, state, llm, ctx):
            draft = await llm("draft")
            return {"text": f"{draft.text}, {ctx.interrupt('fine?')}"}

    app = Graph(id="g")(G)()
    with scripted("openai", ["a draft"]) as llm:
        app.run(HI, thread_id="t")
        assert app.resume("t", "approved").output["text"] == "a draft, approved"
    assert len(llm.requests) == 1


def test_a_state_changed_in_place_and_returned_is_asked_once(run):
    class G:
        @llm_node
        def process(self, state):
            state["messages"].append("and more")
            return state

    output, (request,) = run(G, ["hello"])
    assert told(request) == [("user", "hi"), ("user", "and more")]
    assert said(output) == [("user", "hi"), ("user", "and more"), ("assistant", "hello")]
