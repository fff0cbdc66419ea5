"""A knowledge graph in Amazon Neptune, in openCypher through AWS's own client."""

import asyncio
from collections.abc import Mapping
from typing import Any

from duragraph_worker.extras import needs
from duragraph_worker.knowledge.cypher import CypherGraph
from duragraph_worker.knowledge.graph import Edge, Node, Path, Row
from duragraph_worker.serialize import encode

with needs("neptune"):
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.exceptions import (  # type: ignore[import-untyped]
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
    )

    from duragraph_worker.retrying import Refusal, VendorRetries

_UNREACHED = (EndpointConnectionError, ConnectTimeoutError)
_UNDONE = frozenset({"ConcurrentModificationException", "TooManyRequestsException"})
"""Refusals after which nothing of the statement has happened."""
_FINAL = frozenset(
    {
        "CancelledByUserException",
        "FailureByQueryException",
        "MemoryLimitExceededException",
        "QueryLimitExceededException",
        "TimeLimitExceededException",
    }
)
"""Failures of the server, by their status, that would come again."""


class Neptune(CypherGraph):
    """A `KnowledgeGraph` in the cluster at `url`, like `https://….neptune.amazonaws.com:8182`.

    Requests are signed with the credentials that AWS's tools find; those, `region_name` and other
    `client_options` go to `boto3.client`. Neptune keeps no lists in properties. Raises
    `botocore.exceptions.ClientError`.
    """

    def __init__(self, url: str, *, max_retries: int = 2, **client_options: Any) -> None:
        # Tried again here, where it is known which statements may be.
        config = Config(retries={"total_max_attempts": 1}).merge(
            client_options.pop("config", Config())
        )
        self._client = boto3.client(
            "neptunedata", endpoint_url=url, config=config, **client_options
        )
        self._again = VendorRetries(
            max_retries, lost=(*_UNREACHED, HTTPClientError), refusal=_refusal
        )
        self._once = VendorRetries(max_retries, lost=_UNREACHED, refusal=_undone)

    async def _ask(self, cypher: str, parameters: Mapping[str, Any], *, again: bool) -> list[Row]:
        given = {"openCypherQuery": cypher, "parameters": encode(parameters).decode()}

        async def ask() -> list[Row]:
            answer = await asyncio.to_thread(self._client.execute_open_cypher_query, **given)
            return [{key: _ours(value) for key, value in row.items()} for row in answer["results"]]

        return await (self._again if again else self._once).call(ask)


def _ours(value: Any) -> Any:
    match value:
        case {"~entityType": "node"}:
            return Node(value["~id"], tuple(value["~labels"]), value["~properties"])
        case {"~entityType": "relationship"}:
            return Edge(
                value["~id"], value["~type"], value["~start"], value["~end"], value["~properties"]
            )
        case dict():
            return {key: _ours(each) for key, each in value.items()}
        case list():
            return _way([_ours(each) for each in value])
    return value


def _way(values: list[Any]) -> Path | list[Any]:
    """Neptune tells a path as a list of its nodes and edges, in turn."""
    nodes, edges = values[::2], values[1::2]
    if not edges or len(nodes) != len(edges) + 1:
        return values
    if not all(isinstance(n, Node) for n in nodes) or not all(isinstance(e, Edge) for e in edges):
        return values
    return Path(tuple(nodes), tuple(edges))


def _undone(error: Exception) -> Refusal | None:
    if not isinstance(error, ClientError) or error.response["Error"]["Code"] not in _UNDONE:
        return None
    return _refusal(error)


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, ClientError) or error.response["Error"]["Code"] in _FINAL:
        return None
    said = error.response["ResponseMetadata"]
    return Refusal(said["HTTPStatusCode"], said["HTTPHeaders"])
