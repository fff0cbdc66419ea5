"""A store in this process: for tests, and for what needn't outlive it."""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import mul

import attrs

from duragraph_worker.vectors.collection import Collection
from duragraph_worker.vectors.filters import Filter, holds
from duragraph_worker.vectors.store import Document, Embeddings, Match, Metric, Vector


class InMemory(Collection):
    """Every document is looked at: good for some thousands."""

    def __init__(
        self,
        name: str = "memory",
        *,
        embeddings: Embeddings | None = None,
        metric: Metric = "cosine",
    ) -> None:
        super().__init__(name, embeddings=embeddings, metric=metric)
        self._made: int | None = None
        self._namespaces: defaultdict[str, dict[str, Document]] = defaultdict(dict)

    async def _find(self) -> int | None:
        return self._made

    async def _create(self, dimension: int) -> None:
        self._made = dimension

    async def _write(self, items: Sequence[tuple[Document, Vector]], namespace: str) -> None:
        self._namespaces[namespace] |= {
            item.id: attrs.evolve(item, metadata=dict(item.metadata), vector=list(vector))
            for item, vector in items
        }

    async def _nearest(
        self, vector: Vector, k: int, filter: Filter | None, namespace: str
    ) -> list[Match]:
        score = _SCORES[self.metric]
        matches = (
            Match(each.id, each.text, each.metadata, score(vector, each.vector or ()))
            for each in self._namespaces[namespace].values()
            if filter is None or holds(filter, each.metadata)
        )
        return heapq.nlargest(k, matches, key=lambda match: match.score)

    async def _read(self, ids: Sequence[str], namespace: str) -> list[Document]:
        kept = self._namespaces[namespace]
        return [kept[each] for each in ids if each in kept]

    async def _erase(self, ids: Sequence[str], namespace: str) -> None:
        for each in ids:
            self._namespaces[namespace].pop(each, None)

    async def _erase_where(self, filter: Filter, namespace: str) -> None:
        kept = self._namespaces[namespace]
        unwanted = [key for key, each in kept.items() if holds(filter, each.metadata)]
        await self._erase(unwanted, namespace)


def _dot(a: Vector, b: Vector) -> float:
    return math.fsum(map(mul, a, b))


def _cosine(a: Vector, b: Vector) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return _dot(a, b) / lengths if lengths else 0.0


_SCORES: dict[Metric, Callable[[Vector, Vector], float]] = {
    "cosine": _cosine,
    "dot": _dot,
    "euclidean": lambda a, b: -math.dist(a, b),
}
