"""One instance a data directory: a lock that outlives a killed process until its servers end."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from duragraph.embedded.children import ServerError

PATIENCE_SECONDS = 30.0
"""How long the servers of a killed instance may take to stop."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Keep every other instance out of `directory`, which must exist.

    Gives the descriptor that holds the lock: a server that inherits it holds the lock too.
    Raises ServerError, naming the holder, if another process is at work there.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, directory)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = int(os.pread(descriptor, 20, 0) or 0)
        else:
            return
        if _alive(holder):
            raise ServerError(
                f"{directory} is in use by process {holder}. "
                "Stop that one, or give this one a --data-dir of its own."
            )
        if time.monotonic() > deadline:
            raise ServerError(
                f"Servers that process {holder} left behind in {directory} still run "
                f"after {PATIENCE_SECONDS:.0f} s. Stop them, or choose another --data-dir."
            )
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    """Whether the process runs; 0 stands for a holder that has not written its pid yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return pid != 0
