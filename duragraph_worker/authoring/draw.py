"""Pictures of a plan: nodes and edges as LangGraph's clients draw them, and Mermaid text."""

from collections.abc import Iterable
from typing import Any

import attrs

from duragraph_worker.plan import END, START, Node, Plan

_SHAPES = {
    "router": ("{", "}"),
    "human": ("[/", "/]"),
    "llm": ("(", ")"),
    "tool": ("[[", "]]"),
    "vector": ("[\\", "\\]"),
    "knowledge": ("[\\", "\\]"),
}


@attrs.frozen
class Edge:
    """An arrow; a conditional one may be taken or not, `data` is its label."""

    source: str
    target: str
    conditional: bool = False
    data: str | None = None

    def json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"source": self.source, "target": self.target}
        if self.data is not None:
            shown["data"] = self.data
        return shown | ({"conditional": True} if self.conditional else {})


@attrs.frozen
class Drawing:
    """Node names in order, START first and END last, and the arrows between them."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]

    def json(self) -> dict[str, Any]:
        """`{"nodes": [{id, type, data}], "edges": [{source, target, data?, conditional?}]}`."""
        nodes = [
            {"id": name, "type": "runnable", "data": {"name": name}} if name != END else {"id": END}
            for name in self.nodes
        ]
        return {"nodes": nodes, "edges": [edge.json() for edge in self.edges]}


def drawing(plan: Plan, *, depth: int = 0) -> Drawing:
    """The plan's picture, its subgraphs unfolded so deep: their nodes are named `outer:inner`."""
    edges = sorted(dict.fromkeys(_edges(plan)), key=lambda edge: (edge.source, edge.target))
    going = {edge.source for edge in edges}
    edges += [Edge(name, END) for name in plan.nodes if name not in going]
    drawn = Drawing((START, *plan.nodes, END), tuple(edges))
    for name, node in plan.nodes.items() if depth else ():
        if node.subgraph is not None:
            drawn = _unfolded(drawn, name, drawing(node.subgraph, depth=depth - 1))
    return drawn


def mermaid(plan: Plan) -> str:
    """The plan as a Mermaid flowchart, each subgraph in a frame of its own."""
    return "\n".join(["graph TD", *_flowchart(plan, "n")]) + "\n"


def _flowchart(plan: Plan, prefix: str) -> Iterable[str]:
    ids = {name: f"{prefix}{at}" for at, name in enumerate((START, *plan.nodes, END))}
    yield f"  {ids[START]}([start])"
    for name, node in plan.nodes.items():
        if node.subgraph is None:
            yield f"  {ids[name]}{_shape(node)}"
            continue
        yield f'  subgraph {ids[name]}["{_escaped(name)}"]'
        yield from (f"  {line}" for line in _flowchart(node.subgraph, f"{ids[name]}_"))
        yield "  end"
    yield f"  {ids[END]}([end])"
    for edge in drawing(plan).edges:
        arrow = "-.->" if edge.conditional else "-->"
        text = f'|"{_escaped(edge.data)}"|' if edge.data is not None else ""
        yield f"  {ids[edge.source]} {arrow}{text} {ids[edge.target]}"


def _edges(plan: Plan) -> Iterable[Edge]:
    yield from (Edge(START, name) for name in plan.entry)
    yield from (Edge(source, target) for source, target in plan.edges)
    yield from (Edge(source, join.target) for join in plan.joins for source in join.sources)
    for name, node in plan.nodes.items():
        for label, target in (node.routes or {}).items():
            yield Edge(name, target, conditional=True, data=label if label != target else None)
        yield from (Edge(name, target, conditional=True) for target in node.goto)


def _unfolded(outer: Drawing, name: str, inner: Drawing) -> Drawing:
    """`outer` with its node `name` replaced by `inner`, whose ends are dropped if they fork not."""
    prefixed = {node: f"{name}:{node}" for node in inner.nodes}
    edges = [
        attrs.evolve(edge, source=prefixed[edge.source], target=prefixed[edge.target])
        for edge in inner.edges
    ]
    head, tail = prefixed[START], prefixed[END]
    starts = [edge for edge in edges if edge.source == head]
    if len(starts) == 1 and not starts[0].conditional:
        edges.remove(starts[0])
        head = starts[0].target
    stops = [edge for edge in edges if edge.target == tail]
    if len(stops) == 1 and not stops[0].conditional:
        edges.remove(stops[0])
        tail = stops[0].source
    around = [
        attrs.evolve(
            edge,
            source=tail if edge.source == name else edge.source,
            target=head if edge.target == name else edge.target,
        )
        for edge in outer.edges
    ]
    dropped = {prefixed[START], prefixed[END]} - {head, tail}
    kept = [node for node in prefixed.values() if node not in dropped]
    nodes = [node for node in outer.nodes if node != name]
    return Drawing((*nodes, *kept), (*around, *edges))


def _shape(node: Node) -> str:
    left, right = _SHAPES.get(node.kind, ("[", "]"))
    return f'{left}"{_escaped(node.name)}"{right}'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
