"""The process between DuraGraph and one of its servers: stops the server when DuraGraph ends.

Run as a script with the standard library alone. DuraGraph holds the other end of standard
input and never writes to it: the end of that pipe, by `close` or by `kill -9`, means stop.
Standard output carries the server's pid, and its end tells DuraGraph that the server ended.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """`SECONDS SIGNAL[,SIGNAL…] COMMAND…`. Returns the server's exit code, 128 + n after signal n.

    The gentlest signal stands first; each is given so many seconds before the next is sent.
    """
    grace, names, *command = arguments
    stops = [signal.Signals[name] for name in names.split(",")]
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever signals the whole group means DuraGraph, which still needs its servers to
        # drain. A function, since SIG_IGN would be inherited by the server.
        signal.signal(each, lambda _number, _frame: None)
    server = subprocess.Popen(  # noqa: S603 - the command is DuraGraph's own
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        close_fds=False,  # the data directory's lock is held until the server has ended too
        preexec_fn=_die_with_keeper(stops[0]),  # noqa: PLW1509 - no thread runs yet
    )
    print(server.pid, flush=True)  # noqa: T201
    stopping = threading.Thread(
        target=_stop_at_end_of_input, args=(server, stops, float(grace)), daemon=True
    )
    stopping.start()
    code = server.wait()
    return 128 - code if code < 0 else code


def _stop_at_end_of_input(
    server: subprocess.Popen[bytes], stops: list[signal.Signals], grace: float
) -> None:
    os.read(sys.stdin.fileno(), 1)
    for stop in stops:
        server.send_signal(stop)
        try:
            server.wait(grace)
        except subprocess.TimeoutExpired:
            continue
        return


def _die_with_keeper(stop: signal.Signals) -> Callable[[], None] | None:
    """For the day the keeper itself is killed with -9. Only Linux can do that."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(stop), 0, 0, 0)

    return set_signal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
