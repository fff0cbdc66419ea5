"""Assistants: configured graphs, and what each of their versions held."""

from typing import Annotated, Literal

import attrs
from msgspec import UNSET, Meta, UnsetType

from duragraph import codec, ids
from duragraph.api.fields import Limit, Object, Offset, select
from duragraph.api.idempotency import once
from duragraph.api.io import Call, Reply, page
from duragraph.errors import Conflict, NotFound
from duragraph.intake import mirrored, own_metadata
from duragraph.models import (
    Assistant,
    AssistantVersion,
    GraphSchema,
    Id,
    Json,
    RunnableConfig,
    SortOrder,
)
from duragraph.pg import Connection, Page, assistants, endings, erasure, runs, threads

DEEPEST = 1000
"""No graphs are nested deeper."""

Field = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "metadata",
    "version",
    "created_at",
    "updated_at",
]


@attrs.frozen
class AssistantCreate:
    graph_id: str
    assistant_id: Id | None = None
    config: RunnableConfig = attrs.field(factory=dict)
    context: Object = attrs.field(factory=dict)
    metadata: Object = attrs.field(factory=dict)
    if_exists: Literal["raise", "do_nothing"] = "raise"
    name: str = "Untitled"
    description: str | None = None


@once
async def create(call: Call, *, body: AssistantCreate) -> Assistant:
    """Raises NotFound (graph), Conflict, Invalid, Refused."""
    assistant_id = body.assistant_id or ids.new_id()
    fields = _fields(body, *mirrored(body.config, body.context))
    async with call.tenant() as conn:
        await _known(conn, call, body.graph_id)
        made = await assistants.create(conn, call.organization_id, assistant_id, fields)
        if made is None and body.if_exists == "do_nothing":
            made = await assistants.get(conn, call.organization_id, assistant_id)
    if made is None:
        raise Conflict(f"Assistant {assistant_id} already exists")
    return made


@attrs.frozen
class AssistantCount:
    metadata: Object = attrs.field(factory=dict)
    graph_id: str | None = None
    name: str | None = None


@attrs.frozen
class AssistantSearch(AssistantCount):
    limit: Limit = 10
    offset: Offset = 0
    sort_by: assistants.SortBy = "created_at"
    sort_order: SortOrder = "desc"
    select: list[Field] | None = None


async def search(call: Call, *, body: AssistantSearch) -> Reply[list[Assistant]]:
    """Newest first by default. Raises NotFound (graph)."""
    async with call.tenant() as conn:
        await _known(conn, call, body.graph_id)
        found = await assistants.search(
            conn,
            call.organization_id,
            _filter(body),
            Page(body.sort_by, body.sort_order, body.limit + 1, body.offset),
        )
    return page(select(found, body.select), body.limit, body.offset)


async def count(call: Call, *, body: AssistantCount) -> int:
    """Raises NotFound (graph)."""
    async with call.tenant() as conn:
        await _known(conn, call, body.graph_id)
        return await assistants.count(conn, call.organization_id, _filter(body))


async def get(call: Call, assistant_id: str) -> Assistant:
    async with call.tenant() as conn:
        found = await assistants.get(conn, call.organization_id, assistant_id)
    if found is None:
        raise NotFound
    return found


@attrs.frozen
class AssistantUpdate:
    """An empty name, config or context counts as omitted, as the LangGraph server has it."""

    graph_id: str | UnsetType = UNSET
    config: RunnableConfig = attrs.field(factory=dict)
    context: Object = attrs.field(factory=dict)
    metadata: Object = attrs.field(factory=dict)
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET


async def update(call: Call, assistant_id: str, *, body: AssistantUpdate) -> Assistant:
    """Make a new version: what is omitted stays, metadata is merged. Raises NotFound, Refused."""
    fields = _fields(body, *mirrored(body.config or None, body.context or None))
    async with call.tenant() as conn:
        await _known(conn, call, fields.graph_id)
        updated = await assistants.update(conn, call.organization_id, assistant_id, fields)
    if updated is None:
        raise NotFound(f"Assistant {assistant_id} not found")
    return updated


@attrs.frozen
class DeleteQuery:
    delete_threads: bool = False


async def delete(call: Call, assistant_id: str, *, query: DeleteQuery) -> None:
    """Cancels its runs, erases it and, if asked for, the threads it ran on. Raises NotFound."""
    org, ended = call.organization_id, list[endings.Ended]()
    async with call.tenant() as conn, conn.transaction():
        if not await assistants.delete(conn, org, assistant_id):
            raise NotFound(f"Assistant with ID {assistant_id} not found")
        open_runs = await assistants.open_runs(conn, org, assistant_id)
        erased = []
        if query.delete_threads:
            erased = await threads.of_assistant(conn, org, assistant_id)
        for thread_id in sorted({*open_runs, *erased}):
            run_ids = None if thread_id in erased else open_runs[thread_id]
            ended += await endings.cancel(conn, org, thread_id, run_ids=run_ids)
            await runs.promote(conn, [(org, thread_id)])
        await erasure.delete(conn, org, erased)
    call.deps.cancels.tell(ended)


