"""Reading JSON that is still arriving, for tool calls shown while they stream."""

import json
from typing import Any

_CLOSERS = {"{": "}", "[": "]"}


def parse_partial(text: str) -> Any:
    """The value of `text`, what is open closed and a dangling rest dropped; None if hopeless."""
    while text:
        whole, opened = _closed(text)
        try:
            return json.loads(whole)
        except json.JSONDecodeError as error:
            # What follows a fault can't mend it; a string at the end that is none is half a key.
            last = max(0, len(text.rstrip()) - 1) if opened is None else opened
            text = text[: error.pos if error.pos < len(text) else last]
        except (ValueError, RecursionError):  # a number of thousands of digits, a deep nesting
            return None
    return None


def _closed(text: str) -> tuple[str, int | None]:
    """The text with what is open closed, and where the string began that it ends in, if it does."""
    stack: list[str] = []
    opened: int | None = None
    escaped = False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif opened is not None:
            escaped = char == "\\"
            opened = None if char == '"' else opened
        elif char == '"':
            opened = at
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char in "}]" and stack:
            stack.pop()
    quote = "" if opened is None else '"'
    return (text[:-1] if escaped else text) + quote + "".join(reversed(stack)), opened
