"""The `duragraph` command: settings, logging, a listening socket, then the plane until a signal.

Loads no user code: `dev` starts a worker as a process of its own.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import attrs
import structlog
from aiohttp import web
from cyclopts import App, Parameter

from duragraph import __version__, embedded, logs, runtime
from duragraph import dev as development
from duragraph import project as projects
from duragraph import reload as reloading
from duragraph.app import SUPERVISOR, build_app
from duragraph.config import Config, ConfigError, child_environ
from duragraph.errors import DuraGraphError
from duragraph.pg import apply_schema
from duragraph.tasks import LoopDied

try:
    from uvloop import run
except ImportError:  # the `speed` extra is not installed
    from asyncio import run  # type: ignore[assignment]

BACKLOG = 1024

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

# None stands for "not said": the environment decides, then the default.
Host = Annotated[str | None, Parameter(help="Address to listen on [default: 127.0.0.1].")]
Port = Annotated[int | None, Parameter(help="Port to listen on, 0 for a free one [default: 8123].")]
DataDir = Annotated[str | None, Parameter(help="Where PostgreSQL lives [default: .duragraph].")]
DatabaseUrl = Annotated[str | None, Parameter(help="PostgreSQL 15 or newer.")]
NatsUrl = Annotated[str | None, Parameter(help="NATS; JetStream is not used.")]
Targets = Annotated[
    str,
    Parameter(
        help="Graphs to serve, each module:graph; else those of ./langgraph.json, or a demo."
    ),
]
ProjectFile = Annotated[Path | None, Parameter(help="Serve the graphs of this langgraph.json.")]
Worker = Annotated[bool, Parameter(help="Start a worker.")]
Reload = Annotated[bool, Parameter(help="Restart the worker when its code changes.", negative="")]
NoAuth = Annotated[bool | None, Parameter(help="Let everybody in.", negative="")]

app = App(name="duragraph", version=__version__, help="A durable control plane for agent graphs.")
app.command("duragraph.demo:demo", help="Run the bundled example and show its stream.")

log = structlog.get_logger(__name__)


@app.command
def dev(
    *targets: Targets,
    config: ProjectFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    nats_url: NatsUrl = None,
    worker: Worker = True,
    reload: Reload = False,
) -> None:
    """Run everything on this machine: PostgreSQL, NATS, the plane and a worker."""
    project = projects.find(config, targets)
    settings = Config.from_env(
        project=None if project is None else project.settings,
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        nats_url=nats_url,
    )
    logs.configure(level=settings.log_level, format=settings.log_format)
    if reload:
        reloading.check()
    with (
        _listen(settings) as listener,
        embedded.start(
            settings.data_dir,
            database_url=settings.database_url or None,
            nats_url=settings.nats_url or None,
            progress=log.info,
        ) as servers,
    ):
        settings = attrs.evolve(
            settings,
            port=listener.getsockname()[1],
            database_url=servers.database_url,
            nats_url=servers.nats_url,
            studio=True,
        )
        if project is not None and project.content.auth is None:
            settings = development.without_auth(settings)
        jobs: list[Job] = [partial(development.watch, servers.children)]
        graphs = development.Graphs(targets, project)
        if worker:
            jobs += _worker_jobs(settings, graphs, reload=reload)
        banner = development.banner(settings, servers, graphs if worker else None)
        run(_serve(settings, listener, banner=banner, jobs=jobs))


@app.command
def serve(
    *,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    nats_url: NatsUrl = None,
    no_auth: NoAuth = None,
) -> None:
    """Run the plane in production, on a PostgreSQL and a NATS of yours.

    Any address but loopback needs DURAGRAPH_API_KEYS, or --no-auth said aloud.
    """
    config = Config.from_env(
        host=host, port=port, database_url=database_url, nats_url=nats_url, no_auth=no_auth
    ).for_production()
    logs.configure(level=config.log_level, format=config.log_format)
    with _listen(config) as listener:
        run(_serve(config, listener))


@app.command
def migrate(*, database_url: DatabaseUrl = None) -> None:
    """Bring the database to this version's schema. Safe to repeat, also while planes run."""
    config = Config.from_env(database_url=database_url).needing("database_url")
    logs.configure(level=config.log_level, format=config.log_format)
    run(apply_schema(config.database_url))
    log.info("the schema is up to date")


def main() -> None:
    """What is wrong with the settings or the surroundings is one line, not a trace."""
    try:
        app()
    except (ConfigError, embedded.ServerError) as error:
        sys.exit(f"duragraph: {error}")
    except ImportError as error:
        # The demo is imported when it is asked for; its clients come with an extra.
        if not isinstance(missing := error.__cause__, ModuleNotFoundError):
            raise
        sys.exit(
            f"duragraph: the package {missing.name!r} is missing. "
            "Install it with pip install 'duragraph[demo]'."
        )
    except LoopDied as error:
        sys.exit(f"duragraph: the plane stopped, since its loop '{error}' died; see the log")
    except DuraGraphError as error:
        sys.exit(f"duragraph: {error.message} {error.hint or ''}".rstrip())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _listen(config: Config) -> socket.socket:
    """Bound before all else, so that a port that is taken is told at once."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"Can't listen on {config.host} port {config.port}: {os.strerror(error.errno or 0)}. "
            "Stop what runs there, or choose another --port."
        ) from error


def _worker_jobs(config: Config, graphs: development.Graphs, *, reload: bool) -> list[Job]:
    url, environ = development.address(config), child_environ(config)
    if not reload:
        return [partial(development.keep_worker, url, graphs, environ=environ)]
    edited = asyncio.Event()
    # Bytecode counts as fresh by its source's size and second: of two quick saves it has the first.
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return [
        partial(reloading.watch, graphs.targets, edited, project=graphs.project),
        partial(development.keep_worker, url, graphs, environ=environ, edited=edited),
    ]


async def _serve(
    config: Config, listener: socket.socket, *, banner: str = "", jobs: list[Job] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, or until one of `jobs` ends; the jobs stop before the plane.

    Raises what the job raised, LoopDied.
    """
    plane = build_app(config)
    runner = web.AppRunner(plane, shutdown_timeout=config.drain_seconds, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        runtime.settle()
        log.info("serving", host=config.host, port=config.port)
        if banner:
            print(banner, flush=True)  # noqa: T201
        watch = plane[SUPERVISOR].watch
        tasks = [asyncio.ensure_future(job()) for job in (_signalled, watch, *(jobs or []))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()
    finally:
        await runner.cleanup()


async def _signalled() -> None:
    """A second signal finds no handler, and ends the process at once."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for each in signals:
        loop.add_signal_handler(each, told.set)
    try:
        await told.wait()
        log.info("stopping")
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


if __name__ == "__main__":
    main()
