"""Serves what a `langgraph.json` names: its environment, its paths, its graphs.

The only place where a project's code is loaded, and LangGraph only where a graph needs it. Written
for a process of its own: it changes `os.environ` and `sys.path`, as LangGraph's server does.
"""

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from dotenv import dotenv_values
from packaging.requirements import InvalidRequirement, Requirement

from duragraph.errors import Invalid
from duragraph.project import JAVASCRIPT, GraphEntry, Project, Store
from duragraph.protocol import HeaderPatterns
from duragraph_worker.process.loading import langgraph, plan_of, served
from duragraph_worker.served import Served

log = logging.getLogger(__name__)


def load(project: Project) -> list[Served]:
    """The project's graphs. Raises Invalid, and what its code raises."""
    settle(project)
    return [_graph(project, name, entry) for name, entry in project.graphs.items()]


def settle(project: Project) -> None:
    """The environment and the paths that the project's code expects; says what is left out.

    Raises Invalid for what no environment can hold.
    """
    try:
        os.environ.update(_environment(project))
    except (OSError, ValueError) as error:
        raise Invalid(f"{project.file.name}, env: {error}") from None
    sys.path += [str(folder) for folder in project.folders if str(folder) not in sys.path]
    if notice := project.notice():
        log.warning("%s: %s", project.file.name, notice)
    for lack in _lacks(project):
        log.warning("%s, %s", project.file.name, lack)
    wanted = (project.content.python_version or "").partition("-")[0]
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted not in {"", running}:
        log.warning("%s wants Python %s, this is %s", project.file.name, wanted, running)


def named(project: Project, path: str) -> Any:
    """What `./file.py:name` or `module:name` is. Raises Invalid, and what its code raises."""
    place, colon, name = path.rpartition(":")
    if not (place and colon and name) or (place.startswith(".") and not _is_file(place)):
        raise Invalid(f"{path!r} names nothing", hint="write ./file.py:name or module:name")
    try:
        module = _file(project, place) if _is_file(place) else importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise Invalid(
            f"{path} needs the module {error.name!r}, which is not installed",
            hint=f"pip install {' '.join(_requirements(project)) or error.name}",
        ) from error
    if not hasattr(module, name):
        names = ", ".join(name for name in vars(module) if not name.startswith("_"))
        raise Invalid(f"{place} has no {name!r}", hint=f"it has {names}")
    return getattr(module, name)


def _graph(project: Project, name: str, entry: GraphEntry) -> Served:
    try:
        return _served(project, name, entry)
    except Invalid as error:
        message = f"{project.file.name}, graph {name!r}: {error.message}"
        raise Invalid(message, hint=error.hint) from error


def _served(project: Project, name: str, entry: GraphEntry) -> Served:
    if entry.path.rpartition(":")[0].endswith(JAVASCRIPT):
        raise Invalid(f"{entry.path} is JavaScript, which this worker can't run", hint="remove it")
    graph = named(project, entry.path)
    if plan_of(graph) is not None:
        return served(graph, graph_id=name)
    hosted: Served = langgraph("hosted").hosted(
        graph,
        graph_id=name,
        description=entry.description,
        config=entry.config,
        context=entry.context,
        version=entry.version,
        headers=_headers(project),
        **_store(project),
    )
    return hosted


def _headers(project: Project) -> HeaderPatterns | None:
    http = project.content.http
    if http is None or (said := http.configurable_headers) is None:
        return None
    named = said.includes or said.include or (), said.excludes or said.exclude or ()
    return HeaderPatterns(*(tuple(each.lower() for each in names) for names in named))


def _store(project: Project) -> dict[str, Any]:
    said = project.content.store or Store()
    found: dict[str, Any] = {}
    if said.ttl is not None:
        found["store_ttl"] = msgspec.to_builtins(said.ttl)
    if said.index is not None:
        embed = said.index.embed
        place = embed.rpartition(":")[0]
        model = named(project, embed) if _is_file(place) else embed
        try:
            index = langgraph("embedding").Index.of({"embed": model, "fields": said.index.fields})
        except ValueError as error:
            raise Invalid(
                f"no embeddings of {embed!r}", hint=str(error).partition("\n")[0]
            ) from None
        found["store_index"] = index
    return found


def _environment(project: Project) -> dict[str, str]:
    if project.env_file is None:
        said = project.content.env
        return {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}
    values = dotenv_values(project.env_file)
    return {name: value for name, value in values.items() if value is not None}


def _lacks(project: Project) -> Iterator[str]:
    """What the file counts on and is not there, and what to do: its code may do without."""
    if (file := project.env_file) is not None and not file.exists():
        yield f"env: there is no file {file}; write it, or take the key out"
    for name in project.content.dependencies:
        if not (project.folder / name).is_dir() and (why := _unmet(name)):
            yield f"dependencies: {name!r} {why}"


def _unmet(dependency: str) -> str | None:
    """Why what is no folder can't be counted on; None where it is installed, or can't be told."""
    if dependency.startswith((".", "/")):
        return "is no folder: correct the path, or take it out"
    try:
        wanted = Requirement(dependency)
    except InvalidRequirement:
        return None if "://" in dependency else "is no folder, and nothing that pip installs"
    if wanted.marker is not None and not wanted.marker.evaluate():
        return None
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return f"is not installed: pip install '{dependency}'"
    if wanted.specifier.contains(version, prereleases=True):
        return None
    return f"is installed as {version}: pip install '{dependency}'"


def _file(project: Project, place: str) -> ModuleType:
    """The module of a file, once; its name is the same on every machine, for restoring state."""
    name = "__" + re.sub(r"\W", "__", place.removeprefix("./").removesuffix(".py"))
    if name in sys.modules:
        return sys.modules[name]
    file = project.folder / place
    if not file.is_file():
        raise Invalid(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Invalid(f"{file} is no Python file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:  # whatever it was: half a module must not count as loaded
        del sys.modules[name]
        raise
    return module


def _is_file(place: str) -> bool:
    return "/" in place or place.endswith(".py")


def _requirements(project: Project) -> Iterator[str]:
    """The dependencies as pip takes them."""
    for name in project.content.dependencies:
        folder = project.folder / name
        if not folder.is_dir():
            yield name
        elif (folder / "pyproject.toml").exists() or (folder / "setup.py").exists():
            yield f"-e {name}"
        elif (folder / "requirements.txt").exists():
            yield f"-r {(Path(name) / 'requirements.txt').as_posix()}"
