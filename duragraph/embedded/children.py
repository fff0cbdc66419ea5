"""Server processes that live no longer than the process that started them.

Each runs under a keeper (`keeper.py`). Knows nothing of what the servers are.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

T = TypeVar("T")

START_SECONDS = 60.0
"""Enough for PostgreSQL to recover from a crash on a slow disk."""

GRACE_SECONDS = 8.0
"""How long a server may take over each of its stop signals before it gets the next one."""

_KEEPER = Path(__file__).with_name("keeper.py")


class ServerError(Exception):
    """A server could not be started or has ended; says which, why, and what to do."""


@attrs.frozen
class Account:
    """The way to run a program that refuses to run as root: nothing to do for a plain user."""

    prefix: tuple[str, ...] = ()
    """Goes before the command."""
    owner: tuple[int, int] | None = None
    """Whose the files must be, as uid and gid; None: as they are made."""

    def own(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner)


@attrs.frozen
class Child:
    """A running server. Readable (`fileno`) once it has ended."""

    name: str
    pid: int
    """The server's own, not its keeper's."""
    log: Path | None
    _keeper: subprocess.Popen[bytes]

    def fileno(self) -> int:
        assert self._keeper.stdout is not None
        return self._keeper.stdout.fileno()

    def wait(self) -> int:
        """Block until it has ended. Its exit code, 128 + n after signal n."""
        return self._keeper.wait()

    def wait_for(self, probe: Callable[[], T | None]) -> T:
        """The first result of `probe` that is not None.

        Raises ServerError with the log's last lines if the server ends before, or takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while (found := probe()) is None:
            if self._keeper.poll() is not None:
                raise self.ended()
            if time.monotonic() > deadline:
                slow = f"{self.name} was not ready in {START_SECONDS:.0f} s."
                raise ServerError(f"{slow} {self.last_words()}")
            time.sleep(0.005)
        return found

    def ended(self) -> ServerError:
        """The error that it has ended, with its code and last words."""
        return ServerError(f"{self.name} ended with code {self.wait()}. {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        if self.log is None:
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-5:]
        return "\n  ".join([f"The end of {self.log}:", *lines])


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    stop: Sequence[signal.Signals],
    grace: float = GRACE_SECONDS,
    log: Path | None = None,
    environ: Mapping[str, str] | None = None,
    account: Account | None = None,
    holds: Sequence[int] = (),
) -> Iterator[Child]:
    """Run `command` until the block or this process ends, by whatever means.

    `stop` are the signals that end it, the gentlest first, each given `grace` seconds. The
    descriptors in `holds` stay open as long as the server lives. Its output is appended to
    `log`, or goes where this process's errors go. Without `environ` it sees no variables.
    """
    account = account or Account()
    signals = ",".join(each.name for each in stop)
    with (
        log.open("ab") if log else contextlib.nullcontext() as output,
        subprocess.Popen(  # noqa: S603 - our own keeper
            [sys.executable, "-IS", str(_KEEPER), str(grace), signals, *account.prefix, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env=environ or {},
            pass_fds=holds,
            start_new_session=True,  # Ctrl-C is DuraGraph's; the servers stop after it
        ) as keeper,
    ):
        assert keeper.stdout is not None
        # Leaving the block closes the keeper's input, which stops the server, and waits.
        yield Child(name=name, pid=int(keeper.stdout.readline() or 0), log=log, keeper=keeper)
