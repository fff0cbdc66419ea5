"""Vectors without a model: for tests, examples, and where shared words are enough."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence

from duragraph_worker.vectors.store import Vector

_WORD = re.compile(r"\w+")


class Words:
    """`Embeddings` of the words themselves: texts are near that share words, whatever they mean.

    Each word is hashed to one of `dimension` places; the same texts have the same vectors
    everywhere.
    """

    def __init__(self, dimension: int = 512) -> None:
        self.dimension = dimension

    async def documents(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of length 1 for each text."""
        return [self._vector(text) for text in texts]

    async def query(self, text: str) -> Vector:
        """A vector of length 1."""
        return self._vector(text)

    def _vector(self, text: str) -> Vector:
        vector = [0.0] * self.dimension
        for word, times in Counter(_WORD.findall(text.lower()) or [text]).items():
            vector[self._place(word)] += 1 + math.log(times)
        length = math.hypot(*vector)
        return [number / length for number in vector]

    def _place(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) % self.dimension
