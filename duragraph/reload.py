"""`duragraph dev --reload`: notices when a file changes that the worker's graphs may come from.

Reads no user code: it watches the Python files of the directories that the targets name.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from duragraph.config import ConfigError

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


async def watch(targets: Sequence[str], edited: asyncio.Event) -> None:
    """Set `edited` at each change; until cancelled."""
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it logs numbers, we log names
    while True:
        watched = set(directories(targets))
        # Not recursive: the database of `dev` may lie in there, and it changes all the time.
        with suppress(FileNotFoundError):  # a directory went away since, as in a checkout
            async for changes in watchfiles.awatch(
                *watched, watch_filter=watchfiles.PythonFilter(), recursive=False
            ):
                log.info("files changed", files=sorted({path for _, path in changes}))
                edited.set()
                if set(directories(targets)) != watched:
                    break


def directories(targets: Sequence[str]) -> Iterator[Path]:
    """Where `path/file.py:name` lies, or for `module:name` the working directory, and below."""
    for place in {target.rpartition(":")[0] for target in targets}:
        root = Path(place).resolve().parent if place.endswith(".py") else Path.cwd()
        for folder, below, files in os.walk(root):
            below[:] = [name for name in below if name not in ELSEWHERE and name[0] != "."]
            if "pyvenv.cfg" in files:
                below.clear()
            elif folder == str(root) or any(file.endswith(".py") for file in files):
                yield Path(folder)
