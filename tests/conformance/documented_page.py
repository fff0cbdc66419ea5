"""The section of `docs/langgraph.md` that says which graphs were compared, and what differs.

One row a graph. The comparison writes it, `test_documented.py` keeps it true.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.compare import Difference
from tests.conformance.explained_documented import OWN, explanation
from tests.conformance.scenarios_documented import CASES

Conversations = Mapping[str, list[dict[str, Any]]]

GRAPHS = Path(__file__).parent / "documented"
BEGIN, END = "<!-- compared: begin -->", "<!-- compared: end -->"


def rows(reference: Conversations) -> dict[str, str]:
    """What is certain of each graph's row: its name, what it shows, the number of requests."""
    asked = {
        case.graph: sum(
            len(talk) for name, talk in reference.items() if name.split("/")[1] == case.graph
        )
        for case in CASES
    }
    return {graph: f"| `{graph}` | {shows(graph)} | {n} |" for graph, n in asked.items()}


def shows(graph: str) -> str:
    """The first line of the file's docstring."""
    said = ast.get_docstring(ast.parse((GRAPHS / f"{graph}.py").read_text())) or ""
    return said.partition("\n")[0]


def reasons() -> list[str]:
    return [f"| {number} | {each.what} | {each.why} |" for number, each in enumerate(OWN, 1)]


def write(docs: Path, reference: Conversations, found: Iterable[Difference]) -> None:
    """Put the section in its place between the marks."""
    numbers: dict[str, set[int]] = {}
    for difference in found:
        if (why := explanation(difference)) in OWN:
            graph = difference.scenario.split("/")[1]
            numbers.setdefault(graph, set()).add(OWN.index(why) + 1)
    table = [
        f"{row} {', '.join(map(str, sorted(numbers.get(graph, ()))))} |"
        for graph, row in rows(reference).items()
    ]
    lines = [
        "| Graph | What it shows | Requests | Differs by |",
        "|---|---|---:|---|",
        *table,
        "",
        "| | What differs | Why |",
        "|---:|---|---|",
        *reasons(),
    ]
    before, _, rest = docs.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    docs.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))
