"""A model of what texts mean that no one has to pay for."""

from string import ascii_lowercase

from langchain_core.embeddings import Embeddings


class Letters(Embeddings):
    """A text's vector says how often it has each letter; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def embed_documents(self, texts):
        self.asked += texts
        return [self.vector(text) for text in texts]

    def embed_query(self, text):
        return self.vector(text)

    @staticmethod
    def vector(text):
        return [float(text.lower().count(letter)) for letter in ascii_lowercase]
