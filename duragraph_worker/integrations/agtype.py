"""What Apache AGE's SQL needs beside a statement, and the text of what comes back.

A statement in SQL must say how many columns it has; its values are `agtype`, JSON with marks.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from duragraph_worker.knowledge.graph import Edge, KnowledgeError, Node, Path

_WORDS = re.compile(
    r"""
    //[^\n]*|/\*.*?\*/|\s+                             # nothing that counts
    |(?P<word>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|[.:$]?\s*\w+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_ENDS = frozenset({"ORDER", "SKIP", "LIMIT", "UNION", ";"})

_MARKS = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?P<map>\})::(?:vertex|edge)|(?P<list>\])::path|(?P<numeric>[-\w.+]+)::numeric'
)
# PostgreSQL's texts have no such character, so that it marks what no property can.
_MARK = "\\u0000"


def columns(cypher: str) -> list[str]:
    """The names that a statement returns its values under; none if it returns nothing.

    Raises KnowledgeError for `RETURN *`.
    """
    found: list[list[re.Match[str]]] | None = None
    ended = False
    for word, depth in _outer(cypher):
        said = word["word"]
        if depth == 0 and said.upper() == "RETURN":
            found, ended = [[]], False
        elif found is None or ended:
            continue
        elif depth == 0 and said.upper() in _ENDS:
            ended = True
        elif depth == 0 and said == ",":
            found.append([])
        else:
            found[-1].append(word)
    return [_name(cypher, words) for words in found or ()]


def _outer(cypher: str) -> Iterator[tuple[re.Match[str], int]]:
    """The words of a statement, and within how many brackets each is."""
    depth = 0
    for match in _WORDS.finditer(cypher):
        word = match["word"]
        if word is None:
            continue
        depth -= word in _CLOSING
        yield match, depth
        depth += word in _OPENING


def _name(cypher: str, words: list[re.Match[str]]) -> str:
    said = [match["word"] for match in words]
    if said and said[0].upper() == "DISTINCT":
        words, said = words[1:], said[1:]
    if said == ["*"] or not said:
        raise KnowledgeError("Apache AGE can't tell what RETURN * returns: name it")
    if len(said) > 2 and said[-2].upper() == "AS":  # noqa: PLR2004 - `x AS y`
        return said[-1].strip("`")
    return cypher[words[0].start() : words[-1].end()]


def parse(text: str) -> Any:
    """A value of `agtype`: nodes, edges and paths as ours, numerics as Decimal."""
    value = json.loads(_MARKS.sub(_marked, text), object_hook=_restored)
    return _paths(value) if "]::path" in text else value


def _marked(match: re.Match[str]) -> str:
    if match["map"]:
        return f',"{_MARK}":0}}'
    if match["list"]:
        return f',"{_MARK}"]'
    return f'{{"{_MARK}":"{match["numeric"]}"}}' if match["numeric"] else match[0]


def _restored(value: dict[str, Any]) -> Any:
    match value:
        case {"\0": str(number)}:
            return Decimal(number)
        case {"\0": _, "start_id": start, "end_id": end}:
            return Edge(str(value["id"]), value["label"], str(start), str(end), value["properties"])
        case {"\0": _, "label": label}:
            return Node(str(value["id"]), labels(label), value["properties"])
    return value


def labels(label: str) -> tuple[str, ...]:
    """A node's labels: AGE has one, or a name of its own for none."""
    return (label,) if label and not label.startswith("_ag_") else ()


def _paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _paths(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if value and value[-1] == "\0":
        return Path(tuple(value[:-1:2]), tuple(value[1:-1:2]))
    return [_paths(each) for each in value]
