"""What all stores have in common: embedding, checking, batches, tries.

A vendor's store adds the few methods that speak with its server, and is asked only for what was
checked here: nobody sends it an empty batch, a filter without effect or a vector of wrong length.
"""

import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from duragraph_worker.batches import batches
from duragraph_worker.vectors.filters import ALL, NOTHING, Filter, FilterError, Where, parse
from duragraph_worker.vectors.store import (
    DimensionError,
    Document,
    Embeddings,
    Match,
    Metric,
    Vector,
)

if TYPE_CHECKING:
    from duragraph_worker.retrying import VendorRetries

T = TypeVar("T")
P = ParamSpec("P")


class Collection(ABC):
    """A `VectorStore`, but for how its server is spoken with.

    The collection is made when something is first written, for vectors of that length.
    """

    batch_size = 100
    """Documents or ids that its server is sent at once."""

    def __init__(
        self,
        name: str,
        *,
        embeddings: Embeddings | None,
        metric: Metric,
        retries: "VendorRetries | None" = None,
    ) -> None:
        self.name, self.metric = name, metric
        self._embeddings, self._retries = embeddings, retries
        self._dimension: int | None = None

    async def upsert(
        self, documents: Iterable[Document | str] | Document | str, *, namespace: str = ""
    ) -> list[str]:
        """See `VectorStore`. Raises DimensionError, and what the embeddings and server do."""
        given = [documents] if isinstance(documents, str | Document) else documents
        items = [Document(item) if isinstance(item, str) else item for item in given]
        # A server refuses two of one id at once; the last one counts.
        latest = {item.id: item for item in items}
        for batch in batches(list(latest.values()), self.batch_size):
            vectors = await self._embedded(batch)
            dimension = await self._known() or await self._begun(len(vectors[0]))
            for vector in vectors:
                self._check(vector, dimension)
            await self._asked(self._write, list(zip(batch, vectors, strict=True)), namespace)
        return [item.id for item in items]

    async def query(
        self, question: str | Vector, *, k: int = 4, where: Where | None = None, namespace: str = ""
    ) -> list[Match]:
        """See `VectorStore`. Raises DimensionError, FilterError."""
        if k < 1:
            raise ValueError(f"k is how many documents to find, at least 1, not {k}")
        condition = parse(where)
        dimension = await self._known()
        if condition == NOTHING or dimension is None:
            return []
        vector = await self._vector(question)
        self._check(vector, dimension)
        wanted = None if condition == ALL else condition
        return await self._asked(self._nearest, vector, k, wanted, namespace)

    async def get(self, ids: Iterable[str] | str, *, namespace: str = "") -> list[Document]:
        """See `VectorStore`. The documents have their vectors."""
        wanted = [ids] if isinstance(ids, str) else list(ids)
        if await self._known() is None:
            return []
        found: dict[str, Document] = {}
        for batch in batches(list(dict.fromkeys(wanted)), self.batch_size):
            read = await self._asked(self._read, batch, namespace)
            found |= {document.id: document for document in read}
        return [found[each] for each in wanted if each in found]

    async def delete(
        self,
        ids: Iterable[str] | str | None = None,
        *,
        where: Where | None = None,
        namespace: str = "",
    ) -> None:
        """See `VectorStore`. Raises FilterError where a filter would remove everything."""
        if (ids is None) is (where is None):
            raise TypeError("delete takes either ids or a filter")
        condition = parse(where)
        if where is not None and condition == ALL:
            raise FilterError(f"the filter {where!r} would delete all of {self.name!r}")
        if condition == NOTHING or await self._known() is None:
            return
        if ids is None:
            await self._asked(self._erase_where, condition, namespace)
            return
        unwanted = [ids] if isinstance(ids, str) else list(ids)
        for batch in batches(unwanted, self.batch_size):
            await self._asked(self._erase, batch, namespace)

    @abstractmethod
    async def _find(self) -> int | None:
        """The length of the collection's vectors; None if there is no collection yet."""

    @abstractmethod
    async def _create(self, dimension: int) -> None:
        """Make the collection; another may be doing so at the same time."""

    @abstractmethod
    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None: ...

    @abstractmethod
    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]: ...

    @abstractmethod
    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]: ...

    @abstractmethod
    async def _erase(self, ids: Sequence[str], namespace: str) -> None: ...

    @abstractmethod
    async def _erase_where(self, filter: Filter, namespace: str) -> None: ...

    async def _asked(self, ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._retries is None:
            return await ask(*args, **kwargs)
        return await self._retries.call(lambda: ask(*args, **kwargs))

    async def _known(self) -> int | None:
        """The length of its vectors, asked for until there is one."""
        if self._dimension is None:
            self._dimension = await self._asked(self._find)
        return self._dimension

    async def _begun(self, dimension: int) -> int:
        """The length of its vectors once it is there, by whomever."""
        await self._asked(self._create, dimension)
        return await self._known() or dimension

    def _check(self, vector: Vector, dimension: int) -> None:
        if len(vector) != dimension:
            raise DimensionError(
                f"{self.name!r} holds vectors of {dimension} numbers, this one has {len(vector)}: "
                "ask with the embeddings it was filled with, or fill another collection"
            )

    async def _vector(self, question: str | Vector) -> Vector:
        if not isinstance(question, str):
            return _numbers(question)
        return _numbers(await self._model().query(question))

    async def _embedded(self, items: Sequence[Document]) -> list[Vector]:
        bare = [item.text for item in items if item.vector is None]
        vectors = await self._model().documents(bare) if bare else []
        if len(vectors) != len(bare):
            raise DimensionError(f"{len(bare)} texts were embedded as {len(vectors)} vectors")
        made = iter(vectors)
        given = [next(made) if item.vector is None else item.vector for item in items]
        return [_numbers(vector) for vector in given]

    def _model(self) -> Embeddings:
        if self._embeddings is None:
            raise TypeError(
                f"{self.name!r} has no embeddings to make vectors of texts: give it "
                "`embeddings=`, or vectors"
            )
        return self._embeddings


def _numbers(vector: Vector) -> Vector:
    """The vector as a list: not every client takes arrays of numpy, say. Raises ValueError."""
    numbers = vector if isinstance(vector, list) else [float(number) for number in vector]
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError(f"a vector has finite numbers, at least one, not {numbers!r:.100}")
    return numbers


def point_id(namespace: str, document_id: str) -> str:
    """A document's id where a store takes UUIDs only, and one collection holds all namespaces."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{len(namespace)}:{namespace}{document_id}"))
