"""Values of every kind through the record: restored as they were, shown as LangGraph shows them."""

import math
import random
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph.message import add_messages
from langgraph.types import Interrupt, Send
from pydantic import BaseModel

from duragraph.protocol import SNAPSHOT_EVERY
from duragraph_worker.langgraph.channel_values import Cell, write_whole
from duragraph_worker.langgraph.serialize import dump

SERDE = JsonPlusSerializer()
CALL = {"name": "look_up", "args": {"q": "Köln", "n": 1}, "id": "c1", "type": "tool_call"}


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    tags: set[str] = set()
    at: datetime


class Model(BaseModel):
    name: str
    inner: Inner


@dataclass
class Point:
    x: float
    y: "Point | None" = None


NOON = datetime(2026, 1, 2, 12, 30, 0, 5, tzinfo=UTC)
VALUES = [
    (None, "null"),
    (True, "true"),
    (2**63 - 1, "9223372036854775807"),
    (1.5, "1.5"),
    (1.0, "1.0"),
    (math.inf, "null"),
    (math.nan, "null"),
    ("", '""'),
    ("ünï☃ 'quoted' \"\\ \n", r'"ünï☃ ' + "'quoted'" + r' \"\\ \n"'),
    ("nul \0", '"nul \ufffd"'),
    (b"\x00\xff", '"AP8="'),
    (bytearray(b"ab"), '"YWI="'),
    ([], "[]"),
    ([1, [2, {"a": None}]], '[1,[2,{"a":null}]]'),
    ((1, "a"), '[1,"a"]'),
    ({}, "{}"),
    ({2: "a", None: "n", 1.5: "f"}, '{"2":"a","null":"n","1.5":"f"}'),
    ({"a": {"b": (1, 2)}}, '{"a":{"b":[1,2]}}'),
    ({3}, "[3]"),
    (frozenset({"x"}), '["x"]'),
    (deque([1, 2]), "[1,2]"),
    (NOON, '"2026-01-02T12:30:00.000005+00:00"'),
    (NOON.replace(tzinfo=None), '"2026-01-02T12:30:00.000005"'),
    (NOON.astimezone(timezone(timedelta(hours=5.5))), '"2026-01-02T18:00:00.000005+05:30"'),
    (date(2026, 1, 2), '"2026-01-02"'),
    (time(1, 2, 3), '"01:02:03"'),
    (timedelta(days=1, milliseconds=5), "86400.005"),
    (ZoneInfo("Europe/Berlin"), "null"),
    (timezone(timedelta(hours=2)), '"UTC+02:00"'),
    (Decimal("1.10"), "1.1"),
    (Decimal(7), "7"),
    (UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
    (Colour.RED, '"red"'),
    (IPv4Address("10.0.0.1"), '"10.0.0.1"'),
    (Path("/a/b"), '"/a/b"'),
    (Point(1.0, Point(2.0)), '{"x":1.0,"y":{"x":2.0,"y":null}}'),
    (
        Model(name="m", inner=Inner(tags={"t"}, at=NOON)),
        ('{"name":"m","inner":{"tags":["t"],"at":"2026-01-02T12:30:00.000005+00:00"}}'),
    ),
    (Send("node", {"n": 1}), '{"node":"node","args":{"n":1}}'),
    (Interrupt("sure?", id="i1"), '{"value":"sure?","id":"i1","response_schema":null}'),
    (
        HumanMessage("hi", id="h1", additional_kwargs={"k": [1]}, name="ann"),
        (
            '{"content":"hi","additional_kwargs":{"k":[1]},"response_metadata":{},"type":"human",'
            '"name":"ann","id":"h1"}'
        ),
    ),
    (
        SystemMessage([{"type": "text", "text": "be kind"}], id="s1"),
        (
            '{"content":[{"type":"text","text":"be kind"}],"additional_kwargs":{},'
            '"response_metadata":{},"type":"system","name":null,"id":"s1"}'
        ),
    ),
    (
        AIMessage("", id="a1", tool_calls=[CALL], response_metadata={"model": "m"}),
        (
            '{"content":"","additional_kwargs":{},"response_metadata":{"model":"m"},"type":"ai",'
            '"name":null,"id":"a1","tool_calls":[{"name":"look_up","args":{"q":"Köln","n":1},'
            '"id":"c1","type":"tool_call"}],"invalid_tool_calls":[],"usage_metadata":null}'
        ),
    ),
    (
        ToolMessage("42", tool_call_id="c1", id="t1", artifact={"raw": [4, 2]}, status="error"),
        (
            '{"content":"42","additional_kwargs":{},"response_metadata":{},"type":"tool","name":null,'
            '"id":"t1","tool_call_id":"c1","artifact":{"raw":[4,2]},"status":"error"}'
        ),
    ),
    (
        FunctionMessage("1", name="f", id="f1"),
        (
            '{"content":"1","additional_kwargs":{},"response_metadata":{},"type":"function",'
            '"name":"f","id":"f1"}'
        ),
    ),
    (
        RemoveMessage(id="h1"),
        (
            '{"content":"","additional_kwargs":{},"response_metadata":{},"type":"remove","name":null,'
            '"id":"h1"}'
        ),
    ),
]


class Parts:
    """A channel as the plane keeps it: parts by version, joined for whoever reads."""

    def __init__(self):
        self.cell: Cell | None = None
        self.written = {}

    def put(self, value, *, again=False):
        """Record the next value; `again` by a worker that has it from the record."""
        version = str(len(self.written) + 1)
        if self.cell is None:
            self.cell, part = write_whole("c", value, version=version, serde=SERDE)
        else:
            before = self.read() if again else self.cell
            self.cell, part = before.follow("c", value, version=version, serde=SERDE)
        if part is not None:
            self.written[version] = part
        return part

    def read(self):
        """The head's cell, of nothing but what is recorded."""
        chain, version = [], self.cell.version
        while version is not None:
            chain.insert(0, self.written[version])
            version = chain[0].base_id
        json = chain[0].value
        if len(chain) > 1:
            json = b"[" + b",".join(p.value[1:-1] for p in chain if p.value != b"[]") + b"]"
        codecs = [p.codec for p in chain if p.codec is not None]
        return Cell.load(json, codecs, version=self.cell.version, depth=chain[-1].depth)


def as_langgraph_restores(value):
    """A tuple becomes a list, for one."""
    return SERDE.loads_typed(SERDE.dumps_typed(value))


def same(one, other):
    return type(one) is type(other) and (one == other or repr(one) == repr(other) == "nan")


@pytest.mark.parametrize(("value", "shown"), VALUES, ids=lambda v: type(v).__name__)
def test_a_value_is_restored_and_shown(value, shown):
    parts = Parts()
    parts.put(value)
    read = parts.read()
    assert read.json.decode() == shown
    assert same(read.restore(SERDE), as_langgraph_restores(value))


@pytest.mark.parametrize(("value", "shown"), VALUES, ids=lambda v: type(v).__name__)
def test_a_value_is_restored_and_shown_as_an_element_appended(value, shown):
    parts = Parts()
    parts.put(["first"])
    appended = parts.put(["first", value])
    assert (appended.base_id, appended.value.decode()) == ("1", f"[{shown}]")
    read = parts.read()
    assert read.json.decode() == f'["first",{shown}]'
    first, second = read.restore(SERDE)
    assert first == "first"
    assert same(second, as_langgraph_restores([value])[0])


def test_an_error_whose_words_json_cannot_hold_is_told():
    assert dump(ValueError("half \ud800")) == b'{"error":"ValueError","message":"half ?"}'


def test_a_chunk_of_a_message_stays_one():
    parts = Parts()
    parts.put([AIMessageChunk("to", id="1")])
    assert parts.read().restore(SERDE) == [AIMessageChunk("to", id="1")]


def test_an_unchanged_value_is_not_recorded_again():
    parts = Parts()
    for value in (1, [1, 2], {"a": b"1"}, "text"):
        parts.put(value)
        assert parts.put(value) is None


def test_a_value_that_only_looks_alike_is_recorded():
    parts = Parts()
    shown = [parts.put(value) for value in (1, True, 1.0, "1", [1], (1,), {1}, None, [None])]
    assert None not in shown


def test_an_old_message_changed_in_place_is_no_append():
    messages = [HumanMessage("one", id="1"), HumanMessage("two", id="2")]
    parts = Parts()
    parts.put(messages)
    messages[0].additional_kwargs["seen"] = True
    part = parts.put([*messages, HumanMessage("three", id="3")])
    assert part.base_id is None
    assert msgspec.json.decode(parts.read().json)[0]["additional_kwargs"] == {"seen": True}
    assert parts.read().restore(SERDE)[0].additional_kwargs == {"seen": True}


def test_lists_are_whole_again_in_time():
    parts = Parts()
    depths = [parts.put(list(range(n))).depth for n in range(1, 2 * SNAPSHOT_EVERY)]
    assert max(depths) == SNAPSHOT_EVERY - 1
    assert depths.count(0) == 2
    assert parts.read().restore(SERDE) == list(range(2 * SNAPSHOT_EVERY - 1))


@pytest.mark.parametrize("seed", range(20))
def test_any_history_of_messages_is_restored_at_every_step(seed):
    """Appended, replaced by id, removed, changed in place, cut, and read back by another worker."""
    chance = random.Random(seed)
    parts, messages, made = Parts(), [], 0
    for _ in range(100):
        act = chance.choice(["add", "add", "add", "replace", "remove", "change", "cut", "keep"])
        if act == "add":
            new = [HumanMessage(f"{made}", id=str(made)), AIMessage("ok", tool_calls=[CALL])]
            messages, made = add_messages(messages, new[: chance.randint(1, 2)]), made + 1
        elif act == "cut":
            messages = messages[-chance.randint(1, 5) :]
        elif messages and act != "keep":
            old = chance.choice(messages)
            if act == "replace":
                messages = add_messages(messages, [HumanMessage("other", id=old.id)])
            elif act == "remove":
                messages = add_messages(messages, [RemoveMessage(id=old.id)])
            else:
                old.content += "!"
        parts.put(messages, again=chance.random() < 0.3)
        read = parts.read()
        assert read.restore(SERDE) == messages
        assert read.json == write_whole("c", messages, version="1", serde=SERDE)[1].value
