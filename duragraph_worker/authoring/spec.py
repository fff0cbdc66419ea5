"""A plan as a worker registers it with the plane: schemas and drawings, all JSON by now."""

from collections.abc import Iterator
from typing import Any

from duragraph.protocol import GraphSpec
from duragraph_worker import schema, serialize
from duragraph_worker.authoring.draw import drawing
from duragraph_worker.plan import Plan


def to_spec(plan: Plan) -> GraphSpec:
    """What the plane and its clients get to know of a graph."""
    nested = dict(_subgraphs(plan))
    levels = max((name.count("|") + 1 for name in nested), default=0)
    unfolded = [drawing(plan, depth=depth).json() for depth in range(1, levels + 1)]
    schemas: dict[str, Any] = {
        name: serialize.encode(part) for name, part in schema.of_graph(plan).items()
    }
    return GraphSpec(
        graph_id=plan.graph_id,
        version=plan.version,
        description=plan.description,
        drawing=serialize.encode(drawing(plan).json()),
        drawing_xray=serialize.encode(unfolded) if nested else None,
        subgraphs=serialize.encode(nested),
        **schemas,
    )


def _subgraphs(plan: Plan, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each subgraph's schemas under its namespace, `outer|inner` for nested ones."""
    for name, node in plan.nodes.items():
        if node.subgraph is not None:
            yield prefix + name, schema.of_graph(node.subgraph)
            yield from _subgraphs(node.subgraph, f"{prefix}{name}|")
