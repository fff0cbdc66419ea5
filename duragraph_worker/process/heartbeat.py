"""Renews a worker's leases from a process of its own, which no node can hold up.

A script that `leases.py` starts; the standard library only, so that it costs little and imports
nothing of the user's. Reads one JSON line `{url, headers, every}`, then `+run_id epoch` and
`-run_id epoch`; writes `{sent, active, lost}` or `{failed}` after each try. Ends with its input.
"""

import contextlib
import http.client
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GATHER_SECONDS = 0.05
"""How long changes of the leases are left to gather, so that a busy worker wakes us less."""
RETRY_SECONDS = 0.5
_CHUNK = 1 << 16


class Lines:
    """The lines of a pipe, as they come."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = b""

    def read(self, seconds: float) -> list[str] | None:
        """What came, at the latest after `seconds`; None at the end of the pipe."""
        if not select.select([self._pipe], [], [], max(0.0, seconds))[0]:
            return []
        time.sleep(GATHER_SECONDS)
        chunk = os.read(self._pipe, _CHUNK)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [line.decode() for line in lines] if chunk else None


class Beat:
    """One connection to the plane, and the way to renew leases over it."""

    def __init__(self, url: str, headers: dict[str, str], every: float) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=every)
        self._path = parts.path
        self._headers = headers | {"content-type": "application/json"}

    def renew(self, leases: set[str]) -> dict[str, Any]:
        """What to tell the worker: `sent` is the monotonic clock's, which all processes share."""
        active = [_lease(line) for line in leases]
        sent = time.monotonic()
        try:
            lost = self._post({"active": active})["lost"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            self._connection.close()
            return {"failed": f"{type(error).__name__}: {error}"}
        leases.difference_update(f"{each['run_id']} {each['epoch']}" for each in lost)
        return {"sent": sent, "active": active, "lost": lost}

    def _post(self, body: Any) -> Any:
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        response = self._connection.getresponse()
        payload = response.read()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"status {response.status}: {payload[:200]!r}")
        return json.loads(payload)


def _lease(line: str) -> dict[str, Any]:
    run_id, epoch = line.split()
    return {"run_id": run_id, "epoch": int(epoch)}


def runnable(pid: int) -> bool:
    """Whether the process is neither stopped nor dead. True where there is no `/proc`."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b")")[2].split()[0] not in {b"T", b"t", b"Z", b"X"}


def main() -> None:
    # A signal to the whole group starts the worker's drain, and the leases must outlast that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = os.getppid()
    lines = Lines(sys.stdin.fileno())
    leases: set[str] = set()
    beat, every, due = None, RETRY_SECONDS, time.monotonic()
    # A fork of the worker's keeps the pipe open after its death: the parent's id tells.
    while (changes := lines.read(due - time.monotonic())) is not None and os.getppid() == parent:
        if beat is None and changes:
            order = json.loads(changes.pop(0))
            # At once: the child before this one may have died with a renewal due.
            beat, every, due = Beat(**order), order["every"], time.monotonic()
        for change in changes:
            (leases.add if change[0] == "+" else leases.discard)(change[1:])
        if time.monotonic() < due:
            continue
        due = time.monotonic() + every
        if beat is not None and leases and runnable(parent):
            news = beat.renew(leases)
            due -= (every - RETRY_SECONDS) if "failed" in news else 0
            sys.stdout.write(json.dumps(news) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
