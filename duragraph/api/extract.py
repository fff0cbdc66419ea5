"""`extract` of a search: aliases and paths, checked and made into SQL/JSON paths.

A path is a column and any number of `.key` and `[index]`; one that is anything else finds nothing,
as one that leads nowhere does.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias, cast, get_args

import attrs
from msgspec import Meta

from duragraph.errors import Invalid
from duragraph.models import Thread
from duragraph.pg.threads import ExtractRoot, Path

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROOT = re.compile(r"[^.\[]*")
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>-?\d{1,9})\]|\.(?=\.|$)")
ROOTS = tuple(sorted(get_args(ExtractRoot)))
RESERVED = frozenset(field.name for field in attrs.fields(Thread)) - {"ttl", "extracted"}
"""Names of a thread's own, which no alias may have."""

_PATH_SCHEMA = {"pattern": rf"^({'|'.join(ROOTS)})([.\[]|$)"}
_ALIAS_SCHEMA = {"pattern": f"^{_ALIAS.pattern}$", "not": {"enum": sorted(RESERVED)}}

Extract: TypeAlias = Annotated[
    dict[str, Annotated[str, Meta(extra_json_schema=_PATH_SCHEMA)]],
    Meta(max_length=10, extra_json_schema={"propertyNames": _ALIAS_SCHEMA}),
]

_NOTHING = "strict $.size().nothing"
"""A path that finds nothing in an object."""


def paths(extract: Mapping[str, str]) -> dict[str, Path]:
    """By alias, for `pg.threads.search`. Raises Invalid."""
    for alias in extract:
        if not _ALIAS.fullmatch(alias):
            raise Invalid(
                f"Extract key '{alias}' must be a valid identifier (letters, digits, underscores)"
            )
    if taken := sorted(RESERVED & extract.keys()):
        raise Invalid(f"Extract keys cannot use reserved field names: {taken}")
    return {alias: _path(alias, path) for alias, path in extract.items()}


def _path(alias: str, path: str) -> Path:
    if not path:
        raise Invalid(f"Extract path for '{alias}' must be a non-empty string")
    root = _ROOT.match(path)
    assert root is not None
    if root[0] not in ROOTS:
        raise Invalid(f"Extract path '{path}' must start with one of: {', '.join(ROOTS)}")
    column = cast("ExtractRoot", root[0])
    steps, at = ["strict $"], root.end()
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return column, _NOTHING
        steps.append(_step(step))
        at = step.end()
    return column, "".join(steps)


def _step(step: "re.Match[str]") -> str:
    if step["key"] is not None:
        return f".{json.dumps(step['key'])}"
    if step["index"] is not None:
        index = int(step["index"])
        return f"[{index}]" if index >= 0 else f"[last - {-index - 1}]"
    return ""
