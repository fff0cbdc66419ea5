"""LangGraph's own graphs give the answers that the recording of the reference has of them."""

import pytest

from tests.conformance.compare import differences
from tests.conformance.differential import converse, documented, recorded
from tests.conformance.explained_documented import explanation
from tests.conformance.scenarios_documented import CASES

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[dev]'")


@pytest.mark.parametrize("graph", [case.graph for case in CASES])
async def test_answers_are_the_references(documented_url: str, graph: str) -> None:
    chosen = documented(f"documented/{graph}/")
    reference, ours = recorded(chosen), await converse(documented_url, chosen)
    found = [each for name in chosen for each in differences(name, reference[name], ours[name])]
    assert [each for each in found if explanation(each) is None] == []
