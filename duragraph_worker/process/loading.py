"""Finds the graphs a command line names: `module:name` or `path/to/file.py:name`.

What a `langgraph.json` names is `langgraph/project.py`'s to load. What user code itself raises
passes unchanged: its traceback is what its author needs.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import attrs

from duragraph.errors import Invalid
from duragraph_worker.authoring.hosted import Hosted
from duragraph_worker.plan import Plan
from duragraph_worker.served import Served

EXTRA = {"dotenv", "langchain_core", "langgraph", "langgraph_sdk", "packaging", "pydantic"}
"""What `duragraph[langgraph]` installs."""


def load(target: str) -> Served:
    """The named graph; a LangGraph graph goes by the name it has there. Raises Invalid."""
    graph = named(target)
    name = target.rpartition(":")[2].rpartition(".")[2]
    return served(graph, graph_id=name if is_langgraph(graph) else None)


def named(target: str) -> object:
    """What `module:name` or `path/file.py:name` names. Raises Invalid, with a hint."""
    place, colon, name = target.rpartition(":")
    if not (place and colon and name):
        raise Invalid(f"{target!r} names no graph", hint="write module:name or path/file.py:name")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    graph: object = module
    for part in name.split("."):
        if not hasattr(graph, part):
            raise Invalid(f"{place} has no {name!r}", hint=_graphs_hint(module))
        graph = getattr(graph, part)
    return graph


def served(graph: object, *, graph_id: str | None = None) -> Served:
    """A class decorated with @Graph, an instance of one, or a LangGraph graph, to be served.

    With a `graph_id` it goes by that, and may be a function that makes a LangGraph graph. Raises
    Invalid for anything else.
    """
    if isinstance(graph, Served):
        return graph
    if (plan := plan_of(graph)) is not None:
        return Hosted(plan if graph_id is None else attrs.evolve(plan, graph_id=graph_id))
    if is_langgraph(graph) or (graph_id is not None and callable(graph)):
        hosted: Served = langgraph("hosted").hosted(graph, graph_id=graph_id)
        return hosted
    raise Invalid(
        f"{graph!r} is no graph",
        hint="decorate its class with @Graph(id=…), or name what makes one in a langgraph.json",
    )


def plan_of(graph: object) -> Plan | None:
    """That of a class decorated with @Graph, or of an instance of one."""
    plan = graph if isinstance(graph, Plan) else getattr(graph, "plan", None)
    return plan if isinstance(plan, Plan) else None


def is_langgraph(graph: object) -> bool:
    """Told by its classes' names, since LangGraph may not be installed."""
    return any(kind.__module__.partition(".")[0] == "langgraph" for kind in type(graph).__mro__)


def langgraph(name: str) -> ModuleType:
    """A module of `duragraph_worker/langgraph/`, which needs an extra. Raises Invalid without."""
    try:
        return importlib.import_module(f"duragraph_worker.langgraph.{name}")
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise Invalid(
            f"LangGraph graphs need packages that are missing or too old: {error}",
            hint="pip install 'duragraph[langgraph]'",
        ) from error


def _from_path(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise Invalid(
            f"there is no module {name!r}",
            hint="install it, run the command in the directory it is in, or name its file",
        ) from error


def _from_file(path: Path) -> ModuleType:
    """Import the file under its own name, with its siblings in reach, as `python file.py` does."""
    file = path.resolve()
    if not file.is_file():
        raise Invalid(f"there is no file {path}", hint=f"paths start at {Path.cwd()}")
    sys.path.insert(0, str(file.parent))
    module = importlib.import_module(file.stem)
    if module.__file__ is None or Path(module.__file__).resolve() != file:
        raise Invalid(
            f"{path} can't be imported: {file.stem!r} is already {module.__file__}",
            hint="give the file another name",
        )
    return module


def _graphs_hint(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if hasattr(value, "blueprint")]
    return f"its graphs: {', '.join(names)}" if names else "it has no class decorated with @Graph"