XRAY = Meta(pattern="^([Tt]rue|[Ff]alse|0*[1-9][0-9]*)?$", max_length=100)


@attrs.frozen
class GraphQuery:
    xray: Annotated[str, XRAY] = "false"
    """Whether subgraphs are unfolded, or how deep."""

    @property
    def depth(self) -> int:
        text = self.xray.rstrip("\n").lower()  # which a pattern's `$` lets pass
        if text in {"", "false"}:
            return 0
        return DEEPEST if text == "true" else min(int(text), DEEPEST)


async def graph(call: Call, assistant: str, *, query: GraphQuery) -> Json:
    """The nodes and edges of an assistant's graph; also by the graph's own name."""
    async with call.tenant() as conn:
        drawn = await assistants.drawing(
            conn,
            call.organization_id,
            ids.assistant_id(assistant),
            depth=query.depth,
        )
    if drawn is None:
        raise NotFound
    return drawn


async def schemas(call: Call, assistant_id: str) -> GraphSchema:
    async with call.tenant() as conn:
        found = await assistants.schemas(conn, call.organization_id, assistant_id)
    if found is None:
        raise NotFound
    return found


@attrs.frozen
class SubgraphsQuery:
    recurse: bool = False


async def subgraphs(call: Call, assistant_id: str, *, query: SubgraphsQuery) -> Json:
    """The schemas of the graphs that its nodes are; with `recurse` also of those in them."""
    return await _subgraphs(call, assistant_id, None, recurse=query.recurse)


async def subgraph(call: Call, assistant_id: str, namespace: str, *, query: SubgraphsQuery) -> Json:
    """One of them; `{}` where there is none. `outer|inner` needs `recurse`."""
    return await _subgraphs(call, assistant_id, namespace, recurse=query.recurse)


async def _subgraphs(
    call: Call, assistant_id: str, namespace: str | None, *, recurse: bool
) -> Json:
    async with call.tenant() as conn:
        found = await assistants.subgraphs(
            conn, call.organization_id, assistant_id, namespace=namespace, recurse=recurse
        )
    if found is None:
        raise NotFound
    return found


@attrs.frozen
class VersionSearch:
    metadata: Object = attrs.field(factory=dict)
    limit: Limit = 10
    offset: Offset = 0


async def versions(call: Call, assistant_id: str, *, body: VersionSearch) -> list[AssistantVersion]:
    """Newest first. Raises NotFound when there are none."""
    async with call.tenant() as conn:
        found = await assistants.versions(
            conn,
            call.organization_id,
            assistant_id,
            metadata=codec.dumps(body.metadata),
            limit=body.limit,
            offset=body.offset,
        )
    if not found:
        raise NotFound(f"Assistant {assistant_id} not found")
    return found


@attrs.frozen
class Latest:
    version: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


async def set_latest(call: Call, assistant_id: str, *, body: Latest) -> Assistant:
    """Take up an older version, config and context with it. Raises NotFound."""
    org = call.organization_id
    async with call.tenant() as conn:
        latest = await assistants.set_latest(conn, org, assistant_id, body.version)
        if latest is None and await assistants.get(conn, org, assistant_id) is None:
            raise NotFound(f"Assistant {assistant_id} not found")
    if latest is None:
        raise NotFound(f"Version {body.version} not found for assistant {assistant_id}")
    return latest


def _fields(
    body: AssistantCreate | AssistantUpdate, config: Object | None, context: Object | None
) -> assistants.Fields:
    return assistants.Fields(
        graph_id=None if body.graph_id is UNSET else body.graph_id,
        name=body.name or None,
        description=None if body.description is UNSET else body.description,
        config=None if config is None else codec.dumps(config),
        context=None if context is None else codec.dumps(context),
        metadata=codec.dumps(own_metadata(body.metadata)),
    )


def _filter(body: AssistantCount) -> assistants.Filter:
    return assistants.Filter(codec.dumps(body.metadata), body.graph_id, body.name)


async def _known(conn: Connection, call: Call, graph_id: str | None) -> None:
    if graph_id is None:
        return
    known = await assistants.graphs(conn, call.organization_id)
    if graph_id not in known:
        raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {known}")
