"""What a store of vectors does, and what goes in and comes out. Plain data, no vendor."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs
import msgspec

from duragraph_worker.vectors.filters import FilterError, Scalar, Where, kind

Vector: TypeAlias = Sequence[float]
Metric = Literal["cosine", "dot", "euclidean"]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class DocumentError(ValueError):
    """A document that not every store can hold."""


class DimensionError(ValueError):
    """Vectors of another length than the collection's: most often another embedding model's."""


def _of_content(document: "Document") -> str:
    content = msgspec.json.encode([document.text, document.metadata], order="deterministic")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@attrs.frozen
class Document:
    """A text and what is known of it.

    Keys of `metadata` are names of letters, digits and `_`; values are texts, numbers, booleans.
    Without an `id` it gets one of its text and metadata, so that writing it again changes nothing.
    Without a `vector` the store's embeddings make one of its text. Raises DocumentError for what
    not every store can hold.
    """

    text: str = ""
    metadata: Mapping[str, Scalar] = attrs.field(factory=dict, kw_only=True)
    id: str = attrs.field(default=attrs.Factory(_of_content, takes_self=True), kw_only=True)
    vector: Vector | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not self.id:
            raise DocumentError("a document's id is empty: leave it out, and it gets one")
        texts = (self.id, self.text, *self.metadata.values())
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise DocumentError(f"document {self.id!r} holds a NUL, which PostgreSQL can't keep")
        for key, value in self.metadata.items():
            if not _KEY.fullmatch(key):
                raise DocumentError(
                    f"document {self.id!r}: the key {key!r} of its metadata is no name: begin with "
                    "a letter, go on with letters, digits and _"
                )
            try:
                finite = kind(value) != "number" or math.isfinite(value)  # type: ignore[arg-type]
            except (FilterError, OverflowError) as error:
                raise DocumentError(f"document {self.id!r}: {key!r} is {error}") from None
            if not finite:
                raise DocumentError(f"document {self.id!r}: {key!r} is {value}, no finite number")


@attrs.frozen
class Match:
    """A document that was found. The higher its score, the nearer.

    The score is the cosine, the dot product, or minus the euclidean distance.
    """

    id: str
    text: str
    metadata: Mapping[str, Scalar]
    score: float

    def plain(self) -> dict[str, Any]:
        """As a state holds it."""
        return {
            "id": self.id,
            "text": self.text,
            "metadata": dict(self.metadata),
            "score": self.score,
        }


class VectorStore(Protocol):
    """One collection of documents. It serves any event loop, and many calls at once.

    Each namespace is a collection to itself.
    """

    async def upsert(
        self, documents: Iterable[Document | str] | Document | str, *, namespace: str = ""
    ) -> list[str]:
        """Write documents, over those of the same id; their ids, in order."""

    async def query(
        self, question: str | Vector, *, k: int = 4, where: Where | None = None, namespace: str = ""
    ) -> list[Match]:
        """The `k` documents nearest to a text or a vector that pass a filter, nearest first."""

    async def get(self, ids: Iterable[str] | str, *, namespace: str = "") -> list[Document]:
        """The documents of these ids in this order, without those that there aren't."""

    async def delete(
        self,
        ids: Iterable[str] | str | None = None,
        *,
        where: Where | None = None,
        namespace: str = "",
    ) -> None:
        """Remove the documents of these ids, or those that pass a filter."""


class Embeddings(Protocol):
    """Makes vectors of texts, all of one length. It serves any event loop."""

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text that is to be found."""

    async def query(self, text: str) -> Vector:
        """The vector of a text that is to find others."""
