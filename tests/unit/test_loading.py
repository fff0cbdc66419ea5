import sys
import textwrap

import pytest

from duragraph.errors import Invalid
from duragraph_worker.process.loading import load

GRAPH = """
from duragraph_worker import Graph, node

@Graph(id="{id}")
class Named:
    @node
    def only(self, state): ...

named = Named()
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A working directory whose modules are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.mark.parametrize("name", ["Named", "named"])
def test_a_class_or_an_instance_by_module_or_file(directory, name):
    write(directory / "mine.py", GRAPH.format(id="a"))
    write(directory / "sub" / "other.py", GRAPH.format(id="b"))
    assert load(f"mine:{name}").graph_id == "a"
    assert load(f"sub/other.py:{name}").graph_id == "b"
    assert load(f"sub.other:{name}").graph_id == "b"


def test_a_file_may_import_its_siblings(directory):
    write(directory / "sub" / "deep.py", "from shallow import Named")
    write(directory / "sub" / "shallow.py", GRAPH.format(id="c"))
    assert load("sub/deep.py:Named").graph_id == "c"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nameless", "names no graph"),
        (":Named", "names no graph"),
        ("mine:", "names no graph"),
        ("absent:Named", "there is no module 'absent'"),
        ("absent/file.py:Named", "there is no file"),
        ("mine:Other", "has no 'Other'"),
        ("mine:node", "is no graph"),
        ("sub/json.py:Named", "'json' is already"),
    ],
)
def test_what_names_no_graph_is_told_with_a_hint(directory, target, told):
    write(directory / "mine.py", GRAPH.format(id="a"))
    write(directory / "sub" / "json.py", GRAPH.format(id="a"))
    with pytest.raises(Invalid, match=told) as raised:
        load(target)
    assert raised.value.hint


def test_what_a_module_raises_or_misses_itself_passes_unchanged(directory):
    write(directory / "broken.py", "import absent_library")
    with pytest.raises(ModuleNotFoundError, match="absent_library"):
        load("broken:Named")
