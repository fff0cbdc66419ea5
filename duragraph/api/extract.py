"""`extract` of a search: aliases and paths, checked and made into SQL/JSON paths.

A path is a column and any number of `.key` and `[index]`; one that is anything else finds nothing,
as one that leads nowhere does.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias, cast, get_args

from msgspec import Meta

from duragraph.errors import Invalid
from duragraph.pg.threads import ExtractRoot, Path

Extract: TypeAlias = Annotated[dict[str, str], Meta(max_length=10)]

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROOT = re.compile(r"[^.\[]*")
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>-?\d{1,9})\]|\.(?=\.|$)")
ROOTS = tuple(sorted(get_args(ExtractRoot)))
NOTHING = "strict $.size().nothing"


def paths(extract: Mapping[str, str], *, reserved: frozenset[str]) -> dict[str, Path]:
    """By alias, for `pg.threads.search`. Raises Invalid."""
    for alias in extract:
        if not _ALIAS.fullmatch(alias):
            raise Invalid(
                f"Extract key '{alias}' must be a valid identifier (letters, digits, underscores)"
            )
    if taken := sorted(reserved & extract.keys()):
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
            return column, NOTHING
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
