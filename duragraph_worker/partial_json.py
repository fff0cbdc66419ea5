"""Reading JSON that is still arriving, for tool calls shown while they stream."""

import json
from typing import Any

_CLOSERS = {"{": "}", "[": "]"}


def parse_partial(text: str) -> Any:
    """The value of `text`, what is open closed and a dangling rest dropped; None if hopeless."""
    for end in range(len(text), 0, -1):
        try:
            return json.loads(text[:end] + _closing(text[:end]))
        except json.JSONDecodeError:
            continue
    return None


def _closing(text: str) -> str:
    stack: list[str] = []
    in_string = escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif in_string:
            escaped = char == "\\"
            in_string = char != '"'
        elif char == '"':
            in_string = True
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char in "}]" and stack:
            stack.pop()
    return '"' * in_string + "".join(reversed(stack))
