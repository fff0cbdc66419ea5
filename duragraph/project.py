"""`langgraph.json`: what a LangGraph project says of itself, to the plane and to its worker.

Reads the file and checks its shape; loads none of the code that it names. What is said in it and
can't be honoured is told, key by key.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import attrs
import msgspec
from msgspec import Meta

from duragraph.errors import Invalid

NAME = "langgraph.json"
JAVASCRIPT = ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx"
FOR_IMAGES = frozenset(
    {
        "_INTERNAL_docker_tag",
        "api_version",
        "base_image",
        "dockerfile_lines",
        "image_distro",
        "keep_pkg_tools",
        "node_version",
        "pip_config_file",
        "pip_installer",
        "source",
    }
)
"""What the file says of container images, which are not built here."""

Minutes = Annotated[float, Meta(gt=0)]


class GraphEntry(msgspec.Struct):
    """Where a graph is, `./file.py:name` or `module:name`; beside `path` all is optional."""

    path: str
    description: str | None = None
    config: dict[str, Any] = {}
    """What the graph's own assistant starts with; `context` too."""
    context: dict[str, Any] = {}
    version: str = "1"
    """Runs go on only with code of their version."""


class Patterns(msgspec.Struct):
    """Header names, with `*` for anything; what is excluded is not included."""

    includes: list[str] | None = None
    excludes: list[str] | None = None
    include: list[str] | None = None
    exclude: list[str] | None = None
    """Other words for the same."""


class Cors(msgspec.Struct):
    allow_origins: list[str] = []


class Http(msgspec.Struct):
    configurable_headers: Patterns | None = None
    cors: Cors | None = None
    logging_headers: Any = None
    """Honoured by logging none."""


class StoreTtl(msgspec.Struct):
    default_ttl: Minutes | None = None
    refresh_on_read: bool = True
    sweep_interval_minutes: float | None = None
    """Honoured by sweeping all the time."""


class Index(msgspec.Struct):
    embed: str
    """`provider:model`, or `./file.py:name`."""
    dims: int | None = None
    fields: list[str] | None = None


class Store(msgspec.Struct):
    ttl: StoreTtl | None = None
    index: Index | None = None


class ThreadTtl(msgspec.Struct):
    default_ttl: Minutes | None = None
    strategy: Literal["delete", "keep_latest"] = "delete"
    sweep_interval_minutes: float | None = None
    sweep_limit: int | None = None
    """Both honoured by sweeping all the time."""


class Checkpointer(msgspec.Struct):
    ttl: ThreadTtl | None = None


class Auth(msgspec.Struct):
    path: str
    disable_studio_auth: bool = False
    openapi: Any = None
    cache: Any = None


class Content(msgspec.Struct):
    """The file, as far as it is honoured."""

    graphs: dict[str, GraphEntry | str]
    dependencies: list[str] = []
    env: dict[str, Any] | str = {}
    store: Store | None = None
    checkpointer: Checkpointer | None = None
    http: Http | None = None
    auth: Auth | None = None
    python_version: str | None = None


@attrs.frozen
class Project:
    """One `langgraph.json`; all its paths start where it lies."""

    file: Path
    content: Content
    ignored: tuple[str, ...]
    """Keys, as `http.app`, that are said and not honoured."""

    @classmethod
    def read(cls, file: Path) -> "Project":
        """Raises Invalid, naming the place, for what is no such file."""
        try:
            raw = msgspec.json.decode(file.read_bytes())
            content = msgspec.convert(raw, Content)
        except FileNotFoundError:
            raise Invalid(f"there is no {file}") from None
        except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
            raise Invalid(f"{file} is no {NAME}: {error}") from None
        if not content.graphs:
            raise Invalid(f"{file} names no graphs", hint='"graphs": {"agent": "./agent.py:graph"}')
        unknown = [*_unknown(raw, Content)]
        for name, entry in raw["graphs"].items():
            if isinstance(entry, dict):
                unknown += _unknown(entry, GraphEntry, f"graphs.{name}.")
        return cls(file.resolve(), content, tuple(sorted(unknown)))

    @property
    def folder(self) -> Path:
        return self.file.parent

    @property
    def graphs(self) -> Mapping[str, GraphEntry]:
        return {
            name: GraphEntry(entry) if isinstance(entry, str) else entry
            for name, entry in self.content.graphs.items()
        }

    @property
    def settings(self) -> Mapping[str, str]:
        """What it says of the plane, as `Config` has it."""
        content, found = self.content, {}
        if content.checkpointer and (ttl := content.checkpointer.ttl) and ttl.default_ttl:
            found["thread_ttl_minutes"] = f"{ttl.default_ttl:g}"
            found["thread_ttl_strategy"] = ttl.strategy
        if content.http and content.http.cors and (origins := content.http.cors.allow_origins):
            found["cors_origins"] = ",".join(origins)
        if content.auth:
            found["auth_handlers"] = "required"
        return found

    @property
    def folders(self) -> Iterator[Path]:
        """Where its code is: its own folder, and the dependencies that are folders."""
        yield self.folder
        for name in self.content.dependencies:
            if name != "." and (place := self.folder / name).is_dir():
                yield place.resolve()

    @property
    def env_file(self) -> Path | None:
        said = self.content.env
        return self.folder / said if isinstance(said, str) else None

    def notice(self) -> str | None:
        """One line on what is said and not honoured."""
        images = [key for key in self.ignored if key in FOR_IMAGES]
        others = [key for key in self.ignored if key not in FOR_IMAGES]
        parts = []
        if others:
            parts.append(f"not supported: {', '.join(others)}")
        if images:
            parts.append(f"only for images: {', '.join(images)}")
        if self.settings:
            names = ", ".join(f"DURAGRAPH_{name.upper()}" for name in self.settings)
            parts.append(f"settings of the plane, which only `duragraph dev` gives it: {names}")
        return "; ".join(parts) or None


def find(given: Path | None, targets: Sequence[str]) -> Project | None:
    """The one given; without graphs named as `targets` that of the working directory, if any.

    Raises Invalid.
    """
    file = given or Path(NAME)
    wanted = given is not None or (not targets and file.is_file())
    return Project.read(file) if wanted else None


def _unknown(
    said: Mapping[str, Any], shape: type[msgspec.Struct], prefix: str = ""
) -> Iterator[str]:
    """Keys that `shape` has no field for, as `outer.inner`; what is empty or off says nothing."""
    fields = {field.name: field.type for field in msgspec.structs.fields(shape)}
    for key, value in said.items():
        name = prefix + key
        if key not in fields:
            if value and key != "$schema":
                yield name
        elif isinstance(value, dict):
            for below in _shapes(fields[key]):
                yield from _unknown(value, below, f"{name}.")


def _shapes(type_: Any) -> list[type[msgspec.Struct]]:
    return [t for t in get_args(type_) if isinstance(t, type) and issubclass(t, msgspec.Struct)]
