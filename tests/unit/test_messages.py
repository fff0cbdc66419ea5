import copy
import json

import msgspec
import pytest

from duragraph_worker import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from duragraph_worker.coerce import message
from duragraph_worker.messages import added_up
from duragraph_worker.partial_json import parse_partial

BARE = {"additional_kwargs": {}, "response_metadata": {}, "name": None, "id": None}
AI = BARE | {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        (HumanMessage("hi"), BARE | {"content": "hi", "type": "human"}),
        (SystemMessage("hi"), BARE | {"content": "hi", "type": "system"}),
        (AIMessage("hi"), AI | {"content": "hi", "type": "ai"}),
        (RemoveMessage("1"), BARE | {"content": "", "type": "remove", "id": "1"}),
        (
            ToolMessage("hi", tool_call_id="c", name="f"),
            BARE
            | {"content": "hi", "type": "tool", "name": "f", "tool_call_id": "c"}
            | {"artifact": None, "status": "success"},
        ),
        (
            AIMessageChunk("hi"),
            AI
            | {"content": "hi", "type": "AIMessageChunk"}
            | {"tool_call_chunks": [], "chunk_position": None},
        ),
    ],
)
def test_json_has_the_fields_that_clients_expect(made, fields):
    assert json.loads(msgspec.json.encode(made)) == fields


@pytest.mark.parametrize(
    "made",
    [
        HumanMessage([{"type": "text", "text": "hi"}], name="bob", id="1"),
        AIMessage(
            "x", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}]
        ),
        ToolMessage("x", tool_call_id="c", status="error"),
        RemoveMessage("1"),
    ],
)
def test_json_comes_back_as_the_same_message(made):
    assert message(json.loads(msgspec.json.encode(made))) == made


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("hi", HumanMessage("hi")),
        (("user", "hi"), HumanMessage("hi")),
        (["assistant", "hi"], AIMessage("hi")),
        ({"role": "system", "content": "hi"}, SystemMessage("hi")),
        ({"type": "human", "content": "hi", "id": "1"}, HumanMessage("hi", id="1")),
        ({"role": "assistant", "content": None}, AIMessage("")),
        (
            {"role": "user", "content": "hi", "mood": "good"},
            HumanMessage("hi", additional_kwargs={"mood": "good"}),
        ),
        ({"role": "tool", "content": "r", "tool_call_id": "c"}, ToolMessage("r", tool_call_id="c")),
        ({"type": "AIMessageChunk", "content": "hi", "tool_call_chunks": []}, AIMessage("hi")),
        (
            {
                "type": "constructor",
                "id": ["langchain", "schema", "messages", "HumanMessage"],
                "kwargs": {"content": "hi"},
            },
            HumanMessage("hi"),
        ),
    ],
)
def test_what_people_write_becomes_a_message(written, made):
    assert message(written) == made


def test_tool_calls_in_the_shape_of_openai_are_parsed():
    good = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    bad = {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{"}}
    made = message({"role": "assistant", "content": "", "tool_calls": [good, bad]})
    assert made.tool_calls == [{"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}]
    assert made.invalid_tool_calls[0]["args"] == "{"


@pytest.mark.parametrize(
    "written",
    [
        5,
        {"content": "x"},
        {"role": "bogus", "content": "x"},
        {"role": "tool", "content": "x"},
        {"type": "remove"},
        {"role": "assistant", "content": "", "tool_calls": [{}]},
        {"role": "assistant", "content": "", "tool_calls": 5},
        {"type": "constructor", "id": [], "kwargs": {}},
    ],
)
def test_what_is_no_message_is_refused(written):
    with pytest.raises(ValueError, match="message"):
        message(written)


def test_langchain_messages_are_taken():
    langchain = pytest.importorskip("langchain_core.messages")
    assert message(langchain.AIMessage("hi", id="1")) == AIMessage("hi", id="1")


def test_a_message_reads_like_a_dict():
    made = AIMessage("hi")
    assert (made["role"], made["content"], made.get("nothing", 1)) == ("assistant", "hi", 1)
    with pytest.raises(KeyError):
        made["nothing"]


def test_text_is_that_of_all_blocks():
    assert AIMessage([{"type": "text", "text": "a"}, {"type": "image"}, "b"]).text == "ab"


def test_messages_are_values():
    made = HumanMessage("hi")
    assert copy.deepcopy([made])[0] is made
    with pytest.raises(AttributeError):
        made.content = "ho"


def test_chunks_add_up_to_the_message():
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    chunks = AIMessageChunk("a", id="1") + AIMessageChunk("b", id="1")
    chunks += AIMessageChunk(usage_metadata=usage, chunk_position="last")
    assert chunks.message() == AIMessage("ab", id="1", usage_metadata=usage)


def test_tool_calls_arrive_in_pieces():
    def piece(args, name=None, id=None, index=0):
        return AIMessageChunk(
            tool_call_chunks=[{"name": name, "args": args, "id": id, "index": index}]
        )

    early = piece('{"a": "he', name="f", id="1") + piece("{}", name="g", id="2", index=1)
    assert [call["args"] for call in early.tool_calls] == [{"a": "he"}, {}]
    assert early.message().invalid_tool_calls[0]["id"] == "1"
    whole = early + piece('y"}')
    assert [call["args"] for call in whole.message().tool_calls] == [{"a": "hey"}, {}]


def test_chunks_add_up_at_once_as_they_do_one_by_one():
    def piece(args, index, name=None, id=None):
        return {"name": name, "args": args, "id": id, "index": index}

    chunks = [
        AIMessageChunk("He", id="m", response_metadata={"model_name": "x"}),
        AIMessageChunk("y", tool_call_chunks=[piece('{"a": ', 0, "f", "1")]),
        AIMessageChunk(tool_call_chunks=[piece("1}", 0), piece("{}", None, "g", "2")]),
        AIMessageChunk(tool_call_chunks=[piece("{", None, "h", "3")], chunk_position="last"),
    ]
    whole = added_up(chunks)
    assert whole == sum(chunks[1:], start=chunks[0]).message()
    assert [call["name"] for call in whole.tool_calls] == ["f", "g"]
    assert [call["name"] for call in whole.invalid_tool_calls] == ["h"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{", {}),
        ('{"a"', {}),
        ('{"a": "he', {"a": "he"}),
        ('{"a": [1, {"b": tr', {"a": [1, {}]}),
        ('{"a": 1,', {"a": 1}),
        (r'{"a": "x\"', {"a": 'x"'}),
        ("x", None),
        ("", None),
    ],
)
def test_json_is_read_while_it_arrives(text, value):
    assert parse_partial(text) == value


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("<tool>" + "x" * 300_000, None),
        ('{"a": "' + "x" * 300_000 + '"} and so on ' + "y" * 300_000, {"a": "x" * 300_000}),
        ('{"a": 1, "' + "k" * 300_000, {"a": 1}),
        ('{"a": 1,' + " " * 300_000, {"a": 1}),
        ('{"a": ' * 300_000, None),
        ('{"a": ' + "1" * 300_000, None),
    ],
    ids=["no JSON", "more than JSON", "half a key", "blanks", "deep", "a long number"],
)
def test_arguments_that_go_wrong_are_read_in_a_moment(text, known):
    assert parse_partial(text) == known


def test_arguments_nested_too_deeply_are_told_as_invalid():
    piece = {"name": "f", "args": '{"a":' * 100_000, "id": "1", "index": 0}
    whole = added_up([AIMessageChunk(tool_call_chunks=[piece])])
    assert [call["id"] for call in whole.invalid_tool_calls] == ["1"]
