"""A worker process: registers its graphs with the plane and serves them until it is told to stop.

Registers anew when the plane has forgotten it, waits for a plane that is away for ever, and
gives its runs back at the end. What happens in between is `session.py`'s.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from duragraph.errors import Invalid, NotFound
from duragraph.protocol import Register, Registered
from duragraph_worker import threads
from duragraph_worker.process.client import Plane
from duragraph_worker.process.loading import served
from duragraph_worker.process.session import Session
from duragraph_worker.served import Authority

new_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop

    new_loop = uvloop.new_event_loop
except ImportError:
    new_loop = asyncio.new_event_loop

DEFAULT_URL = "http://localhost:8123"
DEFAULT_SLOTS = 64
AGAIN_SECONDS = 1.0
"""Between being forgotten and registering anew: no storm, should it be forgotten each time."""

_SIGNALS = signal.SIGTERM, signal.SIGINT

log = logging.getLogger(__name__)


class _Threads(ThreadPoolExecutor):
    """The loop's own, for LangGraph's sync nodes: as many as there are, and no exit waits for one.

    A thread can't be interrupted, but its run has been given back by then.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=threads.MOST, thread_name_prefix="node")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        super().shutdown(wait=False, cancel_futures=True)


class Worker:
    """Serves graphs to one plane's queue, `slots` runs at a time."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        graphs: Iterable[object] | Mapping[str, object],
        queue: str = "default",
        slots: int = DEFAULT_SLOTS,
        api_key: str | None = None,
        name: str | None = None,
        auth: Authority | None = None,
    ) -> None:
        """`graphs` are classes decorated with @Graph and compiled LangGraph graphs.

        By their ids they may also be functions that make LangGraph graphs. `auth` answers for a
        project's auth handlers: from then on the plane's clients are users. Raises Invalid for
        what is none of these.
        """
        hosted = (
            [served(graph, graph_id=name) for name, graph in graphs.items()]
            if isinstance(graphs, Mapping)
            else [served(graph) for graph in graphs]
        )
        self._graphs = {(graph.graph_id, graph.version): graph for graph in hosted}
        if len(self._graphs) < len(hosted):
            names = sorted(f"{graph.graph_id} {graph.version}" for graph in hosted)
            raise Invalid(f"two graphs have one id and version: {names}", hint="rename one")
        if slots < 1:
            raise Invalid(f"a worker needs at least one slot, not {slots}")
        self._plane = Plane(url, api_key=api_key)
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._slots = slots
        self._queue = queue
        self._auth = auth
        self._stop = asyncio.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends the process at once.

        Raises Unauthorized if the plane refuses the key, Invalid the graphs.
        """
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._run())

    async def arun(self) -> None:
        """As `run`, in a loop that is running already: until `stop`."""
        specs = [await graph.spec() for graph in self._graphs.values()]
        auth = None if self._auth is None else self._auth.spec
        registration = Register(self._name, self._slots, specs, self._queue, auth=auth)
        async with self._plane as plane:
            while (registered := await self._register(plane, registration)) is not None:
                names = sorted(spec.graph_id for spec in specs)
                log.info("serving", extra={"graphs": names, "worker_id": registered.worker_id})
                session = Session(
                    plane, registered, graphs=self._graphs, slots=self._slots, auth=self._auth
                )
                try:
                    await session.run(self._stop)
                except NotFound:
                    log.warning("the plane has forgotten this worker: registering anew")
                    await asyncio.sleep(AGAIN_SECONDS)

    def stop(self) -> None:
        """Take no more work, give back what is unfinished, and end. Call it in the loop."""
        self._stop.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Threads())
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                loop.add_signal_handler(signum, self._interrupt, loop)
        await self.arun()

    def _interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        log.info("stopping: giving back unfinished runs")
        for signum in _SIGNALS:
            loop.remove_signal_handler(signum)
        self.stop()

    async def _register(self, plane: Plane, body: Register) -> Registered | None:
        """None if told to stop, also while the plane is away."""
        if self._stop.is_set():
            return None
        asked = asyncio.create_task(plane.register(body))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({asked, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return None if stopped.done() else asked.result()
        finally:
            asked.cancel()
            stopped.cancel()
