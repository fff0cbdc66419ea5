"""Neptune's wire as its data API of 2023-08-01 tells it, before a real engine of Cypher: Neo4j's.

What Neptune refuses is refused here: requests that aren't signed, lists in properties.
"""

import json
import re

from aiohttp import web

from duragraph_worker.knowledge.graph import Edge, Node, Path

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=the-id/\d{8}/eu-west-1/neptune-db/aws4_request, "
    r"SignedHeaders=[\w;-]*host[\w;-]*, Signature=[0-9a-f]{64}"
)
LABELS = re.compile(r"(?<!\w)id\(")


class FakeNeptune:
    def __init__(self):
        self.engine = None
        self.refusals: list[tuple[int, str]] = []
        self.asked: list[str] = []
        self.app = web.Application()
        self.app.router.add_post("/opencypher", self.answer)

    async def answer(self, request):
        if not SIGNED.fullmatch(request.headers.get("Authorization", "")):
            return refusal(403, "AccessDeniedException")
        said = await request.json()
        self.asked.append(said["query"])
        if self.refusals:
            return refusal(*self.refusals.pop(0))
        parameters = json.loads(said["parameters"])
        for row in parameters.get("rows", ()):
            if any(isinstance(value, list) for value in row.get("known", {}).values()):
                return refusal(400, "UnsupportedOperationException")
        rows = await self.engine.query(LABELS.sub("elementId(", said["query"]), parameters)
        return web.json_response({"results": [theirs(row) for row in rows]})


def refusal(status, code):
    body = {"code": code, "detailedMessage": f"told by {code}", "requestId": "1"}
    return web.json_response(body, status=status, headers={"x-amzn-ErrorType": code})


def theirs(value):
    match value:
        case Node(id, labels, known):
            return {
                "~id": id,
                "~entityType": "node",
                "~labels": list(labels),
                "~properties": known,
            }
        case Edge(id, kind, start, end, known):
            return {
                "~id": id,
                "~entityType": "relationship",
                "~start": start,
                "~end": end,
                "~type": kind,
                "~properties": known,
            }
        case Path(nodes, edges):
            turns = [each for pair in zip(nodes, edges, strict=False) for each in pair]
            return theirs([*turns, nodes[-1]])
        case dict():
            return {key: theirs(each) for key, each in value.items()}
        case list():
            return [theirs(each) for each in value]
    return value
