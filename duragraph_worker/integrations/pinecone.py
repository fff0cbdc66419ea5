"""Documents in Pinecone, through its own client, which tries again by itself.

An index is made serverless. Pinecone tells what was written a moment later.
"""

import string
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from duragraph_worker.clients import Clients, Closing
from duragraph_worker.extras import needs
from duragraph_worker.vectors.collection import Collection
from duragraph_worker.vectors.filters import Among, Compare, Every, Filter, Scalar
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector

with needs("pinecone"):
    from pinecone import AsyncIndex, AsyncPinecone, ConflictError, NotFoundError, RetryConfig
    from pinecone.models.indexes.schema import DenseVectorField

_METRICS = {"cosine": "cosine", "dot": "dotproduct", "euclidean": "euclidean"}
_FIELD = "_values"
"""What Pinecone calls the vectors that are written without the name of a field."""
_TEXT = "_text"
_PLAIN = " " + string.punctuation.replace("%", "")


class Pinecone(Collection):
    """A `VectorStore`. `client_options` go to `AsyncPinecone`: api_key, host, retry_config.

    Raises `pinecone.PineconeError`. A namespace of no name is Pinecone's default one.
    """

    def __init__(
        self,
        name: str,
        *,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
        cloud: str = "aws",
        region: str = "us-east-1",
        max_retries: int = 2,
        **client_options: Any,
    ) -> None:
        super().__init__(name, embeddings=embeddings, metric=metric)
        self._deployment = {"deployment_type": "managed", "cloud": cloud, "region": region}
        options = {"retry_config": RetryConfig(max_retries=max_retries), **client_options}
        self._clients = Clients(lambda: AsyncPinecone(**options))
        self._indexes = Clients(lambda: Closing(self._open))

    async def _find(self) -> int | None:
        client = await self._clients.here()
        try:
            index = await client.indexes.describe(self.name)
        except NotFoundError:
            return None
        field = index.schema.fields.get(_FIELD)
        if not isinstance(field, DenseVectorField):
            raise TypeError(f"Pinecone's index {self.name!r} has no vectors of the vectors API")
        return field.dimension

    async def _create(self, dimension: int) -> None:
        client = await self._clients.here()
        field = {
            "type": "dense_vector",
            "dimension": dimension,
            "metric": _METRICS[self.metric],
        }
        try:
            await client.indexes.create(
                name=self.name, schema={"fields": {_FIELD: field}}, deployment=self._deployment
            )
        except ConflictError:
            return

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        index = await self._indexes.here()
        await index.upsert(
            vectors=[
                {
                    "id": _ascii(item.id),
                    "values": list(vector),
                    "metadata": {**item.metadata, _TEXT: item.text},
                }
                for item, vector in items
            ],
            namespace=_ascii(namespace),
        )

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        index = await self._indexes.here()
        found = await index.query(
            top_k=k,
            vector=list(vector),
            namespace=_ascii(namespace),
            filter=None if filter is None else _condition(filter),
            include_metadata=True,
        )
        return [
            Match(unquote(each.id), *_known(each.metadata or {}), self._score(each.score))
            for each in found.matches
        ]

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        index = await self._indexes.here()
        found = await index.fetch(ids=[*map(_ascii, ids)], namespace=_ascii(namespace))
        documents = []
        for key, each in found.vectors.items():
            text, metadata = _known(each.metadata or {})
            documents.append(Document(text, metadata=metadata, id=unquote(key), vector=each.values))
        return documents

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        index = await self._indexes.here()
        await index.delete(ids=[*map(_ascii, ids)], namespace=_ascii(namespace))

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        index = await self._indexes.here()
        await index.delete(filter=_condition(filter), namespace=_ascii(namespace))

    async def _open(self) -> AsyncIndex:
        client = await self._clients.here()
        return await client.index(self.name)

    def _score(self, score: float) -> float:
        # Its euclidean score is the square of the distance.
        return -(score**0.5) if self.metric == "euclidean" else score


def _known(metadata: Mapping[str, Any]) -> tuple[str, dict[str, Scalar]]:
    """The text and the metadata. Pinecone keeps all numbers as floats."""
    known = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in metadata.items()
    }
    return str(known.pop(_TEXT, "")), known


def _condition(filter: Filter) -> dict[str, Any]:
    match filter:
        case Compare(key, "$ne", value):
            return _or_missing(key, {"$ne": value})
        case Compare(key, operator, value):
            return {key: {operator: value}}
        case Among(key, values, True):
            return _or_missing(key, {"$nin": list(values)})
        case Among(key, values):
            return {key: {"$in": list(values)}}
        case _:
            parts = [_condition(part) for part in filter.parts]
            return {"$and" if isinstance(filter, Every) else "$or": parts}


def _or_missing(key: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {"$or": [{key: condition}, {key: {"$exists": False}}]}


def _ascii(name: str) -> str:
    """Ids and namespaces are of ASCII characters."""
    return quote(name, safe=_PLAIN)
