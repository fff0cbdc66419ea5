"""A folder with a langgraph.json, served by the bare command: graphs in each form, as they are."""

import asyncio
import json
import shutil
import urllib.request
from pathlib import Path

import pytest
from langgraph_sdk import get_client

from tests.integration.test_command import dev

FOLDER = Path(__file__).with_name("project")
YOU = {"text": "you"}
PAUSE = 0.1
"""Between two looks at a worker that starts: it needs the processor itself."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The folder's graphs, served; its URL and its log."""
    home = tmp_path_factory.mktemp("project")
    with dev(home, cwd=FOLDER) as (_, url):
        yield url, home / "log"


@pytest.fixture
async def client(project):
    async with get_client(url=project[0]) as client:
        async with asyncio.timeout(30):
            await _until(lambda: _served(client, 9))
        yield client


@pytest.mark.parametrize(
    ("graph", "given", "answer"),
    [
        ("builder", YOU, {"text": "YOU"}),
        ("module", YOU, {"text": "YOU"}),
        ("functional", 5, 11),
        ("plain", YOU, {"text": "plain you"}),
        ("configured", YOU, {"text": "Hey you"}),
        ("entered", YOU, {"text": "open ['entered'] you"}),
        ("generated", YOU, {"text": "open ['generated'] you"}),
    ],
)
async def test_every_form_runs_and_closes_what_it_opened(client, graph, given, answer):
    for _ in range(2):
        assert await client.runs.wait(None, graph, input=given) == answer


async def test_the_environment_and_the_context_reach_nodes(client):
    said = await client.runs.wait(
        None, "compiled", input={"messages": "?"}, context={"tone": "warm"}
    )
    assert said["messages"][-1]["content"] == "small one, warm"


async def test_a_factory_is_told_of_the_run_and_its_request(client):
    headers = {"x-user-name": "Ann", "x-user-secret": "s"}
    said = await client.runs.wait(None, "awaited", input=YOU, headers=headers)
    assert said == {"text": "threads.create_run for Ann, store you"}


async def test_an_assistant_has_a_config_of_its_own(client):
    mine = await client.assistants.create("configured", config={"configurable": {"greeting": "Yo"}})
    assert await client.runs.wait(None, mine["assistant_id"], input=YOU) == {"text": "Yo you"}


async def test_graphs_show_their_names_schemas_and_drawings(client):
    (compiled,) = await client.assistants.search(graph_id="compiled")
    assert (compiled["name"], compiled["description"]) == ("Answers", "Answers with its model.")
    schemas = await client.assistants.get_schemas(compiled["assistant_id"])
    assert schemas["context_schema"]["properties"] == {
        "tone": {"default": "plain", "title": "Tone", "type": "string"}
    }
    assert schemas["config_schema"] == schemas["context_schema"]
    assert schemas["state_schema"]["title"] == "AnswersState"
    (builder,) = await client.assistants.search(graph_id="builder")
    flat = await client.assistants.get_graph(builder["assistant_id"])
    deep = await client.assistants.get_graph(builder["assistant_id"], xray=True)
    assert [node["id"] for node in flat["nodes"]] == ["__start__", "shout", "__end__"]
    assert [node["id"] for node in deep["nodes"]] == ["__start__", "__end__", "shout:loud"]
    subgraphs = await client.assistants.get_subgraphs(builder["assistant_id"])
    assert subgraphs.keys() == {"shout"}
    assert subgraphs["shout"]["state_schema"]["properties"].keys() == {"text"}


async def test_threads_live_as_long_as_the_project_says(client):
    thread = await client.threads.create()
    kept = await client.threads.get(thread["thread_id"], include=["ttl"])
    assert kept["ttl"]["ttl_minutes"] == 43200


def test_other_origins_are_not_let_in(project):
    for origin, allowed in (("https://chat.example", True), ("https://other.example", False)):
        request = urllib.request.Request(f"{project[0]}/ok", headers={"origin": origin})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


def test_what_is_not_honoured_is_said_once(project):
    (line,) = [each for each in project[1].read_text().splitlines() if "not supported" in each]
    assert "not supported: http.app, ui; only for images: image_distro" in line


async def test_a_projects_files_hide_none_of_pythons(tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(FOLDER, folder)
    for name in ("calendar", "types", "queue"):
        (folder / f"{name}.py").write_text("raise RuntimeError('taken for the standard library')")
    with dev(tmp_path, cwd=folder) as (_, url):
        async with get_client(url=url) as client, asyncio.timeout(30):
            await _answers(client, "compiled", "small one")


async def test_reload_follows_the_file_and_its_environment(tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(FOLDER, folder)
    file = folder / "langgraph.json"
    content = json.loads(file.read_text())
    graphs = content.pop("graphs")

    def write(**named):
        file.write_text(json.dumps(content | {"graphs": named}))

    write(first=graphs["compiled"])
    with dev(tmp_path, "--reload", "--config", str(file)) as (_, url):
        async with get_client(url=url) as client, asyncio.timeout(60):
            await _answers(client, "first", "small one")
            write(first=graphs["compiled"], second=graphs["compiled"])
            await _answers(client, "second", "small one")
            (folder / "forms.env").write_text("FORMS_MODEL=large")
            await _answers(client, "second", "large")


async def _answers(client, graph, model):
    """Until the graph is there and answers with this model."""

    async def answers():
        if graph not in {each["graph_id"] for each in await client.assistants.search()}:
            return False
        said = await client.runs.wait(None, graph, input={"messages": "?"})
        return said["messages"][-1]["content"].startswith(model)

    await _until(answers)


async def _served(client, graphs):
    return await client.assistants.count() >= graphs


async def _until(seen):
    while True:
        if await seen():
            return
        await asyncio.sleep(PAUSE)
