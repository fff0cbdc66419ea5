"""`langgraph.json`: what is read of it, and what is said of the rest."""

import json
import os
import sys
from importlib.metadata import version

import pytest

pytest.importorskip("langgraph", reason="needs langgraph: pip install -e '.[langgraph]'")

from duragraph import project
from duragraph.config import Config
from duragraph.errors import Invalid
from duragraph.protocol import HeaderPatterns
from duragraph_worker.langgraph.project import load, named, settle

GRAPH = """
from langgraph.graph import START, StateGraph

def node(state):
    return {}

graph = StateGraph(dict).add_node(node).add_edge(START, "node").compile()
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a project; what loading it does to this process is undone after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = set(sys.modules)

    def written(graphs=None, **content):
        content["graphs"] = graphs or {"agent": "./graph.py:graph"}
        (tmp_path / "langgraph.json").write_text(json.dumps(content))
        (tmp_path / "graph.py").write_text(GRAPH)
        return project.Project.read(tmp_path / "langgraph.json")

    yield written
    for name in set(sys.modules) - before:
        if name.startswith("__"):
            del sys.modules[name]


def test_what_is_not_honoured_is_said_key_by_key_in_one_line(write):
    read = write(
        **{
            "$schema": "x",
            "ui": {"card": "./x.tsx"},
            "image_distro": "wolfi",
            "node_version": None,
        },
        http={"app": "./app.py:app", "disable_mcp": True, "disable_a2a": False},
        graphs={"agent": {"path": "./graph.py:graph", "speed": 3}},
        checkpointer={"ttl": {"default_ttl": 60}, "serde": {"pickle_fallback": True}},
    )
    said = read.notice()
    assert "\n" not in said
    told, images, plane = said.split("; ")
    assert told == (
        "not supported: checkpointer.serde, graphs.agent.speed, http.app, http.disable_mcp, ui"
    )
    assert images == "only for images: image_distro"
    assert plane.endswith("DURAGRAPH_THREAD_TTL_MINUTES, DURAGRAPH_THREAD_TTL_STRATEGY")


def test_a_plain_project_has_nothing_to_say(write):
    assert write(dependencies=["."], env={}, store={"ttl": {"default_ttl": 1}}).notice() is None


def test_what_it_says_of_the_plane_gives_way_to_variables_and_flags(write):
    read = write(
        checkpointer={"ttl": {"default_ttl": 90, "strategy": "keep_latest"}},
        http={"cors": {"allow_origins": ["https://a", "https://b"]}},
    )
    config = Config.from_env({"DURAGRAPH_CORS_ORIGINS": "https://c"}, project=read.settings)
    assert (config.thread_ttl_minutes, config.thread_ttl_strategy) == (90, "keep_latest")
    assert config.cors_origins == ("https://c",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is no langgraph.json"),
        ("[]", "is no langgraph.json"),
        ("{}", "graphs"),
        ('{"graphs": {}}', "names no graphs"),
        ('{"graphs": {"a": 5}}', "graphs"),
        ('{"graphs": {"a": {}}}', "path"),
        ('{"graphs": {"a": "x:y"}, "store": {"ttl": {"default_ttl": 0}}}', "store.ttl.default_ttl"),
    ],
)
def test_what_can_not_be_read_is_told(tmp_path, text, told):
    (tmp_path / "langgraph.json").write_text(text)
    with pytest.raises(Invalid, match=told):
        project.Project.read(tmp_path / "langgraph.json")


@pytest.mark.parametrize(
    "data", [b'{"graphs": "\xff"}', b"[" * 10_000], ids=["not UTF-8", "nested deep"]
)
def test_what_is_no_text_to_read_is_told(tmp_path, data):
    (tmp_path / "langgraph.json").write_bytes(data)
    with pytest.raises(Invalid, match=r"is no langgraph\.json"):
        project.Project.read(tmp_path / "langgraph.json")


def test_an_environment_that_can_not_be_read_is_told(write, tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match=r"langgraph\.json, env: .*can't decode"):
        settle(write(env=".env"))


def test_embeddings_that_can_not_be_had_are_told(write):
    with pytest.raises(Invalid, match="no embeddings of 'absent:model'") as raised:
        load(write(store={"index": {"embed": "absent:model"}}))
    assert "absent" in str(raised.value.hint)


def test_the_one_of_the_directory_serves_where_no_graph_is_named(write, tmp_path, monkeypatch):
    read = write()
    monkeypatch.chdir(tmp_path)
    assert project.find(None, []) == project.find(read.file, ["mine:Graph"]) == read
    assert project.find(None, ["mine:Graph"]) is None


def test_its_environment_is_there_and_wins(write, tmp_path):
    os.environ["KEY"] = "old"
    settle(write(env={"KEY": "new", "NUMBER": 5}))
    assert (os.environ["KEY"], os.environ["NUMBER"]) == ("new", "5")
    (tmp_path / "my.env").write_text(
        '# a comment\nKEY="the newest" # of all\nexport MORE=${KEY}!\n'
    )
    settle(write(env="my.env"))
    assert (os.environ["KEY"], os.environ["MORE"]) == ("the newest", "the newest!")


def test_what_it_counts_on_and_lacks_is_told_key_by_key(write, tmp_path, caplog):
    (tmp_path / "here").mkdir()
    installed = ["msgspec", "attrs>=20", "here", "./here", ".", "gone; python_version < '3'"]
    settle(write(env={}, dependencies=[*installed, "git+https://host/it.git"]))
    assert caplog.messages == []
    caplog.clear()
    absent = ["./gone", "absent-library>=1", "attrs<1", "two words"]
    settle(write(env=".env", dependencies=absent))
    assert [line.removeprefix("langgraph.json, ") for line in caplog.messages] == [
        f"env: there is no file {tmp_path / '.env'}; write it, or take the key out",
        "dependencies: './gone' is no folder: correct the path, or take it out",
        "dependencies: 'absent-library>=1' is not installed: pip install 'absent-library>=1'",
        f"dependencies: 'attrs<1' is installed as {version('attrs')}: pip install 'attrs<1'",
        "dependencies: 'two words' is no folder, and nothing that pip installs",
    ]


def test_graphs_have_the_ids_and_the_words_of_the_file(write):
    read = write(
        graphs={
            "one": "./graph.py:graph",
            "two": {
                "path": "./graph.py:graph",
                "description": "does it",
                "version": "7",
                "config": {"recursion_limit": 5},
            },
        },
        http={"configurable_headers": {"include": ["X-User-*"], "excludes": ["*-secret"]}},
    )
    one, two = load(read)
    assert (one.graph_id, one.version, one.description) == ("one", "1", None)
    assert (two.graph_id, two.version, two.description) == ("two", "7", "does it")
    assert two.config == {"recursion_limit": 5}
    assert one.headers == HeaderPatterns(("x-user-*",), ("*-secret",))
    assert one.source.builder is two.source.builder


def test_a_javascript_graph_is_refused_by_its_name(write):
    with pytest.raises(Invalid, match=r"graph 'chat': \./src/chat\.ts:graph is JavaScript"):
        load(write(graphs={"chat": "./src/chat.ts:graph"}))


def test_a_module_that_is_not_installed_says_what_to_install(write, tmp_path):
    read = write(dependencies=[".", "./lib", "httpx>=1"])
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "requirements.txt").touch()
    (tmp_path / "graph.py").write_text("import absent_library")
    with pytest.raises(Invalid, match="needs the module 'absent_library'") as raised:
        load(read)
    assert raised.value.hint == "pip install -e . -r lib/requirements.txt httpx>=1"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("./graph.py", "names nothing"),
        (".graph:graph", "names nothing"),
        ("./langgraph.json:graph", "is no Python file"),
        ("./gone.py:graph", "there is no file"),
        ("./graph.py:other", "has no 'other'"),
        ("./graph.py:START", "is no graph"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(write, path, told):
    with pytest.raises(Invalid, match=f"langgraph.json, graph 'agent': .*{told}"):
        load(write(graphs={"agent": path}))


def test_a_file_is_loaded_once_and_one_that_fails_again(write, tmp_path):
    read = write()
    assert named(read, "./graph.py:graph") is named(read, "graph.py:graph")
    (tmp_path / "bad.py").write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            named(read, "./bad.py:graph")


async def test_the_store_is_searched_with_the_projects_own_embeddings(write, tmp_path):
    read = write(
        store={
            "index": {"embed": "./embed.py:embed", "dims": 1, "fields": ["text"]},
            "ttl": {"default_ttl": 5, "refresh_on_read": False, "sweep_interval_minutes": 1},
        }
    )
    assert read.notice() is None
    (tmp_path / "embed.py").write_text("def embed(texts): return [[len(t)] for t in texts]")
    (agent,) = load(read)
    assert agent.store_ttl == {
        "default_ttl": 5,
        "refresh_on_read": False,
        "sweep_interval_minutes": 1,
    }
    assert agent.store_index.fields == ["text"]
    assert await agent.store_index.query("four") == [4]
