"""Packages out of npm's registry, for the tests that need Node."""

import shutil
import subprocess
from pathlib import Path

import pytest


def install(folder: Path) -> None:
    """What the folder's `package-lock.json` names, unless it is there. Skips without Node."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node 20 or newer: node and npm on the PATH")
    installed = folder / "node_modules" / ".package-lock.json"
    lock = folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True)
        installed.touch()
