"""Is it there, what is it, how busy is it, what can it do. None of this needs a key."""

from typing import Annotated, Any, Literal, Self

import attrs
from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from duragraph import __version__, codec, pg
from duragraph.api import docs
from duragraph.api.io import Call, Media, Reply
from duragraph.api.openapi import secured
from duragraph.metrics import REQUESTS
from duragraph.pg import health
from duragraph.pg.health import Load, Waits


@attrs.frozen
class Pages:
    """What the plane says of itself, written once when it is built."""

    openapi: bytes
    docs: bytes

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        return cls(codec.dumps(document), docs.page(document).encode())


PAGES = web.AppKey("pages", Pages)


@attrs.frozen
class OkQuery:
    check_db: bool = False


@attrs.frozen
class Ok:
    ok: bool
    services: dict[str, Literal["healthy", "unhealthy"]]


async def ok(call: Call, *, query: OkQuery) -> Reply[Ok]:
    """Whether the plane answers; with `check_db` also whether its database does."""
    if not query.check_db:
        return Reply(Ok(ok=True, services={}))
    healthy = await health.alive(call.deps.engine)
    found = Ok(ok=healthy, services={"database": "healthy" if healthy else "unhealthy"})
    return Reply(found, status=200 if healthy else 500)


@attrs.frozen
class Host:
    kind: str = "self-hosted"
    project_id: str | None = None
    host_revision_id: str | None = None
    revision_id: str | None = None
    tenant_id: str | None = None


@attrs.frozen
class Flags:
    assistants: bool = True
    crons: bool = True
    langsmith: bool = False
    langsmith_tracing_replicas: bool = False
    langsmith_tracing_session_on_runs: bool = False
    strict_resume: bool = True


@attrs.frozen
class Info:
    """`langgraph_py_version` is null: graphs run on workers, whose libraries the plane ignores."""

    version: str = __version__
    langgraph_py_version: str | None = None
    flags: Flags = attrs.field(factory=Flags)
    host: Host = attrs.field(factory=Host)


async def info(_call: Call) -> Info:
    """The plane's version and what it offers."""
    return Info()


@attrs.frozen
class MetricsQuery:
    format: Literal["prometheus", "json"] = "prometheus"


@attrs.frozen
class Queue:
    """Wait times are null while nothing waits."""

    n_pending: int
    n_running: int
    pending_runs_wait_time_max_secs: float | None
    pending_runs_wait_time_med_secs: float | None
    pending_unblocked_runs_wait_time_max_secs: float | None


@attrs.frozen
class Requests:
    method: str
    path: str
    status: int
    count: int


@attrs.frozen
class Api:
    http_requests_total: list[Requests]


@attrs.frozen
class Workers:
    max: int
    active: int
    available: int


@attrs.frozen
class Metrics:
    queue: Queue
    api: Api
    workers: Workers


async def metrics(
    call: Call, *, query: MetricsQuery
) -> Metrics | Annotated[web.Response, Media("text/plain")]:
    """For Prometheus, of this plane and of the database that all planes share; or as JSON."""
    async with pg.acquire(call.deps.engine) as conn:
        load, slots = await health.load(conn), await health.capacity(conn)
        if query.format == "json":
            return _summary(load, await health.waits(conn), slots)
    body = generate_latest(REGISTRY) + generate_latest(_gauges(load, slots))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _gauges(load: list[Load], slots: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    labels = ["graph", "status"]
    runs = Gauge("duragraph_runs", "Unfinished runs.", labels, registry=registry)
    oldest = Gauge("duragraph_runs_oldest_seconds", "Age of the oldest.", labels, registry=registry)
    Gauge("duragraph_worker_slots", "Slots of live workers.", registry=registry).set(slots)
    for row in load:
        runs.labels(row.graph_id, row.status).set(row.runs)
        oldest.labels(row.graph_id, row.status).set(row.oldest_seconds)
    return registry


def _summary(load: list[Load], waits: Waits, slots: int) -> Metrics:
    pending = sum(row.runs for row in load if row.status == "pending")
    running = sum(row.runs for row in load if row.status == "running")
    return Metrics(
        Queue(pending, running, waits.longest, waits.median, waits.longest_unblocked),
        Api(_requests()),
        Workers(max=slots, active=running, available=max(0, slots - running)),
    )


def _requests() -> list[Requests]:
    samples = (s for metric in REQUESTS.collect() for s in metric.samples)
    return [
        Requests(s.labels["method"], s.labels["path"], int(s.labels["status"]), int(s.value))
        for s in samples
        if s.name.endswith("_total")
    ]


async def openapi(call: Call) -> Annotated[web.Response, Media("application/json")]:
    """The API's description; how users prove who they are is what their project says of it."""
    shown, spec = call.request.app[PAGES].openapi, call.deps.identities.spec
    if spec is not None:
        shown = secured(shown, spec.security)
    return web.Response(body=shown, content_type="application/json")


async def page(call: Call) -> Annotated[web.Response, Media("text/html")]:
    """The description as a page that loads nothing and runs nothing."""
    headers = {
        "Content-Security-Policy": docs.POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    body = call.request.app[PAGES].docs
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)
