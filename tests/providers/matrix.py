"""The table in `docs/models.md`: what every provider was seen to do.

`python -m tests.providers.matrix` runs `test_matrix.py` and writes it; nothing is written if a
test fails. `test_page.py` keeps it true.
"""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.providers import test_matrix
from tests.providers.vendors import VENDORS

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"

NOTES = {
    ("anthropic", "test_seed"): "Anthropic has none; it is left out.",
    ("ollama", "test_usage"): "Ollama tells no cached tokens.",
    ("ollama", "test_broken_calls"): "Ollama reads JSON itself; here its type is wrong.",
    ("ollama", "test_no_key"): "A server of one's own needs none.",
    ("cohere", "test_types_and_tools"): "By a tool that the model must call.",
    ("ollama", "test_types_and_tools"): "By a sentence in the prompt: a format excludes tools.",
    ("ollama", "test_image_urls"): "Refused, with what to do instead.",
    ("openai", "test_reasoning"): "Kept, but the protocol has no place to send it back.",
}
"""What a mark alone would not tell."""
LACKING = {("anthropic", "test_seed"), ("ollama", "test_image_urls")}


def cases() -> dict[str, str]:
    """Each test of the matrix, and what its docstring says it shows."""
    named = vars(test_matrix).items()
    return {name: test.__doc__ for name, test in named if name.startswith("test_")}


def rows() -> list[str]:
    """The rows of the table, and the notes below it."""
    numbers = {key: f" ({number})" for number, key in enumerate(NOTES, 1)}
    lines = []
    for name, shows in cases().items():
        keys = [(vendor, name) for vendor in VENDORS]
        cells = [("no" if key in LACKING else "✓") + numbers.get(key, "") for key in keys]
        lines.append(f"| {shows} | {' | '.join(cells)} |")
    return [*lines, "", *(f"{number}. {note}" for number, note in enumerate(NOTES.values(), 1))]


def write() -> None:
    """Put the table, with the versions of the SDKs, in its place between the marks."""
    versions = [f"{vendor} {version(vendor)}" for vendor in VENDORS]
    lines = [f"| | {' | '.join(versions)} |", "|---|---|---|---|---|", *rows()]
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


if __name__ == "__main__":
    tested = [sys.executable, "-m", "pytest", "-q", str(test_matrix.__file__)]
    if failed := subprocess.run(tested, check=False).returncode:
        sys.exit(failed)
    write()
