"""All Python that the documentation shows compiles; that of some pages runs from top to end."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from duragraph_worker.llm.providers import names, replaced
from duragraph_worker.testing import ScriptedLLM

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = ("graphs", "effects", "prompts", "testing")
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def programs(page):
    """Each block of Python, at the lines that it has in the page."""
    text = page.read_text()
    for block in BLOCK.finditer(text):
        above = "\n" * (text.count("\n", 0, block.start()) + 1)
        code = above + textwrap.dedent(block[2])
        yield compile(code, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_in_a_page_compiles(page):
    list(programs(page))


@pytest.mark.parametrize("name", RUN)
async def test_a_page_runs_from_top_to_end(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": f"docs_{name}"}
    with replaced(names(), ScriptedLLM(lambda request: f"Answer {len(request.messages)}.")):
        for program in programs(ROOT / f"docs/{name}.md"):
            if inspect.isawaitable(ran := eval(program, namespace)):
                await ran


def test_every_page_is_in_the_readme():
    linked = set(re.findall(r"\(docs/(\w+)\.md\)", (ROOT / "README.md").read_text()))
    assert linked == {page.stem for page in PAGES} - {"README"}
