"""`duragraph dev --reload`: notices when a file changes that the worker's graphs may come from.

Reads no user code: it watches the Python files of the directories that the targets name, or a
project, whose own file and environment it watches too.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from duragraph.config import ConfigError
from duragraph.project import Project

try:
    import watchfiles
except ImportError:  # the `embedded` extra is not installed
    watchfiles = None  # type: ignore[assignment]

ELSEWHERE = frozenset({"__pycache__", "node_modules", "site-packages"})

log = structlog.get_logger(__name__)


def check() -> None:
    """Raises ConfigError if there is nothing to watch with."""
    if watchfiles is None:
        raise ConfigError(
            "--reload needs the package 'watchfiles'. "
            "Install it with pip install 'duragraph[embedded]'."
        )


async def watch(
    targets: Sequence[str], edited: asyncio.Event, *, project: Project | None = None
) -> None:
    """Set `edited` at each change; until cancelled."""
    others = () if project is None else (project.file, project.env_file)
    python = watchfiles.PythonFilter(extra_extensions=[each.name for each in others if each])
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it logs numbers, we log names
    while True:
        watched = set(directories(targets, project))
        # Not recursive: the database of `dev` may lie in there, and it changes all the time.
        with suppress(FileNotFoundError):  # a directory went away since, as in a checkout
            async for changes in watchfiles.awatch(*watched, watch_filter=python, recursive=False):
                log.info("files changed", files=sorted({path for _, path in changes}))
                edited.set()
                if set(directories(targets, project)) != watched:
                    break


def directories(targets: Sequence[str], project: Project | None = None) -> Iterator[Path]:
    """Where `path/file.py:name` lies, or for `module:name` the working directory, and below.

    And where a project's code is.
    """
    places = {target.rpartition(":")[0] for target in targets}
    roots = {Path(p).resolve().parent if p.endswith(".py") else Path.cwd() for p in places}
    for root in roots.union(project.folders if project else ()):
        for folder, below, files in os.walk(root):
            below[:] = [name for name in below if name not in ELSEWHERE and name[0] != "."]
            if "pyvenv.cfg" in files:
                below.clear()
            elif folder == str(root) or any(file.endswith(".py") for file in files):
                yield Path(folder)
