"""What every request handler is given: made once by `app.py`, passed, never imported."""

import attrs
from aiohttp import web

from duragraph.assistants import Assistants
from duragraph.cancels import Cancels
from duragraph.config import Config
from duragraph.consult import Consult
from duragraph.creates import Creates
from duragraph.dispatch import Dispatcher
from duragraph.identities import Identities
from duragraph.part_cache import PartCache
from duragraph.pg import Pool
from duragraph.reports import Reports
from duragraph.streams import Streams


@attrs.frozen(kw_only=True)
class Deps:
    config: Config
    api: Pool
    engine: Pool
    users: Pool
    assistants: Assistants
    cancels: Cancels
    consult: Consult
    creates: Creates
    dispatcher: Dispatcher
    identities: Identities
    parts: PartCache
    reports: Reports
    streams: Streams
    plane_id: str


DEPS = web.AppKey("deps", Deps)
