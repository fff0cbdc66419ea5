"""What our extras install, as a resolver finds it: `python -m tests.extras` writes docs/extras.md.

Needs a package index. Extras that only this repository's work needs are left out.
"""

import ast
import configparser
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/extras.md"
UNREACHABLE = re.compile("error sending request|failed to fetch|dns error|offline", re.IGNORECASE)

ELSEWHERE = {
    "documents": "vectors/documents",
    "langgraph": "langgraph/hosted",
    "prompts": "prompts",
    "speed": "process/worker",
}
"""Extras whose module isn't in `integrations/` under the extra's name."""
COMMANDS = ("demo", "embedded")
"""Extras that no module of the worker needs."""
TOLD = {
    "demo": "`duragraph demo`, and the examples with `--plane`",
    "embedded": "`duragraph dev`",
    "langgraph": "Graphs written with LangGraph",
    "speed": "A faster event loop for workers",
}
"""What extras are for whose module says something else."""

HEAD = """# Extras

`pip install 'duragraph[openai,qdrant]'` adds what graphs use. Without an extra, whatever needs it
says so with its pip line; no vendor's package is imported before it is used.

A test resolves all extras together, and so each set of them; another installs each by itself and
imports what needs it. The versions below were found on {day} for Python {python}.

| extra | for | brings |
|---|---|---|
"""


class NoIndexError(Exception):
    """The package index can't be reached."""


def extras():
    """Each extra, and the names of what it asks for: not of what that brings."""
    # `%(openai)s` stands for the extra's lines.
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    section = parser["options.extras_require"]
    return {
        name: [re.split(r"[ <>=~!;\[]", line)[0] for line in section[name].splitlines() if line]
        for name in section
        if name not in ("dev", "clients", "stores")
    }


def module(extra):
    """The file of the worker that needs it; None if none does."""
    if extra in COMMANDS:
        return None
    return ROOT / f"duragraph_worker/{ELSEWHERE.get(extra, f'integrations/{extra}')}.py"


def purpose(extra):
    """In a line: what its module says of itself, up to the details."""
    if extra in TOLD:
        return TOLD[extra]
    said = ast.get_docstring(ast.parse(module(extra).read_text())).splitlines()[0]
    return re.split(r",? through |, (?:and|whose) |[.:;](?: |$)", said)[0]


def resolved(*names, python=None):
    """Package -> version, for `duragraph[names]`. Raises AssertionError, NoIndexError."""
    options = [option for name in names for option in ("--extra", name)]
    version = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [sys.executable, "-m", "uv", "pip", "compile", "setup.cfg", "--python-version"]
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    done = subprocess.run(
        [*command, version, *quiet, *options], check=False, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode and UNREACHABLE.search(done.stderr):
        raise NoIndexError(done.stderr)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ")[0].split("==") for line in done.stdout.splitlines() if "==" in line)


def page():
    python, found = "3.11", extras()
    versions = resolved(*found, python=python)
    rows = [
        f"| `{name}` | {purpose(name)} | "
        + ", ".join(f"{package} {versions[package.lower()]}" for package in brings)
        + " |\n"
        for name, brings in sorted(found.items())
    ]
    day = datetime.now(UTC).date().isoformat()
    return HEAD.format(day=day, python=python) + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
