"""A knowledge graph in Neo4j, through its own driver."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.knowledge.cypher import CypherGraph, quoted
from duragraph_worker.knowledge.graph import Edge, Entity, Node, Path, Relation, Row

with needs("neo4j"):
    from neo4j import AsyncGraphDatabase, Query, graph
    from neo4j.spatial import CartesianPoint, Point, WGS84Point
    from neo4j.time import Date, DateTime, Duration, Time


class Neo4j(CypherGraph):
    """A `KnowledgeGraph` in a database of the server at `url`, with `auth` as the driver takes it.

    A label's key is made unique by a constraint when it is first written, unless `constraints`
    is False. Statements are tried again by the driver, for `max_transaction_retry_time` seconds;
    that and other `driver_options` go to `AsyncGraphDatabase.driver`. Raises
    `neo4j.exceptions.Neo4jError` and `DriverError`.
    """

    identity = "elementId({})"

    def __init__(
        self,
        url: str,
        *,
        auth: Any = None,
        database: str | None = None,
        constraints: bool = True,
        **driver_options: Any,
    ) -> None:
        # Its notes are of labels that aren't there yet, which is no news.
        options = {"notifications_min_severity": "OFF", **driver_options}
        self._database = database
        self._drivers = Clients(lambda: AsyncGraphDatabase.driver(url, auth=auth, **options))
        self._constraints = constraints
        self._made: set[str] = set()

    async def _ask(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        again: bool,  # noqa: ARG002 - a transaction that may have been committed is not repeated
    ) -> list[Row]:
        driver = await self._drivers.here()
        answer = await driver.execute_query(
            cast("Query", cypher), dict(parameters), database_=self._database
        )
        return [_ours(dict(row)) for row in answer.records]

    async def _prepare(self, fact: Entity | Relation) -> None:
        if not self._constraints or not isinstance(fact, Entity):
            return
        names = ", ".join(f"n.{quoted(name)}" for name in sorted(fact.key))
        nodes = f"(n:{quoted(fact.label)})"
        statement = f"CREATE CONSTRAINT IF NOT EXISTS FOR {nodes} REQUIRE ({names}) IS UNIQUE"
        if statement not in self._made:
            await self._ask(statement, {}, again=True)
            self._made.add(statement)


def _ours(value: Any) -> Any:
    match value:
        case dict():
            return {key: _ours(each) for key, each in value.items()}
        case list():
            return [_ours(each) for each in value]
        case graph.Relationship():  # of a class for each type
            return _edge(value)
    read = _OURS.get(type(value))
    return value if read is None else read(value)


def _node(node: graph.Node) -> Node:
    return Node(node.element_id, tuple(sorted(node.labels)), _ours(dict(node)))


def _edge(edge: graph.Relationship) -> Edge:
    # An end that a row doesn't return has its id only, and is falsy.
    ends = (edge.start_node, edge.end_node)
    start, end = ("" if each is None else each.element_id for each in ends)
    return Edge(edge.element_id, edge.type, start, end, _ours(dict(edge)))


def _path(path: graph.Path) -> Path:
    return Path(tuple(map(_node, path.nodes)), tuple(map(_edge, path.relationships)))


def _point(point: Point) -> dict[str, Any]:
    return {"srid": point.srid, "coordinates": list(point)}


def _time(time: Date | DateTime | Duration | Time) -> str:
    return time.iso_format()


_OURS: dict[type, Callable[[Any], Any]] = {
    graph.Path: _path,
    graph.Node: _node,
    Date: _time,
    DateTime: _time,
    Duration: _time,
    Time: _time,
    CartesianPoint: _point,
    WGS84Point: _point,
}
