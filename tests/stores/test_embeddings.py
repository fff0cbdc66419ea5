"""Embeddings through the vendors' own SDKs against their wires, and the local ones."""

import asyncio
import base64
import struct

import numpy as np
import pytest
from aiohttp import web
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from duragraph_worker.integrations import ollama
from duragraph_worker.integrations.cohere import CohereEmbeddings
from duragraph_worker.integrations.local import LocalEmbeddings
from duragraph_worker.integrations.ollama import OllamaEmbeddings
from duragraph_worker.integrations.openai import OpenAIEmbeddings
from duragraph_worker.vectors.embeddings import Words
from duragraph_worker.vectors.memory import InMemory

VENDORS = {
    "openai": lambda url, **options: OpenAIEmbeddings(
        "the-model", base_url=f"{url}v1", api_key="secret", **options
    ),
    "cohere": lambda url, **options: CohereEmbeddings(
        "the-model", base_url=url, api_key="secret", **options
    ),
    "ollama": lambda url, **options: OllamaEmbeddings("the-model", host=url, **options),
}


@pytest.fixture(params=VENDORS)
def vendor(request):
    return request.param


class Fake:
    """All three wires. The vector of a text is its length and 1."""

    def __init__(self):
        self.asked, self.refusals = [], []
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.app = web.Application()
        self.app.router.add_post("/v1/embeddings", self.openai)
        self.app.router.add_post("/v2/embed", self.cohere)
        self.app.router.add_post("/api/embed", self.ollama)

    async def openai(self, request):
        asked = await self._heard(request)
        vectors = self._vectors(asked["input"])
        if asked.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack("<2f", *each)).decode() for each in vectors]
        data = [
            {"object": "embedding", "index": index, "embedding": each}
            for index, each in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        # OpenAI says by index which is whose.
        body = {"object": "list", "data": data[::-1], "model": asked["model"], "usage": usage}
        return web.json_response(body)

    async def cohere(self, request):
        asked = await self._heard(request)
        vectors = {"float": self._vectors(asked["texts"])}
        return web.json_response({"id": "1", "texts": asked["texts"], "embeddings": vectors})

    async def ollama(self, request):
        asked = await self._heard(request)
        return web.json_response(
            {"model": asked["model"], "embeddings": self._vectors(asked["input"])}
        )

    async def _heard(self, request):
        asked = await request.json()
        self.asked.append(asked)
        await self.speaks.wait()
        if self.refusals:
            refusal = {429: web.HTTPTooManyRequests, 500: web.HTTPInternalServerError}
            raise refusal[self.refusals.pop(0)](headers={"Retry-After": "0"})
        assert asked["model"] == "the-model"
        return asked

    def _vectors(self, texts):
        return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture
async def fake(aiohttp_server):
    fake = Fake()
    fake.url = str((await aiohttp_server(fake.app)).make_url("/"))
    return fake


@pytest.fixture
def embeddings(fake, vendor):
    return VENDORS[vendor](fake.url)


async def test_a_vector_for_each_text_in_order(embeddings):
    vectors = await embeddings.documents(["a", "bcd", "ef"])
    assert [list(each) for each in vectors] == [[1, 1], [3, 1], [2, 1]]
    assert list(await embeddings.query("four")) == [4, 1]
    assert await embeddings.documents([]) == []


async def test_many_texts_are_asked_for_in_batches(embeddings, fake):
    many = ["x" * (n % 7) + "y" for n in range(600)]
    vectors = await embeddings.documents(many)
    assert [each[0] for each in vectors] == [len(text) for text in many]
    assert 1 < len(fake.asked) < 20


async def test_what_is_refused_in_passing_is_asked_again(embeddings, fake):
    fake.refusals = [429, 500]
    assert list(await embeddings.query("four")) == [4, 1]
    assert len(fake.asked) == 3


async def test_tries_run_out(fake, vendor):
    fake.refusals = [500, 500]
    with pytest.raises(Exception, match="500") as raised:
        await VENDORS[vendor](fake.url, max_retries=1).query("four")
    assert type(raised.value).__module__.split(".")[0] == vendor
    assert len(fake.asked) == 2


@pytest.mark.timeout(30)
async def test_a_server_of_ollama_s_that_says_nothing_is_given_up(fake, monkeypatch):
    monkeypatch.setattr(ollama, "SILENCE", 0.05)
    fake.speaks.clear()
    try:
        with pytest.raises(TimeoutError):
            await VENDORS["ollama"](fake.url, max_retries=0).query("x")
    finally:
        fake.speaks.set()
    assert len(fake.asked) == 1


@pytest.mark.parametrize("vendor", ["openai", "cohere"], indirect=True)
async def test_vectors_may_be_shorter(fake, vendor):
    await VENDORS[vendor](fake.url, dimensions=256).query("x")
    asked = fake.asked[0]
    assert (asked.get("dimensions") or asked["output_dimension"]) == 256


@pytest.mark.parametrize("vendor", ["cohere"], indirect=True)
async def test_cohere_is_told_what_for(embeddings, fake):
    await embeddings.documents(["x"])
    await embeddings.query("x")
    assert [asked["input_type"] for asked in fake.asked] == ["search_document", "search_query"]


@pytest.fixture
def model(tmp_path):
    """A small model of its own kind in a folder, as one from the hub would be."""
    words = {"[UNK]": 0, "bicycle": 1, "wheel": 2, "shop": 3, "closes": 4}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.array([[0, 0], [1, 0.1], [1, 0.2], [0.1, 1], [0, 1]], dtype="float32")
    StaticModel(vectors, tokenizer).save_pretrained(tmp_path)
    return str(tmp_path)


async def test_local(model):
    store = InMemory(embeddings=LocalEmbeddings(model))
    await store.upsert(["bicycle", "shop closes"])
    assert [each.text for each in await store.query("wheel")] == ["bicycle", "shop closes"]


async def test_a_local_model_that_is_not_there(tmp_path):
    with pytest.raises(LookupError, match="elsewhere"):
        await LocalEmbeddings(str(tmp_path / "elsewhere")).query("x")


async def test_words():
    first, again = await asyncio.gather(Words().query("The shop"), Words().query("the SHOP!"))
    assert first == again
    assert len(await Words(64).query("")) == 64
