"""What every request handler is given: made once by `app.py`, passed, never imported."""

from collections.abc import Sequence

import attrs
from aiohttp import web

from duragraph.config import Config
from duragraph.dispatch import Dispatcher
from duragraph.pg import Pool
from duragraph.pg.runs import Ended
from duragraph.reports import Reports
from duragraph.streams import Streams


@attrs.frozen
class Deps:
    config: Config
    api: Pool
    engine: Pool
    dispatcher: Dispatcher
    reports: Reports
    streams: Streams

    def ended(self, ended: Sequence[Ended]) -> None:
        """Runs were ended by a request: tell their workers and whoever follows them."""
        self.dispatcher.ended(ended)
        for run in ended:
            self.streams.end(run.run_id, run.ms, run.last_seq)


DEPS = web.AppKey("deps", Deps)
