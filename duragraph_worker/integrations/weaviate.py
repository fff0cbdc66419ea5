"""Documents in Weaviate 1.33 or newer, through its own client.

A key of metadata becomes a property for each kind of its values: `text_lang`, `number_year`.
Properties are made before documents that have them; Weaviate would split texts into words.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from duragraph_worker.clients import Clients
from duragraph_worker.extras import needs
from duragraph_worker.vectors.collection import Collection, point_id
from duragraph_worker.vectors.filters import (
    ALL,
    NOTHING,
    Among,
    Compare,
    Every,
    Filter,
    Kind,
    Some,
    every,
    kind,
    some,
)
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector

with needs("weaviate"):
    from weaviate import WeaviateAsyncClient
    from weaviate.auth import Auth
    from weaviate.classes.config import (
        Configure,
        DataType,
        Property,
        Tokenization,
        VectorDistances,
    )
    from weaviate.classes.data import DataObject
    from weaviate.classes.query import Filter as By
    from weaviate.classes.query import MetadataQuery
    from weaviate.collections import CollectionAsync
    from weaviate.collections.classes.filters import _Filters
    from weaviate.connect import ConnectionParams
    from weaviate.exceptions import (
        UnexpectedStatusCodeError,
        WeaviateBatchError,
        WeaviateConnectionError,
        WeaviateTimeoutError,
    )

    from duragraph_worker.retrying import Refusal, VendorRetries

_DISTANCES = {
    "cosine": VectorDistances.COSINE,
    "dot": VectorDistances.DOT,
    "euclidean": VectorDistances.L2_SQUARED,
}
_TYPES: dict[Kind, DataType] = {
    "text": DataType.TEXT,
    "number": DataType.NUMBER,
    "boolean": DataType.BOOL,
}
_DIMENSION = "Vectors of "
_UNPROCESSABLE = 422
_GRPC_PORT = 50051


class Weaviate(Collection):
    """A `VectorStore` on the server at `url`.

    `grpc_url` is needed where that is another host or port than 50051 of the same.
    `client_options` go to `WeaviateAsyncClient`. Raises `weaviate.exceptions.WeaviateBaseError`.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str = "http://localhost:8080",
        grpc_url: str | None = None,
        api_key: str | None = None,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
        max_retries: int = 2,
        **client_options: Any,
    ) -> None:
        lost = (WeaviateConnectionError, WeaviateTimeoutError)
        again = VendorRetries(max_retries, lost=lost, refusal=_refusal)
        # Names of collections begin with a capital there.
        super().__init__(
            name[:1].upper() + name[1:], embeddings=embeddings, metric=metric, retries=again
        )
        options = {
            "connection_params": _addresses(url, grpc_url),
            "auth_client_secret": Auth.api_key(api_key) if api_key else None,
            **client_options,
        }
        self._clients = Clients(lambda: WeaviateAsyncClient(**options))
        self._properties: set[str] = set()

    async def _here(self) -> CollectionAsync[Any, Any]:
        return (await self._clients.here()).collections.get(self.name)

    async def _find(self) -> int | None:
        collection = await self._here()
        if not await collection.exists():
            return None
        said = (await collection.config.get(simple=True)).description or ""
        return int(said.removeprefix(_DIMENSION).partition(" ")[0])

    async def _create(self, dimension: int) -> None:
        client = await self._clients.here()
        try:
            await client.collections.create(
                self.name,
                description=f"{_DIMENSION}{dimension} numbers",
                properties=[
                    _property("namespace", DataType.TEXT),
                    _property("key", DataType.TEXT),
                    Property(name="text", data_type=DataType.TEXT),
                    Property(
                        name="metadata",
                        data_type=DataType.TEXT,
                        index_filterable=False,
                        index_searchable=False,
                    ),
                ],
                vector_config=Configure.Vectors.self_provided(
                    vector_index_config=Configure.VectorIndex.hnsw(
                        distance_metric=_DISTANCES[self.metric]
                    )
                ),
            )
        except UnexpectedStatusCodeError as error:
            if error.status_code != _UNPROCESSABLE or "already exists" not in str(error):
                raise

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        found = ((key, kind(value)) for item, _ in items for key, value in item.metadata.items())
        await self._declare(dict.fromkeys(found))
        collection = await self._here()
        written = await collection.data.insert_many(
            [
                DataObject(
                    uuid=point_id(namespace, item.id),
                    vector=list(vector),
                    properties={
                        "namespace": namespace,
                        "key": item.id,
                        "text": item.text,
                        "metadata": msgspec.json.encode(item.metadata).decode(),
                        **{_named(key, kind(value)): value for key, value in item.metadata.items()},
                    },
                )
                for item, vector in items
            ]
        )
        for failed in written.errors.values():
            raise WeaviateBatchError(failed.message)

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        passing = await self._settled(filter or ALL)
        if passing == NOTHING:
            return []
        collection = await self._here()
        found = await collection.query.near_vector(
            list(vector),
            limit=k,
            filters=_within(namespace, passing),
            return_metadata=MetadataQuery(distance=True),
        )
        return [
            Match(
                str(each.properties["key"]),
                str(each.properties["text"]),
                msgspec.json.decode(str(each.properties["metadata"])),
                self._score(each.metadata.distance or 0.0),
            )
            for each in found.objects
        ]

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        collection = await self._here()
        found = await collection.query.fetch_objects_by_ids(
            [point_id(namespace, each) for each in ids], limit=len(ids), include_vector=True
        )
        return [
            Document(
                str(each.properties["text"]),
                metadata=msgspec.json.decode(str(each.properties["metadata"])),
                id=str(each.properties["key"]),
                vector=each.vector["default"],  # type: ignore[arg-type] # one, without a name
            )
            for each in found.objects
        ]

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        collection = await self._here()
        points = [UUID(point_id(namespace, each)) for each in ids]
        await collection.data.delete_many(By.by_id().contains_any(points))

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        passing = await self._settled(filter)
        if passing == NOTHING:
            return
        collection = await self._here()
        found = 1
        # A server deletes so many at once, 10,000 unless it is told otherwise.
        while found:
            gone = await collection.data.delete_many(_within(namespace, passing))
            if gone.failed:
                raise WeaviateBatchError(f"{gone.failed} documents were not deleted")
            found = gone.successful

    async def _declare(self, wanted: Iterable[tuple[str, Kind]]) -> None:
        """Make the properties that there aren't yet."""
        for key, kind_ in wanted:
            if await self._declared(key, kind_):
                continue
            collection = await self._here()
            try:
                await collection.config.add_property(_property(_named(key, kind_), _TYPES[kind_]))
            except UnexpectedStatusCodeError as error:
                if error.status_code != _UNPROCESSABLE or "already" not in str(error):
                    raise
            self._properties.add(_named(key, kind_))

    async def _declared(self, key: str, kind_: Kind) -> bool:
        if _named(key, kind_) not in self._properties:
            collection = await self._here()
            known = (await collection.config.get(simple=True)).properties
            self._properties = {each.name for each in known}
        return _named(key, kind_) in self._properties

    async def _settled(self, filter: Filter) -> Filter:
        """The filter, decided where no document has such a key: it would be refused."""
        match filter:
            case Every(parts):
                return every([await self._settled(part) for part in parts])
            case Some(parts):
                return some([await self._settled(part) for part in parts])
            case Compare(key, operator, value):
                negated = operator == "$ne"
            case Among(key, (value, *_), negated):
                pass
        if await self._declared(key, kind(value)):
            return filter
        return ALL if negated else NOTHING

    def _score(self, distance: float) -> float:
        if self.metric == "euclidean":
            return -math.sqrt(distance)
        return 1 - distance if self.metric == "cosine" else -distance


