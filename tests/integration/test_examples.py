"""Every example, here and through a plane, comes to the same."""

import asyncio
import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from langgraph_sdk import get_client

from duragraph_worker.integrations import age as integration
from duragraph_worker.integrations.age import ApacheAGE
from duragraph_worker.testing import scripted
from tests.integration.talking import serving
from tests.stores.knowledge.conftest import PGLITE, age

__all__ = ["age"]

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAYED = ("chat_agent", "team", "support", "batch", "report", "rag")
WITH_AGE = "graphrag"
IN_TIME = 30

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def example(monkeypatch, database_url):
    """Imports one, which pretends to be without a key; PostgreSQL is the test's."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.syspath_prepend(EXAMPLES)
    for variable in ("PGHOST", "PGUSER", "PGDATABASE"):
        monkeypatch.setenv(variable, "")
    stage = importlib.import_module("stage")
    stage.at_home(database_url)
    with scripted("openai", ()):
        yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent == EXAMPLES:
            del sys.modules[name]


def graphs_of(module):
    return [each for each in vars(module).values() if hasattr(each, "blueprint")]


def comparable(found):
    """Without the ids of messages, which are a run's own."""
    if isinstance(found, dict):
        dropped = {"id"} if "content" in found else ()
        return {key: comparable(value) for key, value in found.items() if key not in dropped}
    return [comparable(each) for each in found] if isinstance(found, list) else found


def test_all_that_can_be_played_are(example):
    found = {file.stem for file in EXAMPLES.glob("*.py") if "async def play(" in file.read_text()}
    assert found == {*PLAYED, WITH_AGE}


async def played_twice(module, stage, plane):
    here = await module.play(stage.Here())
    async with serving(plane, *graphs_of(module)), get_client(url=plane.url) as client:
        there = await module.play(stage.Through(client))
    assert comparable(there.values) == comparable(here.values)
    assert there.questions == here.questions == []
    return there.values


@pytest.mark.parametrize("name", PLAYED)
async def test_an_example_does_the_same_here_and_through_a_plane(example, plane, name):
    await played_twice(example(name), example("stage"), plane)


@pytest.mark.stores
@pytest.mark.timeout(300)
async def test_the_example_of_a_graph_of_facts_does_so_too(example, plane, age, monkeypatch):
    monkeypatch.setenv("AGE_URL", age)
    monkeypatch.setattr(integration, "ApacheAGE", partial(ApacheAGE, **PGLITE))
    values = await played_twice(example(WITH_AGE), example("stage"), plane)
    assert values["messages"][-1]["content"] == "Matcha and Sencha."


async def test_the_scheduled_report_is_the_one_that_is_made_by_hand(example, plane, owner):
    module, stage = example("report"), example("stage")
    here = await module.play(stage.Here())
    async with serving(plane, module.Report), get_client(url=plane.url) as client:
        await stage.Through(client).schedule(
            module.Report, "0 9 * * *", input={"shop": "Berlin"}, on_run_completed="keep"
        )
        await owner.execute("update cron set next_run_date = now()")
        async with asyncio.timeout(IN_TIME):
            while not (threads := await client.threads.search(status="idle", values=here.values)):
                pass
    assert len(threads) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", PLAYED)
def test_each_is_one_command(name):
    command = [sys.executable, EXAMPLES / f"{name}.py"]
    environ = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    here = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    there = subprocess.run(
        [*command, "--plane"], env=environ, check=True, capture_output=True, text=True
    )
    assert here.stdout.splitlines()[-1] == there.stdout.splitlines()[-1]
