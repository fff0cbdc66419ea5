"""The composition root: what is made, in which order, and how it ends in reverse."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from functools import cache
from itertools import groupby

import structlog
from aiohttp import web

from duragraph import pg
from duragraph.api import MOUNTS, ROUTES, middleware, openapi, sse, system
from duragraph.api.io import Route
from duragraph.assistants import Assistants
from duragraph.bus import Bus
from duragraph.cancels import Cancels
from duragraph.config import Config
from duragraph.consult import Consult
from duragraph.creates import Creates
from duragraph.deps import DEPS, Deps
from duragraph.dispatch import Dispatcher
from duragraph.errors import Busy, Unavailable
from duragraph.identities import Identities
from duragraph.part_cache import PartCache
from duragraph.presence import Presence
from duragraph.reaper import Reaper
from duragraph.reports import Reports
from duragraph.retention import Retention
from duragraph.scheduler import Scheduler
from duragraph.streams import Streams
from duragraph.tasks import Supervisor
from duragraph.waker import Waker
from duragraph.webhooks import Webhooks

SUPERVISOR = web.AppKey("supervisor", Supervisor)
"""There once the plane has started: its owner must `watch` it."""

API_CONNECTIONS = 12
ENGINE_CONNECTIONS = 8
USER_CONNECTIONS = 12
"""None is made before the first user comes."""
AGAIN_SECONDS = 0.5
"""Between two tries to reach a database that is away at the start."""

log = structlog.get_logger(__name__)


def build_app(config: Config) -> web.Application:
    """The plane. It connects, and applies `schema.sql`, when it starts."""

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app[DEPS] = await _assemble(app, config, stack)
            yield

    without_slash = web.normalize_path_middleware(
        append_slash=False,
        remove_slash=True,
        merge_slashes=False,
        redirect_class=web.HTTPTemporaryRedirect,
    )
    app = web.Application(
        middlewares=[middleware.gate(config, MOUNTS), without_slash],
        client_max_size=config.max_body_bytes,
    )
    app[sse.OPEN] = {}
    app[system.PAGES] = _pages()
    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(_close_streams)
    for mount in MOUNTS:
        for path, routes in groupby(ROUTES, key=lambda route: route.path):
            _add(app.router.add_resource(mount + path), list(routes))
    return app


@cache
def _pages() -> system.Pages:
    """The same for each plane of a process, and long in the making."""
    return system.Pages.of(openapi.document(ROUTES))


def _add(resource: web.Resource, routes: Sequence[Route]) -> None:
    """The routes of one path. GET answers HEAD; other methods don't fall through to `{…_id}`."""
    endpoints = {route.method: route.endpoint() for route in routes}
    for route in routes:
        if route.method == "GET" and not route.live:
            endpoints["HEAD"] = endpoints["GET"]
    for method, endpoint in endpoints.items():
        resource.add_route(method, endpoint)

    async def refuse(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMethodNotAllowed(request.method, endpoints)

    resource.add_route("*", refuse)


async def _apply_schema(config: Config) -> None:
    """Waits for a database that is away: a plane that ended would only be started again."""
    waiting = False
    while True:
        try:
            return await pg.apply_schema(config.database_url)
        except (Unavailable, Busy) as error:
            if not waiting:
                log.warning(
                    "waiting for the database", error=str(error), cause=str(error.__cause__)
                )
            waiting = True
            await asyncio.sleep(AGAIN_SECONDS)


async def _assemble(app: web.Application, config: Config, stack: AsyncExitStack) -> Deps:
    await _apply_schema(config)
    api = await _pool(config, stack, "duragraph_api", size=API_CONNECTIONS)
    engine = await _pool(config, stack, "duragraph_engine", size=ENGINE_CONNECTIONS)
    bus = Bus(config.nats_url)
    users = await _pool(config, stack, "duragraph_user", size=USER_CONNECTIONS, least=0)
    streams = Streams(engine, bus)
    dispatcher = Dispatcher(config, engine, bus, streams)
    consult = Consult(bus, dispatcher)
    identities = Identities(config, engine, bus, consult)
    await identities.begin()
    waker = Waker(config, engine, dispatcher)
    cancels = Cancels(config, engine, streams, dispatcher, waker)
    presence = Presence(engine, cancels)
    bus.listen(
        batch=streams.arrived,
        work=dispatcher.looked_at,
        control=dispatcher.control,
        drain=dispatcher.forget,
    )
    bus.listen_for_auth(
        auth=identities.look,
        ask=consult.asked,
        answer=consult.answered,
        answers=consult.answers,
    )
    deps = Deps(
        config=config,
        api=api,
        engine=engine,
        users=users,
        assistants=Assistants(api),
        cancels=cancels,
        consult=consult,
        creates=Creates(engine, dispatcher, cancels),
        dispatcher=dispatcher,
        identities=identities,
        parts=PartCache(config.state_cache_bytes),
        reports=Reports(engine, streams, dispatcher, waker, cancels),
        streams=streams,
        plane_id=presence.plane_id,
    )
    supervisor = app[SUPERVISOR] = Supervisor()
    stack.push_async_callback(presence.leave)
    stack.push_async_callback(supervisor.stop)
    loops = _loops(deps) | {
        "bus": bus.run(),
        "waker": waker.run(),
        "presence": presence.run(),
        "identities": identities.run(),
        "keep-alive": sse.keep_alive(app),
    }
    for name, loop in loops.items():
        supervisor.start(name, loop)
    return deps


async def _pool(
    config: Config, stack: AsyncExitStack, role: str, *, size: int, least: int = 1
) -> pg.Pool:
    settings = pg.thread_ttl(config.thread_ttl_minutes, config.thread_ttl_strategy)
    pool = await pg.open_pool(config.database_url, role, size=size, least=least, settings=settings)
    return await stack.enter_async_context(pool)


def _loops(deps: Deps) -> dict[str, Awaitable[None]]:
    """What goes on besides requests, by name."""
    config, engine = deps.config, deps.engine
    retention = Retention(engine, event_days=config.event_days)
    return {
        "streams": deps.streams.watch(),
        "claims": deps.dispatcher.run(),
        "cancels": deps.cancels.run(),
        "creates": deps.creates.run(),
        "reports": deps.reports.run(),
        "reaper": Reaper(config, engine, deps.dispatcher, deps.streams, deps.cancels).run(),
        "scheduler": Scheduler(config, engine, deps.creates).run(),
        "webhooks": Webhooks(config, engine).run(),
        "housekeeping": retention.keep_house(),
        "events": retention.drop_events(),
    }


async def _close_streams(app: web.Application) -> None:
    app[DEPS].streams.closing = True
    app[DEPS].dispatcher.dismiss()
    sse.cut_all(app)
