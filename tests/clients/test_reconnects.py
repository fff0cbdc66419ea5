"""A run's events reach each line of the JavaScript SDK once, in order, over any number of cuts."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.javascript import LINES

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
EVENTS = 1000
SECONDS = 100


@pytest.mark.parametrize("line", LINES)
def test_each_event_arrives_once_however_often_the_stream_is_cut(
    node: str, server_url: str, line: str
) -> None:
    command = [node, "follow.mjs", line, server_url, str(EVENTS)]
    done = subprocess.run(
        command, cwd=HERE, timeout=SECONDS, check=True, stdout=subprocess.PIPE, text=True
    )
    arrived = json.loads(done.stdout)
    assert arrived["numbers"] == list(range(EVENTS))
    places = [int(mark.partition("-")[2]) for mark in arrived["ids"]]
    assert places == sorted(set(places))
    assert arrived["cuts"] >= 200
    if line == "langgraph-sdk-1":
        assert arrived["calls"] == 1