def _addresses(url: str, grpc_url: str | None) -> ConnectionParams:
    http, grpc = urlsplit(url), urlsplit(grpc_url or url)
    secure = http.scheme == "https"
    return ConnectionParams.from_params(
        http_host=http.hostname or "localhost",
        http_port=http.port or (443 if secure else 80),
        http_secure=secure,
        grpc_host=grpc.hostname or "localhost",
        grpc_port=(grpc.port if grpc_url else None) or _GRPC_PORT,
        grpc_secure=grpc.scheme == "https",
    )


def _refusal(error: Exception) -> Refusal | None:
    if not isinstance(error, UnexpectedStatusCodeError):
        return None
    return Refusal(error.status_code, {})


def _named(key: str, kind_: Kind) -> str:
    return f"{kind_}_{key}"


def _property(name: str, data_type: DataType) -> Property:
    """One that is compared as a whole."""
    if data_type != DataType.TEXT:
        return Property(name=name, data_type=data_type)
    return Property(
        name=name, data_type=data_type, tokenization=Tokenization.FIELD, index_searchable=False
    )


def _within(namespace: str, filter: Filter) -> _Filters:
    own = By.by_property("namespace").equal(namespace)
    return own if filter == ALL else By.all_of([own, _condition(filter)])


_COMPARED: dict[str, Callable[[Any, Any], _Filters]] = {
    "$eq": lambda found, value: found.equal(value),
    "$ne": lambda found, value: By.not_(found.equal(value)),
    "$gt": lambda found, value: found.greater_than(value),
    "$gte": lambda found, value: found.greater_or_equal(value),
    "$lt": lambda found, value: found.less_than(value),
    "$lte": lambda found, value: found.less_or_equal(value),
}


def _condition(filter: Filter) -> _Filters:
    match filter:
        case Compare(key, operator, value):
            found = By.by_property(_named(key, kind(value)))
            return _COMPARED[operator](found, _sent(value))
        case Among(key, values, negated):
            among = By.by_property(_named(key, kind(values[0]))).contains_any(
                [_sent(value) for value in values]
            )
            return By.not_(among) if negated else among
        case _:
            parts = [_condition(part) for part in filter.parts]
            return By.all_of(parts) if isinstance(filter, Every) else By.any_of(parts)


def _sent(value: Any) -> Any:
    # Its numbers are floats, and a whole one would be sent as an integer.
    return float(value) if kind(value) == "number" else value
