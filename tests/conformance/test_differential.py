"""Every scenario on our server gives what the recording of the reference says, or is explained."""

import pytest

from tests.conformance.compare import differences
from tests.conformance.differential import DOCS, converse, plays, recorded
from tests.conformance.explained import explanation, table

CASES = sorted({name.split("/", maxsplit=1)[0] for name in plays()})


@pytest.mark.parametrize("case", CASES)
async def test_answers_are_the_references(server_url: str, case: str) -> None:
    chosen = plays(f"{case}/")
    reference, ours = recorded(chosen), await converse(server_url, chosen)
    found = [each for name in chosen for each in differences(name, reference[name], ours[name])]
    assert [each for each in found if explanation(each) is None] == []


def test_the_docs_list_the_differences() -> None:
    assert DOCS.read_text() == table()
