"""`duragraph-worker validate` and `draw`, as their users start them."""

import subprocess
import sys

import pytest

GRAPH = """
from duragraph_worker import Graph, llm_node, router_node, node, END
from duragraph_worker.extras import needs

@Graph(id="inner")
class Inner:
    @llm_node(model=["openai/gpt-4o-mini", {model!r}])
    def ask(self, state): ...

@Graph(id="outer", version="3")
class Outer:
    inner = Inner.as_subgraph()

    @node
    def before(self, state): ...

    before >> inner

def missing():
    with needs("qdrant"):
        import no_such_package
"""
BROKEN = """
from duragraph_worker import Graph, node, router_node

@Graph(id="broken")
class Broken:
    @node
    def a(self, state): ...
    @node
    def b(self, state, colour): ...
"""


@pytest.fixture
def command(tmp_path):
    def run(verb, text, name="Outer"):
        (tmp_path / "graphs.py").write_text(text)
        command = [sys.executable, "-P", "-m", "duragraph_worker", verb, f"graphs.py:{name}"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    return run


def test_a_graph_that_is_in_order_is_told_and_drawn(command):
    fine = GRAPH.format(model="ollama/llama3.2")
    validated = command("validate", fine)
    assert (validated.returncode, validated.stdout) == (
        0,
        "outer 3: 2 nodes, all in order\n",
    ), validated.stderr
    assert 'subgraph n1["inner"]' in command("draw", fine).stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            GRAPH.format(model="acme/best"),
            "inner:ask: model 'acme/best' needs the provider 'acme', which is not installed",
        ),
        (GRAPH.format(model="best"), "write `provider/best`"),
        (GRAPH.format(model="openai/x") + "\nmissing()\n", "pip install 'duragraph[qdrant]'"),
    ],
)
def test_what_would_fail_later_is_told_without_a_traceback(command, text, told):
    validated = command("validate", text)
    assert validated.returncode == 1
    assert validated.stderr.startswith("duragraph-worker: ")
    assert told in validated.stderr
    assert "Traceback" not in validated.stderr


def test_all_that_is_wrong_with_a_class_is_told_at_once(command):
    validated = command("validate", BROKEN, "Broken")
    assert validated.returncode == 1
    assert "colour" in validated.stderr
    assert "@entrypoint" in validated.stderr
