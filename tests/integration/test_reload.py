"""`duragraph dev --reload` with real edits of a real file."""

import json
import urllib.request

import pytest
import stamina

from tests.integration.test_command import dev

GRAPH = """
import asyncio
from pathlib import Path

import attrs

from duragraph_worker import Graph, entrypoint, node

HERE = Path(__file__).parent


@attrs.frozen
class Said:
    wait: bool = False
    word: str = ""


@Graph(id="edited", state=Said)
class Edited:
    @entrypoint
    @node
    async def speak(self, state):
        (HERE / "begun").write_text("WORD")
        while state.wait and not (HERE / "gate").exists():
            await asyncio.sleep(0.02)
        return {"word": "WORD"}
"""


@pytest.fixture
def code(tmp_path):
    """A file with a graph; call it with the word that the graph is to say."""
    folder = tmp_path / "code"
    folder.mkdir()

    def write(word, text=GRAPH):
        (folder / "graphs.py").write_text(text.replace("WORD", word))
        return folder

    write("one")
    return write


def served(tmp_path, **variables):
    target = f"{tmp_path / 'code' / 'graphs.py'}:Edited"
    return dev(tmp_path, target, "--reload", **variables)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@stamina.retry(
    on=(LookupError, OSError), attempts=None, timeout=30, wait_initial=0.05, wait_max=0.2
)
def until_it_says(url, word):
    said = post(f"{url}/runs/wait", {"assistant_id": "edited", "input": {}})
    if said["word"] != word:
        raise LookupError(said)


@stamina.retry(on=LookupError, attempts=None, timeout=30, wait_initial=0.02, wait_max=0.1)
def until_found(file, text):
    if not file.exists() or text not in file.read_text():
        raise LookupError(text)


def test_an_edit_is_served_at_once(tmp_path, code):
    with served(tmp_path) as (_, url):
        until_it_says(url, "one")
        for word in ("two", "three"):
            code(word)
            until_it_says(url, word)


def test_a_run_under_way_is_neither_lost_nor_charged_an_attempt(tmp_path, code):
    folder = tmp_path / "code"
    with served(tmp_path, DURAGRAPH_MAX_ATTEMPTS="1") as (_, url):
        until_it_says(url, "one")
        thread = post(f"{url}/threads", {})["thread_id"]
        run = {"assistant_id": "edited", "input": {"wait": True}}
        path = post(f"{url}/threads/{thread}/runs", run)["run_id"]
        until_found(folder / "begun", "one")
        code("two")
        until_found(folder / "begun", "two")
        (folder / "gate").touch()
        with urllib.request.urlopen(f"{url}/threads/{thread}/runs/{path}/join", timeout=60) as done:
            assert json.loads(done.read())["word"] == "two"


def test_code_that_can_not_be_read_is_told_and_waited_for(tmp_path, code):
    with served(tmp_path) as (_, url):
        until_it_says(url, "one")
        code("two", text="def broken(:\n")
        until_found(tmp_path / "log", "SyntaxError")
        until_found(tmp_path / "log", "once a file has changed it is tried again")
        assert urllib.request.urlopen(f"{url}/ok", timeout=10).status == 200
        code("three")
        until_it_says(url, "three")
