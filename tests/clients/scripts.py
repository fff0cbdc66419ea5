"""Runs the Node scripts of this folder."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 110


def run(script: str, *arguments: str) -> str:
    """What the script prints. Raises AssertionError, with its complaint, when it fails."""
    command = ["node", script, *arguments]
    done = subprocess.run(
        command, cwd=HERE, timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
