"""A decorated class as a checked graph: names resolved, edges gathered, every fault told at once.

Works on the class alone; `build.py` makes a plan of it for one instance.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from duragraph_worker import state
from duragraph_worker.authoring.faults import faults, listed
from duragraph_worker.authoring.nodes import ENTRY, NodeSpec, Router
from duragraph_worker.authoring.signature import label
from duragraph_worker.authoring.wiring import Ends, Wired
from duragraph_worker.llm.roles import LLM, ToolRunner
from duragraph_worker.plan import END, START, Channel, Join

RESERVED = frozenset(
    {"plan", "blueprint", "threads", "run", "arun", "resume", "aresume", "stream", "serve"}
    | {"get_state", "aget_state", "get_history", "aget_history", "update_state", "aupdate_state"}
    | {"as_subgraph", "as_tool", "signal"}
)
"""Attributes that every graph has; no node may take their place."""


class GraphError(ValueError):
    """A class is no runnable graph; `problems` are all the reasons found."""

    def __init__(self, graph: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{graph} can't be built:\n{lines}")


@attrs.frozen
class Shape:
    """What `@Graph` declares beside the class."""

    id: str
    version: str = attrs.field(default="1.0.0", kw_only=True)
    description: str | None = attrs.field(default=None, kw_only=True)
    state: Any = attrs.field(default=None, kw_only=True)
    input: Any = attrs.field(default=None, kw_only=True)
    output: Any = attrs.field(default=None, kw_only=True)
    context: Any = attrs.field(default=None, kw_only=True)


@attrs.frozen(eq=False)
class Blueprint:
    """A checked graph, its names those of the plan."""

    shape: Shape
    nodes: Mapping[str, NodeSpec]
    entry: str
    edges: tuple[tuple[str, str], ...]
    joins: tuple[Join, ...]
    routes: Mapping[str, Mapping[str, str]]
    goto: Mapping[str, tuple[str, ...]]
    channels: Mapping[str, Channel] | None


def draft(cls: type, shape: Shape) -> Blueprint:
    """Check a class and its shape. Raises GraphError with everything that is wrong."""
    return _Draft(cls, shape).finished()


@attrs.define
class _Draft:
    """One check under way; collects `problems` instead of raising."""

    cls: type
    shape: Shape
    problems: list[str] = attrs.field(factory=list)
    versions: dict[str, list[NodeSpec]] = attrs.field(factory=dict)
    """Attribute -> the node there and those of base classes that it overrides, nearest first."""
    names: dict[NodeSpec, str] = attrs.field(factory=dict)

    def finished(self) -> Blueprint:
        self._collect()
        channels = self._channels()
        nodes = {self.names[specs[0]]: specs[0] for specs in self.versions.values()}
        routes = {name: self._routes(name, spec) for name, spec in nodes.items() if spec.picks}
        goto = {name: self._goto(name, spec) for name, spec in nodes.items()}
        edges = tuple(dict.fromkeys(self._edges(nodes)))
        joins = tuple(dict.fromkeys(self._joins(nodes)))
        self._check_strays(nodes)
        onward = _onward(edges, joins, routes, goto)
        entry = self._entry(nodes, onward)
        if entry is not None:
            reached = _reached(entry, onward)
            self.problems += [
                f"`{name}` can't be reached from the entry `{entry}`"
                for name in nodes
                if name not in reached
            ]
        for name, spec in nodes.items():
            self.problems += faults(name, spec, channels)
        if self.problems or entry is None:
            raise GraphError(f"graph {self.shape.id!r} ({self._where()})", self.problems)
        return Blueprint(self.shape, nodes, entry, edges, joins, routes, goto, channels)

    def _where(self) -> str:
        return f"{self.cls.__module__}.{self.cls.__qualname__}"

    def _collect(self) -> None:
        for base in reversed(self.cls.__mro__):
            for attribute, value in vars(base).items():
                if isinstance(value, NodeSpec):
                    self.versions.setdefault(attribute, []).insert(0, value)
                elif attribute in self.versions:
                    self.problems.append(
                        f"`{attribute}` of {base.__name__} hides a node and is none: decorate it"
                    )
                elif getattr(value, ENTRY, False):
                    self.problems.append(
                        f"`{attribute}` is marked @entrypoint but is no node: decorate it as one"
                    )
        for attribute, specs in self.versions.items():
            self._name(attribute, specs)
        if not self.versions:
            self.problems.append("it has no nodes: decorate a method with @node or one of its kin")

    def _name(self, attribute: str, specs: list[NodeSpec]) -> None:
        spec = specs[0]
        homes = [f"{owner.__name__}.{place}" for owner, place in spec.homes]
        if len(homes) > 1:
            self.problems.append(
                f"one node object is {' and '.join(homes)}: a node belongs to one place; "
                "`as_subgraph()` gives a fresh one each time"
            )
        name = attribute if spec.given_name is None else spec.given_name
        if name in (START, END) or not name or set(name) & set(":|"):
            self.problems.append(f"{name!r} can't be a node's name: it means something else")
        if attribute in RESERVED:
            self.problems.append(f"`{attribute}` is an attribute of every graph: rename the node")
        if name in self.names.values():
            self.problems.append(f"two nodes have the name {name!r}")
        self.names.update(dict.fromkeys(specs, name))

    def _channels(self) -> dict[str, Channel] | None:
        shape = self.shape
        if shape.state is None:
            if shape.input is not None or shape.output is not None:
                self.problems.append("`input` and `output` need a declared `state` as well")
            return None
        found: dict[str, Channel] = {}
        for declared in (shape.output, shape.input, shape.state):
            if declared is None:
                continue
            try:
                found |= state.channels(declared)
            except (TypeError, NameError) as error:
                self.problems.append(f"its state can't be read: {error}")
        return found

    def _own(self, spec: NodeSpec) -> Ends:
        """The node's edges; one that overrides another and draws none keeps that one's."""
        for version in self._versions_of(spec):
            if version.ends.to or version.ends.labels:
                return version.ends
        return spec.ends

    def _versions_of(self, spec: NodeSpec) -> list[NodeSpec]:
        return next(specs for specs in self.versions.values() if specs[0] is spec)

    def _resolved(self, target: Wired | str, edge: str, source: NodeSpec) -> Iterator[str]:
        """The target's name, or a problem, or nothing where another subclass drew the edge."""
        if target == END:
            yield END
        elif isinstance(target, NodeSpec) and target in self.names:
            yield self.names[target]
        elif isinstance(target, NodeSpec) and not _extends(target, source):
            self.problems.append(f"{edge} leads to nothing: {_stray(target)}")

    def _named(self, wanted: str, told: str) -> Iterator[str]:
        if wanted == END or wanted in self.names.values():
            yield wanted
        elif wanted in self.versions:
            yield self.names[self.versions[wanted][0]]
        else:
            known = ", ".join(sorted(set(self.names.values()))) or "none"
            self.problems.append(f"{told} {wanted!r}, which is no node; the nodes are: {known}")

    def _edges(self, nodes: Mapping[str, NodeSpec]) -> Iterator[tuple[str, str]]:
        for name, spec in nodes.items():
            if spec.picks:
                continue
            ends = self._own(spec)
            if ends.labels:
                self.problems.append(f"`{name} >> {{…}}`: only a @router_node chooses by label")
            for target in ends.to:
                for resolved in self._resolved(target, f"`{name} >> {_told(target)}`", spec):
                    yield name, resolved

    def _joins(self, nodes: Mapping[str, NodeSpec]) -> Iterator[Join]:
        for name, spec in nodes.items():
            for version in self._versions_of(spec):
                for sources in version.ends.joins:
                    edge = f"`[{', '.join(map(_told, sources))}] >> {name}`"
                    if any(source.picks for source in sources):
                        self.problems.append(f"{edge} waits for a router, which goes elsewhere")
                    resolved = [n for s in sources for n in self._resolved(s, edge, spec)]
                    if len(resolved) == len(sources):
                        yield Join(tuple(resolved), name)

    def _routes(self, name: str, spec: NodeSpec) -> dict[str, str]:
        ends, signature = self._own(spec), spec.signature
        edge = f"router `{name}`"
        if ends.labels:
            return self._mapped(edge, spec, ends)
        plain = [n for t in ends.to for n in self._resolved(t, f"`{name} >> {_told(t)}`", spec)]
        if signature.labels is not None:
            literal = [label(value) for value in signature.labels]
            found = {n: t for n in literal for t in self._named(n, f"{edge} may return")}
            if plain and set(plain) != set(found.values()):
                self.problems.append(
                    f"{edge} is annotated to return {listed(literal)} but leads to {listed(plain)}"
                )
            return found
        for wanted in spec.role.to or () if isinstance(spec.role, Router) else ():
            plain += self._named(wanted, f"{edge} has to=")
        if not plain and not signature.goto:
            can = "" if signature.readable else "its return annotation can't be evaluated here; "
            self.problems.append(
                f"{edge} has no targets: {can}annotate it `-> Literal[…]`, draw `>> {{label: "
                "node}`, or give `to=[…]`"
            )
        return {target: target for target in plain}

    def _mapped(self, edge: str, spec: NodeSpec, ends: Ends) -> dict[str, str]:
        found: dict[str, str] = {}
        for mapping in ends.labels:
            for value, target in mapping.items():
                if label(value) in found:
                    self.problems.append(f"{edge} has two targets for the label {value!r}")
                for resolved in self._resolved(target, f"{edge}, label {value!r},", spec):
                    found[label(value)] = resolved
        if ends.to:
            self.problems.append(f"{edge} has both `>> {{…}}` and plain `>>`: use one")
        literal = dict.fromkeys(label(value) for value in spec.signature.labels or found)
        if literal.keys() != found.keys():
            self.problems.append(
                f"{edge} is annotated to return {listed(literal)} "
                f"but its mapping has {listed(found)}"
            )
        return found

    def _goto(self, name: str, spec: NodeSpec) -> tuple[str, ...]:
        tools = spec.role.tools if isinstance(spec.role, LLM | ToolRunner) else ()
        handed = (target for tool in tools for target in tool.goto)
        wanted = dict.fromkeys((*spec.goto, *spec.signature.goto, *handed))
        return tuple(n for w in wanted for n in self._named(w, f"`{name}` declares a jump to"))

    def _check_strays(self, nodes: Mapping[str, NodeSpec]) -> None:
        for name, spec in nodes.items():
            for source in dict.fromkeys(spec.ends.incoming):
                if source in self.names or not isinstance(source, NodeSpec):
                    continue
                if not _extends(source, spec):
                    self.problems.append(
                        f"an edge into `{name}` comes from nothing: {_stray(source)}"
                    )

    def _entry(self, nodes: Mapping[str, NodeSpec], onward: Mapping[str, set[str]]) -> str | None:
        marked = [n for n, s in nodes.items() if any(v.ends.entry for v in self._versions_of(s))]
        own = [n for n in marked if nodes[n].homes and nodes[n].homes[0][0] is self.cls]
        marked = own or marked
        if len(marked) > 1:
            self.problems.append(
                f"it has two entries or more: {listed(marked)}; keep one @entrypoint"
            )
        if marked:
            return marked[0]
        targets = {t for source, found in onward.items() for t in found if t != source}
        candidates = [name for name in nodes if name not in targets]
        if len(candidates) == 1:
            return candidates[0]
        if nodes:
            which = listed(candidates) if candidates else "any, as the graph is a circle"
            self.problems.append(f"its entry isn't clear, it may be {which}: mark it @entrypoint")
        return None


