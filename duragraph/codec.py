"""JSON in and out. Request bodies pass one check on entry and are then carried as bytes."""

import re
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from duragraph.errors import Invalid

T = TypeVar("T")

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')
_ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
_WHOLE = re.compile(rb'"(?:[^"\\]|\\.)*"|(-?\d+)\.0+(?![\deE])')
_REPLACEMENT = rb"\ufffd"
_HIGH, _LOW, _PAST = 0xD800, 0xDC00, 0xE000
"""Where high surrogates begin, low ones begin, and both end (Unicode 23.6)."""

dumps = msgspec.json.encode


def loads(body: bytes, type: type[T], *, max_depth: int) -> T:
    """A request body as `type`; unknown keys are ignored, `Raw` fields stay bytes.

    Raises Invalid, naming the path of what is wrong.
    """
    body = clean(body, max_depth=max_depth)
    try:
        return _decode(body, type)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("Invalid JSON in request body", hint=str(error)) from None


def _decode(body: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.ValidationError as error:
        if "got `float`" not in str(error):
            raise
    # JSON has one kind of number: clients may send the integer 10 as 10.0.
    return msgspec.json.decode(_WHOLE.sub(lambda m: m[1] or m[0], body), type=type)


def check(value: Any, type: Any, *, where: str) -> None:
    """Raises Invalid unless `value`, called `where`, has the shape of `type`."""
    try:
        _decode(dumps(value), type)
    except msgspec.ValidationError as error:
        raise Invalid(str(error).replace("`$", f"`{where}")) from None


def clean(body: bytes, *, max_depth: int) -> bytes:
    """`body`, safe to store as `json`, cast to `jsonb` and put on one SSE line.

    Raw newlines go (they would forge frames); NUL and lone surrogates become U+FFFD, which
    PostgreSQL can store. Raises Invalid for bytes that aren't UTF-8 and for deep nesting.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Invalid("Invalid JSON in request body", hint=f"Not UTF-8: {error.reason}.") from None
    if body.count(b"{") + body.count(b"[") > max_depth and _depth(body) > max_depth:
        raise Invalid("Invalid JSON in request body", hint=f"Nested deeper than {max_depth}.")
    return storable(body)


def storable(value: bytes) -> bytes:
    """`value`, if it is JSON: on one line, without what `jsonb` refuses, nor space around it."""
    if b"\n" in value or b"\r" in value:
        value = value.translate(_ESCAPED_NEWLINES)
    # One byte is looked for a hundred times faster than two, and most values have no escape.
    if b"\\" in value and b"\\u" in value:
        value = _escapes(value)
    return value.strip()


def _depth(body: bytes) -> int:
    deepest = depth = 0
    for token in _TOKENS.finditer(body):
        match body[token.start()]:
            case 0x5B | 0x7B:
                depth += 1
                deepest = max(deepest, depth)
            case 0x5D | 0x7D:
                depth -= 1
    return deepest


def _escapes(body: bytes) -> bytes:
    """Replace escaped NULs and every surrogate without its other half."""
    out, last = [], 0
    escapes = iter(_ESCAPE.finditer(body))
    for match in escapes:
        code = _code(match)
        if code == 0 or _LOW <= code < _PAST:
            out += [body[last : match.start()], _REPLACEMENT]
            last = match.end()
        elif _HIGH <= code < _LOW:
            low = _ESCAPE.match(body, match.end())
            if low is not None and _LOW <= _code(low) < _PAST:
                next(escapes)
            else:
                out += [body[last : match.start()], _REPLACEMENT]
                last = match.end()
    return b"".join([*out, body[last:]])


def _code(match: "re.Match[bytes]") -> int:
    return int(match[1][1:], 16) if match[1][:1] == b"u" and len(match[1]) > 1 else -1


def is_list(type: Any) -> bool:
    """Whether a query field takes several values."""
    return any(get_origin(t) is list for t in (type, *get_args(type)))


def many(values: list[str]) -> list[str]:
    """A list in the SDKs' three dialects: repeated, a JSON array, separated by commas.

    Who comes back to a `Location` may add its own dialect to ours.
    """
    return [part for value in values for part in _parts(value)]


def _parts(value: str) -> list[str]:
    if value.startswith("["):
        return loads(value.encode(), list[str], max_depth=1)
    return [part.strip() for part in value.split(",") if part.strip()]


def from_text(given: dict[str, Any], type: type[T]) -> T:
    """Query parameters as `type`: text to each field's own. Raises Invalid."""
    try:
        return msgspec.convert(given, type, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(str(error).replace("`$.", "`")) from None
