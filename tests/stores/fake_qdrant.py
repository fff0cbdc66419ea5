"""Qdrant's REST wire, as its client of 1.20 speaks it, before its own local engine.

`refusals` are statuses that it answers first.
"""

from aiohttp import web
from qdrant_client import QdrantClient, models


class FakeQdrant:
    """`url` is set by who serves its `app`."""

    url = ""

    def __init__(self):
        self.engine = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.refusals, self.asked, self.indexed = [], [], []
        self.app = web.Application(middlewares=[self._refuse])
        one = "/collections/{name}"
        self.app.add_routes(
            [
                web.get("/", self.version),
                web.get(f"{one}/exists", self.exists),
                web.get(one, self.describe),
                web.put(one, self.create),
                web.put(f"{one}/index", self.index),
                web.put(f"{one}/points", self.upsert),
                web.post(f"{one}/points", self.retrieve),
                web.post(f"{one}/points/query", self.query),
                web.post(f"{one}/points/delete", self.delete),
            ]
        )

    @web.middleware
    async def _refuse(self, request, handler):
        self.asked.append((request.method, request.path))
        if self.refusals and request.path != "/":
            status = self.refusals.pop(0)
            return web.json_response({"status": {"error": "later"}}, status=status)
        result = await handler(request, request.match_info.get("name"))
        if isinstance(result, web.Response):
            return result
        return web.json_response({"result": result, "status": "ok", "time": 0.001})

    async def version(self, request, name):
        return web.json_response({"title": "qdrant", "version": "1.20.0"})

    async def exists(self, request, name):
        return {"exists": self.engine.collection_exists(name)}

    async def describe(self, request, name):
        return plain(self.engine.get_collection(name))

    async def create(self, request, name):
        if self.engine.collection_exists(name):
            return web.json_response({"status": {"error": "already exists"}}, status=409)
        wanted = models.CreateCollection.model_validate(await request.json())
        return self.engine.create_collection(name, wanted.vectors)

    async def index(self, request, name):
        self.indexed.append(await request.json())
        return done()

    async def upsert(self, request, name):
        given = models.PointsList.model_validate(await request.json())
        self.engine.upsert(name, given.points)
        return done()

    async def retrieve(self, request, name):
        wanted = models.PointRequest.model_validate(await request.json())
        found = self.engine.retrieve(name, wanted.ids, with_vectors=bool(wanted.with_vector))
        return [plain(each) for each in found]

    async def query(self, request, name):
        wanted = models.QueryRequest.model_validate(await request.json())
        return plain(
            self.engine.query_points(
                name, wanted.query, query_filter=wanted.filter, limit=wanted.limit
            )
        )

    async def delete(self, request, name):
        asked = await request.json()
        kind = models.PointIdsList if "points" in asked else models.FilterSelector
        self.engine.delete(name, kind.model_validate(asked))
        return done()


def plain(answer):
    return answer.model_dump(mode="json", exclude_none=True)


def done():
    return {"operation_id": 1, "status": "completed"}
