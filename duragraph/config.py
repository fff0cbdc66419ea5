"""All that can be set, read and checked once. The only reader of the environment.

A setting `port` is the variable `DURAGRAPH_PORT` and, where a command offers it, the flag
`--port`, which wins. Whatever is wrong names its variable.
"""

import math
import os
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Literal, Self, TypeAlias

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

PREFIX = "DURAGRAPH_"
MOST_MINUTES = 1e9
"""Beyond it the database's clock may not reach."""

Network: TypeAlias = IPv4Network | IPv6Network


class ConfigError(Exception):
    """A setting is missing or can't be used; says which, and what it must be."""


def _setting(default: Any, read: Callable[[str], Any], *, secret: bool = False) -> Any:
    """A field; `read` makes its value of a string, or raises ValueError saying what it must be."""
    return attrs.field(default=default, metadata={"read": read}, repr=not secret)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    problem = "must be a number of seconds above 0"
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(problem) from None
    if not 0 < seconds < math.inf:
        raise ValueError(problem)
    return seconds


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0
    if not 0 < minutes <= MOST_MINUTES:
        raise ValueError(f"must be a number of minutes above 0, at most {MOST_MINUTES:g}")
    return minutes


def _yes(text: str) -> bool:
    answers = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if (answer := answers.get(text.strip().lower())) is None:
        raise ValueError("must be 1 or 0, true or false, yes or no")
    return answer


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part) for part in _list(text))
    except ValueError:
        raise ValueError("must be networks separated by commas, as 10.0.0.0/8") from None


def _secrets(text: str) -> tuple[bytes, ...]:
    problem = "must be 24 to 64 bytes in base64, with or without whsec_ before them"
    try:
        keys = [b64decode(part.removeprefix("whsec_"), validate=True) for part in _list(text)]
    except ValueError:
        raise ValueError(problem) from None
    if any(not 24 <= len(key) <= 64 for key in keys):  # noqa: PLR2004 - the specification's
        raise ValueError(problem)
    return tuple(keys)


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return read


