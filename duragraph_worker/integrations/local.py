"""Embeddings on this machine, through model2vec: no service, no GPU, tens of megabytes.

Its static models take a text's words one by one, thousands of texts a second.
"""

import asyncio
from collections.abc import Sequence
from functools import cached_property

from duragraph_worker.extras import needs
from duragraph_worker.vectors.store import Vector

with needs("local"):
    from model2vec import StaticModel


class LocalEmbeddings:
    """`Embeddings` of a model in a folder, or of one that the Hugging Face Hub has by that name.

    It is loaded when it is first asked. Raises LookupError where there is none.
    """

    def __init__(self, model: str = "minishlab/potion-retrieval-32M") -> None:
        self._name = model

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text."""
        return await asyncio.to_thread(self._embedded, texts)

    async def query(self, text: str) -> Vector:
        """The vector of a text."""
        return (await self.documents([text]))[0]

    @cached_property
    def _model(self) -> StaticModel:
        try:
            return StaticModel.from_pretrained(self._name)
        except (OSError, ValueError) as error:
            raise LookupError(
                f"there is no model {self._name!r}: give a folder that model2vec has saved, or a "
                "name of the Hugging Face Hub while that can be reached"
            ) from error

    def _embedded(self, texts: Sequence[str]) -> list[Vector]:
        vectors: list[Vector] = self._model.encode(list(texts)).tolist()
        return vectors
