"""Documents in Qdrant, through its own client.

One collection holds all namespaces, told apart by a field of the payload, as Qdrant advises.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from duragraph_worker.clients import Clients, Closing
from duragraph_worker.extras import needs
from duragraph_worker.vectors.collection import Collection, point_id
from duragraph_worker.vectors.filters import Among, Compare, Every, Filter, kind
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector

with needs("qdrant"):
    from qdrant_client import AsyncQdrantClient, models
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    from duragraph_worker.retrying import Refusal, VendorRetries

_DISTANCES = {
    "cosine": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euclidean": models.Distance.EUCLID,
}
_RANGES = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_CONFLICT = 409


class Qdrant(Collection):
    """A `VectorStore`. `client_options` go to `AsyncQdrantClient`: url, api_key, path, location.

    `location=":memory:"` and `path="./folder"` need no server. Raises `ApiException` of
    `qdrant_client.http.exceptions`.
    """

    def __init__(
        self,
        name: str,
        *,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
        max_retries: int = 2,
        **client_options: Any,
    ) -> None:
        again = VendorRetries(max_retries, lost=(ResponseHandlingException,), refusal=_refusal)
        super().__init__(name, embeddings=embeddings, metric=metric, retries=again)
        self._clients = Clients(lambda: Closing(partial(_open, client_options)))
        served = "path" not in client_options and client_options.get("location") != ":memory:"
        # Without a server the client is the database, whoever's loop it is.
        self._local = (
            None
            if served
            else AsyncQdrantClient(**{"force_disable_check_same_thread": True, **client_options})
        )

    async def _client(self) -> AsyncQdrantClient:
        return self._local or await self._clients.here()

    async def _find(self) -> int | None:
        client = await self._client()
        if not await client.collection_exists(self.name):
            return None
        vectors = (await client.get_collection(self.name)).config.params.vectors
        if not isinstance(vectors, models.VectorParams):
            raise TypeError(f"the vectors of Qdrant's collection {self.name!r} have names")
        return vectors.size

    async def _create(self, dimension: int) -> None:
        client = await self._client()
        vectors = models.VectorParams(size=dimension, distance=_DISTANCES[self.metric])
        try:
            await client.create_collection(self.name, vectors)
        except UnexpectedResponse as error:
            if error.status_code != _CONFLICT:
                raise
        if self._local is None:
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await client.create_payload_index(self.name, "namespace", tenant)

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        points = [
            models.PointStruct(
                id=point_id(namespace, item.id),
                vector=list(vector),
                payload={
                    "namespace": namespace,
                    "id": item.id,
                    "text": item.text,
                    "metadata": dict(item.metadata),
                },
            )
            for item, vector in items
        ]
        await (await self._client()).upsert(self.name, points)

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        client = await self._client()
        passing = _within(namespace, filter)
        found = await client.query_points(self.name, list(vector), query_filter=passing, limit=k)
        sign = -1 if self.metric == "euclidean" else 1
        return [
            Match(payload["id"], payload["text"], payload["metadata"], sign * point.score)
            for point in found.points
            if (payload := point.payload) is not None
        ]

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        client = await self._client()
        points = [point_id(namespace, each) for each in ids]
        return [
            Document(
                payload["text"],
                metadata=payload["metadata"],
                id=payload["id"],
                vector=record.vector,  # type: ignore[arg-type] # one, without a name
            )
            for record in await client.retrieve(self.name, points, with_vectors=True)
            if (payload := record.payload) is not None
        ]

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        points = models.PointIdsList(points=[point_id(namespace, each) for each in ids])
        await (await self._client()).delete(self.name, points)

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        selected = models.FilterSelector(filter=_within(namespace, filter))
        await (await self._client()).delete(self.name, selected)


async def _open(options: dict[str, Any]) -> AsyncQdrantClient:
    return AsyncQdrantClient(**options)


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, UnexpectedResponse) or error.status_code is None:
        return None
    return Refusal(error.status_code, {k.lower(): v for k, v in error.headers.items()})


def _within(namespace: str, filter: Filter | None) -> models.Filter:
    own = models.FieldCondition(key="namespace", match=models.MatchValue(value=namespace))
    return models.Filter(must=[own] if filter is None else [own, _condition(filter)])


def _condition(filter: Filter) -> models.Condition:
    match filter:
        case Compare(key, "$eq", value):
            return _equal(key, value)
        case Compare(key, "$ne", value):
            return models.Filter(must_not=[_equal(key, value)])
        case Compare(key, operator, value):
            limits = models.Range.model_validate({_RANGES[operator]: value})
            return models.FieldCondition(key=f"metadata.{key}", range=limits)
        case Among(key, values, negated):
            found: list[models.Condition] = [_equal(key, value) for value in values]
            return models.Filter(must_not=found) if negated else models.Filter(should=found)
        case _:
            parts = [_condition(part) for part in filter.parts]
            every = isinstance(filter, Every)
            return models.Filter(must=parts) if every else models.Filter(should=parts)


def _equal(key: str, value: Any) -> models.Condition:
    key = f"metadata.{key}"
    if kind(value) == "number":
        # A match is of whole numbers only.
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
