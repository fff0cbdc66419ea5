"""What every log line looks like: for people on a terminal, JSON otherwise, on standard error.

Lines of the standard library's `logging` (aiohttp, asyncio, nats) come out the same way.
"""

import logging
import sys
from typing import Literal, TypeAlias

import structlog
from structlog.typing import Processor

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
LogFormat: TypeAlias = Literal["auto", "console", "json"]


def configure(*, level: LogLevel, format: LogFormat) -> None:
    """Call once, before the first line. `auto` is `console` on a terminal, else `json`."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people() if console else _for_machines()),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    # At info these tell of every request and reconnect.
    chatty = threshold if threshold == logging.DEBUG else max(threshold, logging.WARNING)
    for name in ("aiohttp.access", "httpx", "httpx2", "nats"):
        logging.getLogger(name).setLevel(chatty)
    # While PostgreSQL is away its pools warn with a trace at each try; we say so ourselves.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)


def _for_people() -> list[Processor]:
    # The default would print local variables, and those are the users' data.
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _for_machines() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
