"""Pinecone's wire as its documents of API version 2026-07 tell it: indexes, and their vectors.

One server is both planes: an index's host is a path of it. `refusals` are statuses that it answers
first. What its documents leave open it reads against us: `$ne` doesn't hold without the key.
"""

import math
from operator import mul

from aiohttp import web

OPERATORS = {
    "$eq": lambda a, b: type(a) is type(b) and a == b,
    "$ne": lambda a, b: a is not None and not OPERATORS["$eq"](a, b),
    "$gt": lambda a, b: type(a) is float and a > b,
    "$gte": lambda a, b: type(a) is float and a >= b,
    "$lt": lambda a, b: type(a) is float and a < b,
    "$lte": lambda a, b: type(a) is float and a <= b,
    "$in": lambda a, among: any(OPERATORS["$eq"](a, b) for b in among),
    "$nin": lambda a, among: a is not None and not OPERATORS["$in"](a, among),
    "$exists": lambda a, wanted: (a is not None) is wanted,
}
SCORES = {
    "cosine": lambda a, b: sum(map(mul, a, b)) / math.hypot(*a) / math.hypot(*b),
    "dotproduct": lambda a, b: sum(map(mul, a, b)),
    "euclidean": lambda a, b: -(math.dist(a, b) ** 2),
}
MOST_VECTORS = 1000


class FakePinecone:
    """`url` is set by who serves its `app`."""

    url = ""

    def __init__(self):
        self.indexes, self.vectors = {}, {}
        self.refusals = []
        self.asked = []
        self.app = web.Application(client_max_size=2 << 20, middlewares=[self._refuse])
        self.app.add_routes(
            [
                web.post("/indexes", self.create),
                web.get("/indexes/{index}", self.describe),
                web.post("/{index}/vectors/upsert", self.upsert),
                web.post("/{index}/vectors/delete", self.delete),
                web.get("/{index}/vectors/fetch", self.fetch),
                web.post("/{index}/query", self.query),
            ]
        )

    @web.middleware
    async def _refuse(self, request, handler):
        assert request.headers["X-Pinecone-Api-Version"] == "2026-07"
        assert request.headers["Api-Key"] == "the-key"
        self.asked.append(request.path)
        if self.refusals:
            status = self.refusals.pop(0)
            return web.json_response(told("later", status), status=status)
        return await handler(request)

    async def create(self, request):
        asked = await request.json()
        name = asked["name"]
        if name in self.indexes:
            return web.json_response(told("ALREADY_EXISTS", 409), status=409)
        self.vectors[name] = {}
        self.indexes[name] = {
            **asked,
            "status": {"ready": True, "state": "Ready"},
            "host": f"{self.url}/{name}",
            "deletion_protection": "disabled",
        }
        return web.json_response(self.indexes[name], status=201)

    async def describe(self, request):
        name = request.match_info["index"]
        if name not in self.indexes:
            return web.json_response(told("NOT_FOUND", 404), status=404)
        return web.json_response(self.indexes[name])

    async def upsert(self, request):
        asked = await request.json()
        given = asked["vectors"]
        assert len(given) <= MOST_VECTORS
        assert {len(each["values"]) for each in given} == {self._field(request)["dimension"]}
        assert all(each["id"].isascii() for each in given)
        self._kept(request, asked).update({each["id"]: stored(each) for each in given})
        return web.json_response({"upsertedCount": len(given)})

    async def delete(self, request):
        asked = await request.json()
        kept = self._kept(request, asked)
        wanted = asked.get("ids")
        if wanted is None:
            wanted = [key for key, each in kept.items() if holds(asked["filter"], each["metadata"])]
        for key in wanted:
            kept.pop(key, None)
        return web.json_response({})

    async def fetch(self, request):
        kept = self._kept(request, request.query)
        found = {key: kept[key] for key in request.query.getall("ids") if key in kept}
        return web.json_response(
            {"vectors": found, "namespace": request.query.get("namespace", "")}
        )

    async def query(self, request):
        asked = await request.json()
        metric = self._field(request)["metric"]
        scored = [
            {**each, "score": SCORES[metric](asked["vector"], each["values"])}
            for each in self._kept(request, asked).values()
            if holds(asked.get("filter") or {}, each["metadata"])
        ]
        best = sorted(scored, key=lambda each: -each["score"])[: asked["topK"]]
        for each in best:
            each["score"] = abs(each["score"]) if metric == "euclidean" else each["score"]
            each["values"] = []
        return web.json_response({"matches": best, "namespace": asked.get("namespace", "")})

    def _field(self, request):
        return self.indexes[request.match_info["index"]]["schema"]["fields"]["_values"]

    def _kept(self, request, asked):
        namespaces = self.vectors[request.match_info["index"]]
        return namespaces.setdefault(asked.get("namespace", ""), {})


def told(message, status):
    return {"error": {"code": message, "message": message}, "status": status}


def stored(vector):
    """All numbers of metadata are floats; a key without a value isn't kept."""
    numbers = {
        key: float(value) if type(value) is int else value
        for key, value in vector.get("metadata", {}).items()
    }
    return {**vector, "metadata": numbers}


def holds(filter, metadata):
    for key, wanted in filter.items():
        if key == "$and":
            passed = all(holds(part, metadata) for part in wanted)
        elif key == "$or":
            passed = any(holds(part, metadata) for part in wanted)
        else:
            ((operator, value),) = wanted.items()
            passed = OPERATORS[operator](metadata.get(key), as_stored(value))
        if not passed:
            return False
    return True


def as_stored(value):
    if isinstance(value, list):
        return [as_stored(each) for each in value]
    return float(value) if type(value) is int else value
