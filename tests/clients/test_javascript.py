"""Every public method of the JavaScript SDK, both its lines, answers as from the reference.

And a run's events reach each line once, in order, over any number of cuts.
"""

import json

import pytest

from tests.clients.explained import explanation
from tests.clients.javascript import LINES, compared, played
from tests.clients.scripts import run
from tests.conformance.differential import show

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("packages")]

EVENTS = 1000
CUTS = 200


@pytest.mark.parametrize("line", LINES)
def test_every_method_answers_as_the_reference_does(server_url: str, line: str) -> None:
    conversations, methods = played(line, server_url)
    called = {row["call"] for rows in conversations.values() for row in rows}
    assert methods - called == set()
    unexplained = [each for each in compared(line, conversations) if explanation(each) is None]
    show(unexplained)
    assert unexplained == []


@pytest.mark.parametrize("line", LINES)
def test_each_event_arrives_once_however_often_the_stream_is_cut(
    server_url: str, line: str
) -> None:
    arrived = json.loads(run("follow.mjs", line, server_url, str(EVENTS)))
    assert arrived["numbers"] == list(range(EVENTS))
    places = [int(mark.partition("-")[2]) for mark in arrived["ids"]]
    assert places == sorted(set(places))
    assert arrived["cuts"] >= CUTS
    if line == "langgraph-sdk-1":
        assert arrived["calls"] == 1


def test_remote_graph_works(server_url: str) -> None:
    run("remote.mjs", server_url)
