"""Every scenario on our server gives what the recording of the reference says, or is explained."""

import pytest

from tests.conformance.compare import differences
from tests.conformance.compatibility import ENDPOINTS, asked
from tests.conformance.differential import DOCS, converse, plays, recorded
from tests.conformance.explained import EXPLAINED, explanation

CASES = sorted({name.split("/", maxsplit=1)[0] for name in plays()})


@pytest.mark.parametrize("case", CASES)
async def test_answers_are_the_references(server_url: str, case: str) -> None:
    chosen = plays(f"{case}/")
    reference, ours = recorded(chosen), await converse(server_url, chosen)
    found = [each for name in chosen for each in differences(name, reference[name], ours[name])]
    assert [each for each in found if explanation(each) is None] == []


def test_the_docs_have_a_row_for_every_endpoint() -> None:
    text, requests = DOCS.read_text(), asked(recorded(plays()))
    rows = {f"{r.method} {r.path}": requests[f"{r.method} {r.path}"] for r in ENDPOINTS}
    assert [row for row, n in rows.items() if f"| `{row}` | {n} |" not in text] == []


def test_the_docs_list_the_differences() -> None:
    text = DOCS.read_text()
    assert [
        entry.what for entry in EXPLAINED if f"| {entry.what} | {entry.why} |" not in text
    ] == []
