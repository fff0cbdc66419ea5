"""How a store's items are found by what they mean: which texts of a value, by whose model.

The vectors are made in the worker, where the model is; the plane keeps and compares them.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs
from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp, ensure_embeddings, get_text_at_path

Vector: TypeAlias = list[float]


def _plain(vector: Iterable[float]) -> Vector:
    """Models of one's own return NumPy's numbers."""
    return [float(each) for each in vector]


@attrs.frozen
class Index:
    embeddings: Embeddings
    fields: Sequence[str] = ("$",)
    """Of a put that names none."""

    @classmethod
    def of(cls, config: IndexConfig) -> "Index":
        """As LangGraph's stores are told. Raises ValueError for a model that can't be had."""
        return cls(ensure_embeddings(config.get("embed")), config.get("fields") or ("$",))

    async def query(self, text: str) -> Vector:
        return _plain(await self.embeddings.aembed_query(text))

    async def vectors(self, ops: Sequence[PutOp]) -> list[list[Vector] | None]:
        """Those of each put, None where nothing of it is to be found; each text embedded once."""
        texts = [self._texts(op) for op in ops]
        different = list(dict.fromkeys(text for each in texts for text in each))
        if not different:
            return [None] * len(ops)
        made = await self.embeddings.aembed_documents(different)
        known = dict(zip(different, map(_plain, made), strict=True))
        return [[known[text] for text in each] or None for each in texts]

    def _texts(self, op: PutOp) -> list[str]:
        if op.value is None or op.index is False:
            return []
        fields = self.fields if op.index is None else op.index
        return [text for field in fields for text in get_text_at_path(op.value, field)]
