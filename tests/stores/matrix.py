"""The tables of docs/vectors.md and docs/knowledge.md: what every store was seen to do.

`python -m tests.stores.matrix vectors` runs the tests and writes the table; nothing is written if
one fails. `test_pages.py` keeps it true.
"""

import importlib
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import attrs

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


@attrs.frozen
class Store:
    """A column: what stands above it, and what its tests spoke with."""

    title: str
    package: str | None
    """The client's, whose version is told."""
    against: str


@attrs.frozen
class Matrix:
    """A table. Each test of the module `tests` is a row, told by its docstring."""

    page: str
    tests: str
    stores: Mapping[str, Store]
    notes: Mapping[tuple[str, str], str]
    """By store and test: what a mark alone would not tell."""

    def cases(self) -> dict[str, str]:
        named = vars(importlib.import_module(self.tests)).items()
        return {name: test.__doc__ for name, test in named if name.startswith("test_")}

    def rows(self) -> list[str]:
        """The rows of the tests, and the notes below them."""
        numbers = {key: number for number, key in enumerate(self.notes, 1)}
        lines = []
        for name, shows in self.cases().items():
            marks = (numbers.get((store, name)) for store in self.stores)
            lines.append(row(shows, *("✓" if mark is None else f"✓ ({mark})" for mark in marks)))
        return lines + [f"{number}. {note}" for number, note in enumerate(self.notes.values(), 1)]

    def head(self) -> list[str]:
        stores = self.stores.values()
        return [
            row("", *(each.title for each in stores)),
            row(*("---" for _ in range(len(stores) + 1))),
            row("Against", *(each.against for each in stores)),
        ]

    def clients(self) -> str:
        """The row of the clients, by the versions installed here."""
        packages = (each.package for each in self.stores.values())
        return row("Client", *((each and f"{each} {version(each)}") or "" for each in packages))

    def written(self) -> list[str]:
        """The lines that stand in the page."""
        _, _, rest = (DOCS / self.page).read_text().partition(BEGIN)
        return [line for line in rest.partition(END)[0].splitlines() if line]

    def write(self) -> None:
        """Put the table in its place between the marks."""
        rows = self.rows()
        at = len(rows) - len(self.notes)
        lines = [*self.head(), self.clients(), *rows[:at], "", *rows[at:]]
        before, _, rest = (DOCS / self.page).read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        text = "\n".join([before + BEGIN, "", *lines, "", END + after])
        (DOCS / self.page).write_text(text)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


MATRICES = {
    "vectors": Matrix(
        "vectors.md",
        "tests.stores.test_contract",
        {
            "memory": Store("In memory", None, "this process"),
            "chroma": Store("Chroma, a folder", "chromadb", "Chroma"),
            "chroma-server": Store("Chroma, a server", "chromadb", "`chroma run`"),
            "pgvector": Store("pgvector", "asyncpg", "PostgreSQL 18 with pgvector 0.8"),
            "qdrant": Store("Qdrant, local", "qdrant-client", "the client's own engine"),
            "qdrant-server": Store(
                "Qdrant, a server", "qdrant-client", "a fake of the REST wire before that engine"
            ),
            "pinecone": Store("Pinecone", "pinecone", "a fake of the wire of API 2026-07"),
            "weaviate": Store("Weaviate", "weaviate-client", "Weaviate 1.35.2"),
        },
        {
            ("pinecone", "test_texts"): "Pinecone shows what was written a moment later.",
            ("pinecone", "test_any_text"): "Ids and namespaces are quoted to ASCII there.",
        },
    ),
    "knowledge": Matrix(
        "knowledge.md",
        "tests.stores.knowledge.test_contract",
        {
            "age": Store("Apache AGE 1.7", "asyncpg", "PostgreSQL 18 in WebAssembly"),
            "age-postgresql": Store("Apache AGE 1.5", "asyncpg", "PostgreSQL 17 of Debian 13"),
            "neo4j": Store("Neo4j", "neo4j", "Neo4j 5.26"),
            "neptune": Store(
                "Neptune", "boto3", "a fake of the wire of its data API 2023-08-01 before Neo4j"
            ),
        },
        {
            ("age", "test_at_once"): "Over one connection: there PostgreSQL has one session.",
            ("age-postgresql", "test_names_that_are_words"): (
                "Not properties: Apache AGE 1.5 can't read them, 1.7 can."
            ),
            ("neptune", "test_lists"): "Neptune keeps none: they are refused, with its error.",
        },
    ),
}


if __name__ == "__main__":
    matrix = MATRICES[sys.argv[1]]
    path = str(importlib.import_module(matrix.tests).__file__)
    tested = [sys.executable, "-m", "pytest", "-q", "-m", "stores or not stores", path]
    if failed := subprocess.run(tested, check=False).returncode:
        sys.exit(failed)
    matrix.write()
