"""Documents in Chroma: in a folder, on a server, or in this process, through its own client.

That client's calls block; they are made in threads, and one client serves every event loop.
"""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Literal, TypeVar

from duragraph_worker.extras import needs
from duragraph_worker.vectors.collection import Collection, point_id
from duragraph_worker.vectors.filters import Among, Compare, Every, Filter, Scalar
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector

with needs("chroma"):
    import chromadb
    import httpx
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import (
        CreateCollectionConfiguration,
        CreateHNSWConfiguration,
    )
    from chromadb.config import Settings
    from chromadb.errors import InternalError, NotFoundError, RateLimitError

    from duragraph_worker.retrying import VendorRetries

T = TypeVar("T")

_SPACES: dict[Metric, Literal["cosine", "ip", "l2"]] = {
    "cosine": "cosine",
    "dot": "ip",
    "euclidean": "l2",
}
_LOST = (httpx.TransportError, RateLimitError, InternalError)
_opening = Lock()
"""Clients of one folder share what the first of them makes, and Chroma doesn't guard that."""


class Chroma(Collection):
    """A `VectorStore` in the folder `path`, on the server at `host`, else in this process.

    `client_options` go to `chromadb.HttpClient`: port, ssl, headers. Raises `ChromaError`, and
    `httpx.HTTPError` where the server can't be reached.
    """

    def __init__(
        self,
        name: str,
        *,
        path: str | None = None,
        host: str | None = None,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
        max_retries: int = 2,
        **client_options: Any,
    ) -> None:
        again = VendorRetries(max_retries, lost=_LOST)
        super().__init__(name, embeddings=embeddings, metric=metric, retries=again)
        self._path, self._host, self._options = path, host, client_options
        self._opened: ClientAPI | None = None

    @property
    def _client(self) -> ClientAPI:
        with _opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> ClientAPI:
        quiet = Settings(anonymized_telemetry=False)
        if self._host is not None:
            return chromadb.HttpClient(self._host, settings=quiet, **self._options)
        if self._path is not None:
            return chromadb.PersistentClient(self._path, settings=quiet)
        return chromadb.EphemeralClient(settings=quiet)

    async def _find(self) -> int | None:
        def find() -> int | None:
            try:
                collection = self._client.get_collection(self.name, embedding_function=None)
            except NotFoundError:
                return None
            return int((collection.metadata or {})["dimension"])

        return await asyncio.to_thread(find)

    async def _create(self, dimension: int) -> None:
        def create() -> None:
            self._client.get_or_create_collection(
                self.name,
                configuration=CreateCollectionConfiguration(
                    hnsw=CreateHNSWConfiguration(space=_SPACES[self.metric])
                ),
                metadata={"dimension": dimension},
                embedding_function=None,
            )

        await asyncio.to_thread(create)

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        points = [point_id(namespace, item.id) for item, _ in items]

        def write(collection: Any) -> None:
            # An upsert leaves the keys that it doesn't name, and None removes one.
            kept = collection.get(points, include=["metadatas"])
            gone = {
                point: dict.fromkeys(fields)
                for point, fields in zip(kept["ids"], kept["metadatas"], strict=True)
            }
            own = [{**item.metadata, "_namespace": namespace, "_id": item.id} for item, _ in items]
            collection.upsert(
                ids=points,
                embeddings=[list(vector) for _, vector in items],
                documents=[item.text for item, _ in items],
                metadatas=[
                    {**gone.get(point, {}), **fields}
                    for point, fields in zip(points, own, strict=True)
                ],
            )

        await self._on(write)

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        found = await self._on(
            lambda collection: collection.query(
                query_embeddings=[list(vector)], n_results=k, where=_within(namespace, filter)
            )
        )
        columns = (found["documents"], found["metadatas"], found["distances"])
        return [
            Match(fields.pop("_id"), text, _own(fields), self._score(away))
            for text, fields, away in zip(*(column[0] for column in columns), strict=True)
        ]

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        points = [point_id(namespace, each) for each in ids]
        found = await self._on(
            lambda collection: collection.get(
                points, include=["documents", "metadatas", "embeddings"]
            )
        )
        columns = (found["documents"], found["metadatas"], found["embeddings"])
        return [
            Document(
                text, metadata=_own(fields), id=fields["_id"], vector=[float(x) for x in vector]
            )
            for text, fields, vector in zip(*columns, strict=True)
        ]

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        points = [point_id(namespace, each) for each in ids]
        await self._on(lambda collection: collection.delete(points))

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        await self._on(lambda collection: collection.delete(where=_within(namespace, filter)))

    async def _on(self, call: Callable[[Any], T]) -> T:
        """What a call of the collection comes to."""

        def run() -> T:
            return call(self._client.get_collection(self.name, embedding_function=None))

        return await asyncio.to_thread(run)

    def _score(self, away: float) -> float:
        return -(away**0.5) if self.metric == "euclidean" else 1 - away


def _own(fields: dict[str, Any]) -> dict[str, Scalar]:
    return {key: value for key, value in fields.items() if not key.startswith("_")}


def _within(namespace: str, filter: Filter | None) -> dict[str, Any]:
    own = {"_namespace": {"$eq": namespace}}
    return own if filter is None else {"$and": [own, _condition(filter)]}


def _condition(filter: Filter) -> dict[str, Any]:
    match filter:
        case Compare(key, operator, value):
            return {key: {operator: value}}
        case Among(key, values, negated):
            # Chroma wants them of one type, and 3 and 3.0 are equal to it.
            mixed = len({type(value) for value in values}) > 1
            return {
                key: {"$nin" if negated else "$in": [*map(float, values)] if mixed else [*values]}
            }
        case _:
            parts = [_condition(part) for part in filter.parts]
            return {"$and" if isinstance(filter, Every) else "$or": parts}
