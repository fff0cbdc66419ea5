"""What the official client's tests send and expect, and its sync half made awaitable."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs

HANG = {"n": 0, "limit": 3, "hang_at": 2}
"""For the cycle: its second round never ends."""
QUICK = {"n": 0, "limit": 1, "hang_at": 0}
"""For the cycle: one round."""
FIRST_ROUND_DONE = {"again": None}
HELLO = {"messages": [{"type": "human", "content": "hello", "id": "question"}]}
TITLE, TAGS, DECISION = "A title", ["x", "y"], {"approve": True}
QUESTIONS = ["title?", {"question": "tags?", "title": TITLE}]
APPROVAL = {"node": "approve", "prompt": "Publish?"}


@attrs.frozen
class Streamed:
    """A run streamed in one mode: the names of its frames, and what the last one's data holds."""

    mode: str
    graph: str
    input: dict[str, Any]
    events: list[str]
    last: Any


STREAMED = [
    Streamed(
        "values",
        "echo",
        {"msg": "hi"},
        ["metadata", "values", "values"],
        {"msg": "hi", "out": "hi"},
    ),
    Streamed(
        "updates",
        "router",
        {"number": 3},
        ["metadata", *["updates"] * 4],
        {"finish": {"seen": "saw 3, odd"}},
    ),
    Streamed(
        "messages",
        "tokens",
        HELLO,
        ["metadata", "messages/metadata", *["messages/partial"] * 6],
        [{"type": "ai", "content": "Hi you"}],
    ),
    Streamed(
        "messages-tuple",
        "tokens",
        HELLO,
        ["metadata", *["messages"] * 6],
        [{"type": "AIMessageChunk", "content": "u"}, {"langgraph_node": "answer"}],
    ),
    Streamed("custom", "tokens", HELLO, ["metadata", "custom", "custom"], "done"),
    Streamed(
        "tasks",
        "echo",
        {"msg": "hi"},
        ["metadata", "tasks", "tasks"],
        {"name": "reply", "error": None, "result": {"out": "hi"}, "interrupts": []},
    ),
    Streamed(
        "checkpoints",
        "echo",
        {"msg": "hi"},
        ["metadata", *["checkpoints"] * 3],
        {"values": {"msg": "hi", "out": "hi"}, "next": [], "metadata": {"source": "loop"}},
    ),
    Streamed(
        "debug",
        "echo",
        {"msg": "hi"},
        ["metadata", *["debug"] * 5],
        {"type": "checkpoint", "step": 1, "payload": {"values": {"msg": "hi", "out": "hi"}}},
    ),
]


def holds(actual: Any, expected: Any) -> bool:
    """Whether `actual` has all of `expected`: mappings may have more keys, at any depth."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(key in actual and holds(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(actual) == len(expected) and all(map(holds, actual, expected))
    return bool(actual == expected)


@attrs.frozen
class Threaded:
    """The sync client as the tests call the async one: every call and every part in a thread."""

    target: Any

    def __getattr__(self, name: str) -> "Threaded | Callable[..., Any]":
        found = getattr(self.target, name)
        if not callable(found):
            return Threaded(found)

        async def parts(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            iterator, end = found(*args, **kwargs), object()
            while (part := await asyncio.to_thread(next, iterator, end)) is not end:
                yield part

        def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
            return asyncio.to_thread(found, *args, **kwargs)

        return parts if name.endswith("stream") else call
