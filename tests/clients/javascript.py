"""What the JavaScript SDK's two lines answered, as `calls.mjs` printed it, made comparable.

The reference's answers are kept in `recorded/`. To renew them, with the fixture graphs served
by `langgraph dev` as `tests/conformance/differential.py` says:

    python -m tests.clients.javascript --reference http://127.0.0.1:8901
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from cyclopts import App

from tests.clients.scripts import HERE, run
from tests.conformance.compare import Difference, differences
from tests.conformance.differential import Conversation, lines
from tests.conformance.normal import Names

RECORDED = HERE / "recorded"
LINES = ("langgraph-sdk-1", "langgraph-sdk-2")
"""The SDK's releases 1.15 and 2.0, by the names that `package.json` gives them."""
NEXT_RUN = re.compile(r'("next_run_date": )"[^"]+"')

app = App()


def played(line: str, url: str) -> tuple[dict[str, Conversation], set[str]]:
    """Each conversation, normalised, and the names of all public methods."""
    conversations: dict[str, Conversation] = {}
    names: defaultdict[str, Names] = defaultdict(Names)
    methods: set[str] = set()
    for row in map(json.loads, run("calls.mjs", line, url).splitlines()):
        if "methods" in row:
            methods = set(row["methods"])
            continue
        scenario = row.pop("scenario")
        conversations.setdefault(scenario, []).append(normal(row, names[scenario]))
    return conversations, methods


def normal(row: dict[str, Any], names: Names) -> dict[str, Any]:
    """One answer in the shape that `compare.differences` reads."""
    answer = {"call": row["call"], "sent": names.value(row["sent"]), "status": row["status"]}
    if "text" in row:
        try:
            row["json"] = json.loads(row["text"])
        except ValueError:
            return answer | {"text": names.text(row["text"])}
    if "json" in row:
        named = json.dumps(names.value(row["json"]))
        return answer | {"json": json.loads(NEXT_RUN.sub(r'\1"<time>"', named))}
    return answer | {"frames": [frame(each, names) for each in row["frames"]]}


def frame(part: dict[str, Any], names: Names) -> dict[str, Any]:
    """A part of a stream; these ones' data has ids for keys."""
    if part["event"] == "messages/metadata":
        part["data"] = {names.message(name): each for name, each in part["data"].items()}
    named: dict[str, Any] = names.value(part)
    return named


def compared(line: str, ours: dict[str, Conversation]) -> Iterator[Difference]:
    """Every leaf in which our answers differ from the recorded ones."""
    reference = json.loads((RECORDED / f"{line}.json").read_text())
    for scenario, conversation in ours.items():
        yield from differences(f"{line}/{scenario}", reference[scenario], conversation)


@app.default
def record(*, reference: str) -> None:
    """Keep the answers of the server at this URL, one line an answer."""
    for line in LINES:
        conversations, _ = played(line, reference)
        blocks = (f'"{name}":[\n{lines(rows)}\n]' for name, rows in conversations.items())
        (RECORDED / f"{line}.json").write_text("{\n" + ",\n".join(blocks) + "\n}\n")


if __name__ == "__main__":
    app()