def _address(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {schemes[0]}://")
        return text

    return read


@attrs.frozen(kw_only=True)
class Config:
    database_url: str = _setting("", _address("postgresql", "postgres"), secret=True)
    """Empty for `dev` alone, which then starts a PostgreSQL of its own."""
    nats_url: str = _setting("", _address("nats", "tls"), secret=True)
    """Empty for `dev` alone, which then starts a NATS of its own."""
    host: str = _setting("127.0.0.1", str)
    port: int = _setting(8123, _whole(0, 65535))
    """0 takes a free one."""
    data_dir: str = _setting(".duragraph", str)
    """Where the embedded servers keep their data; relative to the working directory."""

    api_keys: tuple[str, ...] = _setting((), _list, secret=True)
    """Who sends one of these as `x-api-key` may do anything. None: everybody may."""
    no_auth: bool = _setting(False, _yes)
    """Serve without keys on an address that others reach."""
    auth_handlers: Literal["auto", "required", "off"] = _setting(
        "auto", _one_of("auto", "required", "off")
    )
    """Whether a worker's auth handlers say who clients are: once one has registered some, from the
    first request on, or never, which also forgets those that were registered."""
    studio: bool = _setting(False, _yes)
    """Let LangGraph Studio in without credentials, unless the handlers' project forbids it: for
    `dev` alone, since whoever says that it is Studio is believed."""
    cors_origins: tuple[str, ...] = _setting(("*",), _list)

    max_body_bytes: int = _setting(64 << 20, _whole(1024, 1 << 30))
    max_depth: int = _setting(200, _whole(8, 1000))
    """Of nested arrays and objects in a request."""
    state_cache_bytes: int = _setting(64 << 20, _whole(0, 1 << 40))
    """Of long threads' states that were read, to be held in memory. 0: none."""
    run_timeout_seconds: float = _setting(3600.0, _seconds)
    """An attempt that takes longer is ended, whatever its worker says."""
    max_attempts: int = _setting(3, _whole(1, 1000))
    """A run whose worker dies this often fails."""

    thread_ttl_minutes: float | None = _setting(None, _minutes)
    """How long threads live that are made from now on; None: for ever, if they don't say more."""
    thread_ttl_strategy: Literal["delete", "keep_latest"] = _setting(
        "delete", _one_of("delete", "keep_latest")
    )

    webhook_secrets: tuple[bytes, ...] = _setting((), _secrets, secret=True)
    """Each signs every webhook: two while receivers move from one to the other."""
    webhook_networks: tuple[Network, ...] = _setting((), _networks)
    """What webhooks may reach beside public addresses."""

    event_days: int = _setting(90, _whole(1, 36500))
    """A run's events are kept so long after its end."""
    idempotency_seconds: float = _setting(86400.0, _seconds)
    """How long an `Idempotency-Key` is remembered."""

    sweep_seconds: float = _setting(2.0, _seconds)
    """Between two looks for expired leases and strays."""
    hint_sweep_seconds: float = _setting(0.5, _seconds)
    """Between two looks for work of which no hint told."""
    drain_seconds: float = _setting(10.0, _seconds)
    """How long requests under way may take to end once a stop is asked for."""

    log_format: Literal["auto", "console", "json"] = _setting(
        "auto", _one_of("auto", "console", "json")
    )
    """`auto`: console on a terminal, JSON otherwise."""
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", _one_of("debug", "info", "warning", "error")
    )

    @property
    def auth(self) -> bool:
        return bool(self.api_keys)

    def allows_origin(self, origin: str) -> bool:
        return "*" in self.cors_origins or origin in self.cors_origins

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches `host`."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        project: Mapping[str, str] | None = None,
        **flags: object,
    ) -> Self:
        """Flags over variables over what a project's file says over defaults.

        None and the empty string count as not given. Raises ConfigError.
        """
        names = [field.name for field in attrs.fields(cls)]
        below = project or {}
        given = {name: environ.get(_variable(name)) or below.get(name, "") for name in names}
        given |= {name: str(flag) for name, flag in flags.items() if flag is not None}
        try:
            return _CONVERTER.structure({k: text for k, text in given.items() if text}, cls)
        except cattrs.ClassValidationError as errors:
            raise ConfigError(" ".join(_problems(cls, errors, given, flags))) from None

    def needing(self, *names: str) -> Self:
        """The same, if these are set. Raises ConfigError."""
        for name in names:
            if not getattr(self, name):
                raise ConfigError(
                    f"{_variable(name)} (or {_flag(name)}) is missing. "
                    "Only `duragraph dev` brings servers of its own."
                )
        return self

    def for_production(self) -> Self:
        """The same, if it may serve others. Raises ConfigError."""
        if not (self.loopback or self.auth or self.no_auth):
            raise ConfigError(
                f"{self.host} can be reached by others and {_variable('api_keys')} is missing. "
                "Set it to one or more keys, or say --no-auth to let everybody in."
            )
        return self.needing("database_url", "nats_url")


def child_environ(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a process of our own that is no plane: the user's variables, less the plane's."""
    own = {_variable(field.name) for field in attrs.fields(Config)}
    kept = {name: value for name, value in environ.items() if name not in own}
    return kept | ({f"{PREFIX}API_KEY": config.api_keys[0]} if config.api_keys else {})


def _problems(
    cls: type[Config],
    errors: cattrs.ClassValidationError,
    given: Mapping[str, str],
    flags: Mapping[str, object],
) -> Iterator[str]:
    """A sentence for each bad setting; what is secret is not repeated."""
    for error, note in errors.group_exceptions()[0]:
        shown = (
            f" is {given[note.name]!r} but" if getattr(attrs.fields(cls), note.name).repr else ""
        )
        source = _variable if flags.get(note.name) is None else _flag
        yield f"{source(note.name)}{shown} {error}."


def _hook(read: Callable[[str], Any]) -> Callable[[str, Any], Any]:
    return lambda text, _type: read(text)


def _make_converter() -> cattrs.Converter:
    """Reads every setting by its own `read`, and tells of all that fail at once."""
    converter = cattrs.Converter()
    reads: dict[str, Any] = {
        field.name: override(struct_hook=_hook(field.metadata["read"]))
        for field in attrs.fields(Config)
    }
    converter.register_structure_hook(Config, make_dict_structure_fn(Config, converter, **reads))
    return converter


_CONVERTER = _make_converter()


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _flag(field: str) -> str:
    return "--" + field.replace("_", "-")
