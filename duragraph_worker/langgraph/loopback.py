"""`get_client()` with no URL, in a graph: it asks the plane that the run is leased from.

LangGraph's SDK looks for a server in its own process then (`langgraph_sdk.get_client`, "Connect
in-process"); a worker's server is elsewhere.
"""

from collections import deque
from contextvars import ContextVar

import httpx
from langgraph_sdk._async import client as sdk

from duragraph_worker.clients import Clients
from duragraph_worker.served import Reach

REACH: ContextVar[Reach] = ContextVar("REACH")
"""The plane of the run that is executed here."""

_transports = Clients(lambda: httpx.AsyncHTTPTransport(retries=5))


class Loopback(httpx.AsyncBaseTransport):
    """Sends requests to the plane of the run that makes them, with the worker's key."""

    def __init__(self, app: object = None, root_path: str = "") -> None:
        """As the SDK makes one of an application in its process, of which there is none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError outside a run."""
        try:
            reach = REACH.get()
        except LookupError:
            raise httpx.ConnectError(
                "get_client() without a URL is of use within a run alone: name the server's",
                request=request,
            ) from None
        request.url = httpx.URL(reach.url + request.url.raw_path.decode())
        request.headers.update({"host": request.url.netloc.decode(), **reach.headers})
        transport = await _transports.here()
        return await transport.handle_async_request(request)


# The SDK keeps its transports, to tell them of an application once there is one. Those made so far
# learn of ours; later ones are born knowing, and kept they would only be a leak.
for early in vars(sdk)["_registered_transports"]:
    vars(early).update(handle_async_request=Loopback().handle_async_request)
vars(sdk).update(get_asgi_transport=lambda: Loopback, _registered_transports=deque(maxlen=0))
