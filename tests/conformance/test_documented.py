"""LangGraph's own graphs give the answers that the recording of the reference has of them."""

import asyncio

import pytest

from tests.conformance import documented_page
from tests.conformance.compare import differences
from tests.conformance.differential import DOCS, Conversation, converse, documented, recorded
from tests.conformance.explained_documented import explanation
from tests.conformance.scenarios_documented import CASES

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[dev]'")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def answers(documented_url: str) -> dict[str, Conversation]:
    """All scenarios together: one graph after another would take four times as long.

    Those that look for a while at a stream without an end come when nothing else is at work.
    """
    timed = documented("/events")
    rest = {name: play for name, play in documented().items() if name not in timed}
    together = asyncio.run(converse(documented_url, rest))
    return together | asyncio.run(converse(documented_url, timed))


@pytest.mark.parametrize("graph", [case.graph for case in CASES])
def test_answers_are_the_references(answers: dict[str, Conversation], graph: str) -> None:
    found = [
        each
        for name, reference in recorded(documented(f"documented/{graph}/")).items()
        for each in differences(name, reference, answers[name])
    ]
    assert [each for each in found if explanation(each) is None] == []


def test_the_docs_tell_of_every_graph_and_difference() -> None:
    text = DOCS.with_name("langgraph.md").read_text()
    told = [*documented_page.rows(recorded(documented())).values(), *documented_page.reasons()]
    assert [line for line in told if line not in text] == []
