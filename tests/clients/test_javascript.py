"""Every public method of the JavaScript SDK, both its lines, answers as from the reference."""

import pytest

from tests.clients.explained import explanation
from tests.clients.javascript import LINES, compared, played
from tests.clients.scripts import run
from tests.conformance.differential import show

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("packages")]


@pytest.mark.parametrize("line", LINES)
def test_every_method_answers_as_the_reference_does(either_url: str, line: str) -> None:
    conversations, methods = played(line, either_url)
    called = {row["call"] for rows in conversations.values() for row in rows}
    assert methods - called == set()
    unexplained = [each for each in compared(line, conversations) if explanation(each) is None]
    show(unexplained)
    assert unexplained == []


def test_remote_graph_works(either_url: str) -> None:
    run("remote.mjs", either_url)