def _onward(
    edges: Iterable[tuple[str, str]],
    joins: Iterable[Join],
    routes: Mapping[str, Mapping[str, str]],
    goto: Mapping[str, tuple[str, ...]],
) -> dict[str, set[str]]:
    onward: dict[str, set[str]] = {}
    for source, target in edges:
        onward.setdefault(source, set()).add(target)
    for join in joins:
        for source in join.sources:
            onward.setdefault(source, set()).add(join.target)
    for source, targets in routes.items():
        onward.setdefault(source, set()).update(targets.values())
    for source, jumps in goto.items():
        onward.setdefault(source, set()).update(jumps)
    return onward


def _reached(entry: str, onward: Mapping[str, set[str]]) -> set[str]:
    reached, open_ = {entry}, [entry]
    while open_:
        new = onward.get(open_.pop(), set()) - reached
        reached |= new
        open_ += new
    return reached


def _extends(target: NodeSpec, source: NodeSpec) -> bool:
    """Whether `target` belongs to a subclass of `source`'s class: an edge that only it has."""
    if not target.homes or not source.homes:
        return False
    theirs, ours = target.homes[0][0], source.homes[0][0]
    return theirs is not ours and issubclass(theirs, ours)


def _stray(spec: Wired) -> str:
    if not isinstance(spec, NodeSpec):
        return f"{spec!r} is no node"
    if spec.homes:
        owner, attribute = spec.homes[0]
        return f"`{attribute}` belongs to {owner.__name__}"
    if spec.kind == "subgraph":
        return "a subgraph has no name yet: assign it in the class body"
    return f"`{spec.name}` was redefined after its edges were drawn: draw them after the last one"


def _told(target: Wired | str) -> str:
    return target.name if isinstance(target, NodeSpec) else "END"
