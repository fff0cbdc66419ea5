import operator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, NotRequired, TypedDict

import attrs
import pytest
from pydantic import BaseModel

from duragraph_worker import (
    REMOVE_ALL,
    AIMessage,
    HumanMessage,
    Message,
    RemoveMessage,
    add_messages,
)
from duragraph_worker.state import changes, channels, loader, private_copy


class Typed(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[Message], add_messages]
    seen: NotRequired[datetime]


@attrs.define
class Attrs:
    query: str
    log: Annotated[list[str], operator.add] = attrs.field(factory=list)
    limit: int = 3


@dataclass
class Data:
    query: str
    log: Annotated[list[str], operator.add] = field(default_factory=list)
    limit: int = 3


class Model(BaseModel):
    query: str = ""
    messages: Annotated[list[Message], add_messages] = []
    limit: int = 3


def test_reducers_come_from_annotated():
    found = channels(Typed)
    assert found["log"].reducer is operator.add
    assert found["log"].empty() == []
    assert found["messages"].reducer is add_messages
    assert found["seen"].reducer is None


@pytest.mark.parametrize("declared", [Attrs, Data])
def test_classes_are_built_with_their_defaults(declared):
    load = loader(declared, channels(declared))
    assert load({"query": "q"}) == declared(query="q", log=[], limit=3)
    assert load({}).query is None


def test_a_pydantic_state_is_validated_and_keeps_its_messages():
    load = loader(Model, channels(Model))
    loaded = load({"messages": [{"role": "user", "content": "hi"}]})
    assert loaded.messages == [HumanMessage("hi")]
    assert loaded.model_dump()["messages"][0]["type"] == "human"
    with pytest.raises(ValueError, match="limit"):
        load({"limit": "many"})


def test_values_are_restored_from_their_json():
    class Color(Enum):
        RED = "red"

    @attrs.define
    class Doc:
        color: Color

    class State(TypedDict):
        docs: list[Doc]
        at: datetime

    load = loader(State, channels(State))
    loaded = load({"docs": [{"color": "red"}], "at": "2026-01-01T00:00:00Z"})
    assert loaded == {"docs": [Doc(Color.RED)], "at": datetime(2026, 1, 1, tzinfo=UTC)}
    assert load(loaded) == loaded


def test_what_is_no_state_is_refused():
    with pytest.raises(TypeError, match="use a TypedDict"):
        channels(int)


def test_messages_are_appended_and_get_ids():
    (first,) = add_messages([], "hi")
    assert first.content == "hi"
    assert first.id
    assert add_messages([first], first) == [first]


def test_a_message_with_a_known_id_replaces():
    before = [HumanMessage("a", id="1"), HumanMessage("b", id="2")]
    assert add_messages(before, AIMessage("c", id="1")) == [AIMessage("c", id="1"), before[1]]


def test_messages_are_removed_by_id_or_all():
    before = [HumanMessage("a", id="1"), HumanMessage("b", id="2")]
    assert add_messages(before, RemoveMessage("1")) == before[1:]
    after = add_messages(before, [RemoveMessage(REMOVE_ALL), HumanMessage("c", id="3")])
    assert after == [HumanMessage("c", id="3")]
    with pytest.raises(ValueError, match="'4'"):
        add_messages(before, RemoveMessage("4"))


def test_a_removal_taken_back_in_the_same_update_keeps_the_message():
    before = [HumanMessage("a", id="1")]
    assert add_messages(before, [RemoveMessage("1"), HumanMessage("b", id="1")])[0].content == "b"


def test_a_private_copy_shares_nothing_that_can_change():
    original = {"list": [[1]], "message": HumanMessage("hi"), "set": {1}}
    copied = private_copy(original)
    copied["list"][0].append(2)
    copied["set"].add(2)
    assert original == {"list": [[1]], "message": HumanMessage("hi"), "set": {1}}
    assert copied["message"] is original["message"]


def test_changes_are_the_keys_that_differ():
    assert changes({"a": 1, "b": [1]}, {"a": 1, "b": [1, 2], "c": 3}) == {"b": [1, 2], "c": 3}
    assert changes({"query": "q", "log": [], "limit": 3}, Attrs("q", limit=4)) == {"limit": 4}
