"""Makes two servers' answers comparable: what is random or a time becomes a stable name.

An id is named by its kind and the order in which it first appears in a scenario; a time
keeps its format. Everything else stays as it was on the wire.
"""

import json
import re
from collections import Counter
from typing import Any

import attrs

from duragraph.ids import system_assistant_id
from tests.conformance.wire import Exchange, is_canonical

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HEX = re.compile(r"\b[0-9a-f]{32}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
EVENT_ID = re.compile(r"\d{13}-\d+")
URL = re.compile(r"http://(127\.0\.0\.1|localhost):\d+")
LEAKED = re.compile(r"(has in-flight runs).*")
"""The reference prints the whole runs, with their times, into this error."""
KINDS = ("thread", "run", "assistant", "checkpoint")
MESSAGE_TYPES = {"ai", "human", "system", "tool", "AIMessageChunk", "remove"}
GRAPHS = ("echo", "fanout", "router", "cycle", "interrupt", "error", "tokens", "subgraph", "nested")


@attrs.define
class Names:
    """The placeholders that one scenario's ids have been given."""

    names: dict[str, str] = attrs.field(
        factory=lambda: {system_assistant_id(graph): f"<assistant of {graph}>" for graph in GRAPHS}
    )
    counts: Counter[str] = attrs.field(factory=Counter)

    def of(self, id: str, kind: str) -> str:
        if id not in self.names:
            self.counts[kind] += 1
            self.names[id] = f"<{kind} {self.counts[kind]}>"
        return self.names[id]

    def message(self, id: str) -> str:
        """Ids that the test chose stay."""
        return self.of(id, "message") if UUID.search(id) else id

    def text(self, text: str, key: str = "") -> str:
        kind = next((kind for kind in KINDS if key.endswith(f"{kind}_id")), "id")
        text = URL.sub("<server>", TIME.sub("<time>", EVENT_ID.sub("<event>", text)))
        text = LEAKED.sub(r"\1", text)
        text = re.sub(
            rf"(threads|runs|assistants)/({UUID.pattern})",
            lambda found: f"{found[1]}/{self.of(found[2], found[1][:-1])}",
            text,
        )
        text = UUID.sub(lambda found: self.of(found[0], kind), text)
        return HEX.sub(lambda found: self.of(found[0], "hash"), text)

    def value(self, value: Any, key: str = "") -> Any:
        match value:
            case str():
                return "<event>" if EVENT_ID.fullmatch(value) else self.text(value, key)
            case list():
                return [self.value(item, key) for item in value]
            case {"type": type, "id": str(id), "content": _} if type in MESSAGE_TYPES:
                named = self.message(id)
                rest = {key: self.value(item, key) for key, item in value.items() if key != "id"}
                return {"id": named, **rest}
            case dict():
                return {
                    self.text(name, "id"): self.value(item, name)
                    for name, item in timeless(value).items()
                }
            case int() if key.endswith("_ms__"):
                return "<ms>"
        return value

    def exchange(self, exchange: Exchange) -> dict[str, Any]:
        """`{call, sent, status, headers, json | text | frames}` with names for ids."""
        answer: dict[str, Any] = {
            "call": self.text(f"{exchange.method} {exchange.path}"),
            "sent": exchange.sent.decode("latin-1")
            if isinstance(exchange.sent, bytes)
            else self.value(exchange.sent),
            "status": exchange.failure or exchange.status,
            "headers": {name: self.text(value) for name, value in exchange.headers.items()},
        }
        return answer | self._body(exchange)

    def _body(self, exchange: Exchange) -> dict[str, Any]:
        if exchange.headers.get("content-type", "").startswith("text/event-stream"):
            frames = [self._frame(frame) for frame in exchange.frames]
            framing = {} if is_canonical(bytes(exchange.body)) else {"framing": "not canonical"}
            return {"frames": frames, **framing}
        text = exchange.body.decode()
        try:
            return {"json": self.value(json.loads(text))}
        except ValueError:
            return {"text": self.text(text)}

    def _frame(self, frame: dict[str, str]) -> dict[str, Any]:
        named: dict[str, Any] = {name: self.value(frame[name]) for name in frame if name != "data"}
        if frame.get("id", "").isdigit():
            named["id"] = "<event>"
        text = frame.get("data", "")
        try:
            data = json.loads(text)
        except ValueError:
            return named | {"data": self.text(text), "json": False}
        if json.dumps(data, separators=(",", ":"), ensure_ascii=False) != text:
            named["compact"] = False
        if frame.get("event") == "messages/metadata":
            data = {self.message(name): metadata for name, metadata in data.items()}
        return {"event": named.get("event"), "data": self.value(data), **named}


def timeless(value: dict[str, Any]) -> dict[str, Any]:
    """An event of a thread is numbered from where its server likes, at a time of its own."""
    match value:
        case {"type": "event", "event_id": _, "seq": _, "params": {"timestamp": _, **params}}:
            rest = {name: value[name] for name in value if name not in {"event_id", "seq"}}
            return rest | {"params": params}
    return value
