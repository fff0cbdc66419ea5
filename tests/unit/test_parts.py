"""Messages as A2A's parts, and back: whatever a state holds, and however much."""

import msgspec
import pytest
from msgspec import Raw

from duragraph.api.agents.jsonrpc import Fault
from duragraph.api.agents.parts import HISTORY, V03, V10, Given, Part, said
from duragraph.pg.agents import Task

TASK = Task("context", "root", "run", "assistant", "completed", "2026-01-01T00:00:00+00:00")


def state(*messages):
    return Raw(msgspec.json.encode({"messages": messages}))


def answer(values, dialect=V03):
    (artifact,) = dialect.artifacts(TASK, values)
    (part,) = artifact["parts"]
    return part


def test_text_is_one_message_and_data_the_rest():
    given = Given("m", "user", [Part("one"), Part(data={"a": Raw(b"[1.0]")}), Part("two")])
    message = b'{"type":"human","content":"one\\ntwo","id":"m"}'
    assert bytes(given.as_input()) == b'{"a":[1.0],"messages":[%b]}' % message


def test_an_interrupt_is_answered_with_data_or_text():
    assert bytes(Given("m", "user", [Part("red")]).as_answer()) == b'{"resume":"red"}'
    data = Given("m", "user", [Part(data={"ok": Raw(b"true")})])
    assert bytes(data.as_answer()) == b'{"resume":{"ok":true}}'


@pytest.mark.parametrize(("parts", "code"), [([], -32602), ([Part()], -32005)])
def test_what_is_neither_is_refused(parts, code):
    with pytest.raises(Fault) as fault:
        Given("m", "user", parts).check()
    assert fault.value.problem.code == code


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "image"}, "b", {"type": "text"}], "a"),
    ],
)
def test_content_is_read_as_its_text(content, text):
    assert answer(state({"type": "ai", "content": content})) == {"kind": "text", "text": text}


def test_what_others_than_the_agent_say_last_is_no_answer():
    assert answer(state({"type": "human", "content": "hi"})) == {"kind": "text", "text": ""}
    assert answer(state()) == {"kind": "text", "text": ""}


@pytest.mark.parametrize(
    "values", [b"{}", b'{"messages":"text"}', b'{"messages":["text"]}', b'{"messages":[{"id":3}]}']
)
def test_a_state_without_messages_is_data(values):
    assert said(Raw(values)) is None
    assert answer(Raw(values), V10) == {"data": Raw(values)}


def test_only_user_and_agent_are_shown_and_only_words():
    kinds = ("system", "human", "ai", "tool", "remove")
    values = state(*({"type": k, "content": k, "id": k} for k in kinds), {"type": "ai"})
    shown = V10.history(TASK, said(values), None)
    assert [message["role"] for message in shown] == ["ROLE_USER", "ROLE_AGENT"]
    assert [message["messageId"] for message in shown] == ["human", "ai"]


def test_a_history_has_its_bounds():
    values = state(*({"type": "ai", "content": str(n)} for n in range(HISTORY + 5)))
    shown = V03.task(TASK, values, history=None)["history"]
    assert [m["parts"][0]["text"] for m in shown] == [str(n) for n in range(5, HISTORY + 5)]
    for length in (0, 1, 10 * HISTORY):
        shown = V03.task(TASK, values, history=length).get("history", [])
        assert len(shown) == min(length, HISTORY)
