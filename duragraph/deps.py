"""What every request handler is given: made once by `app.py`, passed, never imported."""

import attrs
from aiohttp import web

from duragraph.assistants import Assistants
from duragraph.cancels import Cancels
from duragraph.config import Config
from duragraph.creates import Creates
from duragraph.dispatch import Dispatcher
from duragraph.pg import Pool
from duragraph.reports import Reports
from duragraph.streams import Streams


@attrs.frozen(kw_only=True)
class Deps:
    config: Config
    api: Pool
    engine: Pool
    assistants: Assistants
    cancels: Cancels
    creates: Creates
    dispatcher: Dispatcher
    reports: Reports
    streams: Streams
    plane_id: str


DEPS = web.AppKey("deps", Deps)
