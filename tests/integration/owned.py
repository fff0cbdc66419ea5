"""A project whose rows belong to users: its graph, its auth handlers, workers that have them."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
from langgraph_sdk import Auth

from duragraph_worker import Graph, entrypoint, node
from duragraph_worker.langgraph.auth import Handlers
from duragraph_worker.process.worker import Worker

IN_TIME = 20
asked: list[tuple[str, str]] = []
"""(resource, action) of what was asked, and `("authenticate", name)`."""

auth = Auth()


@Graph(id="owned")
class Owned:
    @entrypoint
    @node
    async def tell(self, state: dict[str, Any], ctx: Any) -> dict[str, Any]:
        if "port" in state:
            reader, writer = await asyncio.open_connection("127.0.0.1", state["port"])
            await reader.read()
            writer.close()
        return {"told": state.get("secret")}


@auth.authenticate
async def authenticate(authorization: str | None) -> dict[str, Any]:
    name = (authorization or "").removeprefix("Bearer ")
    asked.append(("authenticate", name))
    if name == "fatal":
        _die_once()
    if not name:
        raise Auth.exceptions.HTTPException(detail="who are you?", headers={"x-who": "x"})
    if name == "teapot":
        raise Auth.exceptions.HTTPException(status_code=418, detail="no tea")
    if name == "broken":
        raise ValueError("the handler's own secret")
    return {"identity": name, "permissions": ["p"], "team": f"of {name}"}


@auth.on
async def owns(ctx: Auth.types.AuthContext, value: Any) -> Any:
    asked.append((ctx.resource, ctx.action))
    metadata = value.setdefault("metadata", {})
    match metadata.get("handler"):
        case "refuses":
            return False
        case "asserts":
            raise AssertionError("not so")
        case "raises":
            raise Auth.exceptions.HTTPException(
                status_code=409, detail="no", headers={"x-why": "y"}
            )
        case "errs":
            raise ValueError("the handler's own secret")
        case "babbles":
            return "yes"
        case "unknown":
            return {"owner": {"$regex": "."}}
        case "scrambles":
            value["kwargs"] = 7
        case "lonely":
            return {"$or": [{"owner": "alice"}]}
    metadata["owner"] = ctx.user.identity
    return {"owner": ctx.user.identity}


@auth.on.store
async def scope(ctx: Auth.types.AuthContext, value: Any) -> None:
    asked.append((ctx.resource, ctx.action))
    value["namespace"] = (ctx.user.identity, *(value["namespace"] or ()))


def _die_once() -> None:
    """As `kill -9` at the worst moment: with a question in hand, which the next is to answer."""
    mark = Path(os.environ["OWNED_MARK"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def project(folder: Path) -> Path:
    """A `langgraph.json` of all this."""
    file = folder / "langgraph.json"
    graphs = {"owned": "tests.integration.owned:Owned"}
    file.write_text(
        json.dumps({"graphs": graphs, "auth": {"path": "tests.integration.owned:auth"}})
    )
    return file


@contextlib.asynccontextmanager
async def serving(url: str, *, openapi: Any = None, **options: Any) -> AsyncIterator[Worker]:
    """A worker in this process with the graph and the handlers; stopped at the end."""
    handlers = Handlers.of(auth, openapi=openapi)
    worker = Worker(url, graphs=[Owned], slots=4, auth=handlers, **options)
    running = asyncio.create_task(worker.arun())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, IN_TIME)


@attrs.frozen
class Somebody:
    """A user of a plane: `tests.helpers.Plane`, with a token."""

    plane: Any
    name: str

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {self.name}"} | options.pop("headers", {})
        return await self.plane.call(method, path, json, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Any:
        return await self.call("POST", path, json, **options)


async def known(somebody: Somebody) -> None:
    """Until the plane asks handlers, they answer, and it knows the graph."""
    async with asyncio.timeout(IN_TIME):
        while True:
            body = {"assistant_id": "owned", "input": {}}
            if (await somebody.post("/runs/wait", body)).status == 200:
                return
