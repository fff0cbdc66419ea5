"""The event-streaming protocol over a WebSocket: commands in, answers and events out.

A socket's subscriptions end with it. One that is cut is opened again by its client, which
knows from which event on; what it gets twice it tells by `event_id`.
"""

import asyncio
from contextlib import aclosing

import attrs
import msgspec
from aiohttp import WSMsgType, web

from duragraph.api import sse
from duragraph.api.event_streaming import commands, events
from duragraph.api.event_streaming.envelope import (
    Answer,
    Applied,
    Command,
    Failure,
    Success,
    read,
    read_params,
    refusal,
)
from duragraph.api.event_streaming.events import Wanted
from duragraph.api.io import Call, Socket
from duragraph.api.middleware import STATUS
from duragraph.codec import dumps
from duragraph.errors import DuraGraphError, Gone, Invalid, Refused, Unavailable
from duragraph.ids import new_id
from duragraph.thread_events import Event, Subscription

PING_SECONDS = 15.0
"""A peer that leaves a ping unanswered for half of that is gone."""
MOST_SUBSCRIPTIONS = 32
STATUS_CODES = 4000
"""Close codes are this much above the HTTP status that says the same."""


class Unsubscribe(msgspec.Struct):
    subscription_id: str


class Reconnect(msgspec.Struct):
    """What `subscription.reconnect` has besides `Wanted`."""

    since: int
    subscription_id: str | None = None


async def connect(call: Call, thread_id: str) -> Socket:
    """Commands and events of one thread; browsers of other origins are refused."""
    config, origin = call.deps.config, call.request.headers.get("Origin")
    socket = web.WebSocketResponse(
        heartbeat=PING_SECONDS, max_msg_size=config.max_body_bytes, compress=False
    )
    if not socket.can_prepare(call.request).ok:
        raise web.HTTPMethodNotAllowed("GET", ["POST"])
    await socket.prepare(call.request)
    if origin is not None and not config.allows_origin(origin):
        await socket.close(code=STATUS_CODES + 403, message=b"Origin not allowed")
        return socket
    with sse.begun(call.request, socket, None):
        await _Connection(call, thread_id, socket).serve()
    return socket


@attrs.define
class _Open:
    """A subscription of this socket, and the number of the last event that it has seen."""

    subscription: Subscription
    seen: int

    def takes(self, event: Event) -> bool:
        """Whether the event is new to it and wanted. From now on it has seen the event."""
        new = event.number > self.seen
        self.seen = max(self.seen, event.number)
        return new and self.subscription.wants(event)


class _Connection:
    """One socket. Events go out in their order, each once to all subscriptions that want it.

    A new subscription starts the reading of the thread again, from where it begins; older ones
    take no event that they have seen.
    """

    def __init__(self, call: Call, thread_id: str, socket: web.WebSocketResponse) -> None:
        self._call, self._thread_id, self._socket = call, thread_id, socket
        self._open: dict[str, _Open] = {}
        self._sending: asyncio.Task[None] | None = None
        self._through = 0

    async def serve(self) -> None:
        """Until the peer closes; one that is gone, or takes nothing, is cut."""
        try:
            async with asyncio.TaskGroup() as group:
                async for message in self._socket:
                    if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                        await self._send(dumps(await self._answer(group, message.data)))
                self._stop_sending()
        except* (ConnectionError, TimeoutError):
            if (connection := self._call.request.transport) is not None:
                connection.abort()

    async def _answer(self, group: asyncio.TaskGroup, data: str | bytes) -> Answer:
        body = data.encode() if isinstance(data, str) else data
        try:
            command = read(self._call, body)
        except Invalid as error:
            return refusal(body, error)
        try:
            answer = await self._carry_out(group, command)
        except (Invalid, Refused) as error:
            return Failure(command.id, "invalid_argument", error.message)
        except DuraGraphError as error:
            return Failure(command.id, "unknown_error", error.message)
        if isinstance(answer, Success):
            answer.meta = Applied(self._through)
        return answer

    async def _carry_out(self, group: asyncio.TaskGroup, command: Command) -> Answer:
        match command.method:
            case "subscription.subscribe":
                subscription_id = self._subscribe(group, read_params(command.params, Wanted))
            case "subscription.reconnect":
                wanted = read_params(command.params, Wanted)
                again = read_params(command.params, Reconnect)
                subscription_id = self._subscribe(group, wanted, again.subscription_id)
            case "subscription.unsubscribe":
                given = read_params(command.params, Unsubscribe)
                return self._unsubscribe(command, given.subscription_id)
            case _:
                return await commands.answer(self._call, self._thread_id, command)
        return Success(command.id, {"subscription_id": subscription_id, "replayed_events": 0})

    def _subscribe(
        self, group: asyncio.TaskGroup, wanted: Wanted, subscription_id: str | None = None
    ) -> str:
        """Raises Refused."""
        subscription_id = subscription_id or new_id()
        if len(self._open.keys() - {subscription_id}) >= MOST_SUBSCRIPTIONS:
            raise Refused(f"A connection has at most {MOST_SUBSCRIPTIONS} subscriptions.")
        seen = -1 if wanted.since is None else wanted.since
        self._open[subscription_id] = _Open(wanted.subscription(), seen)
        self._stop_sending()
        since = min(each.seen for each in self._open.values())
        self._sending = group.create_task(self._send_events(None if since < 0 else since))
        return subscription_id

    def _unsubscribe(self, command: Command, subscription_id: str) -> Answer:
        if self._open.pop(subscription_id, None) is None:
            unknown = f"Unknown subscription: {subscription_id}"
            return Failure(command.id, "no_such_subscription", unknown)
        return Success(command.id, {})

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def _send_events(self, since: int | None) -> None:
        """Send what is behind `since`, and what comes, to whom it is new."""
        call, thread_id = self._call, self._thread_id
        try:
            after = await events.beginning(call, thread_id, since)
            async with aclosing(events.follow(call, thread_id, after)) as batches:
                async for batch in batches:
                    for event in batch:
                        if [each for each in self._open.values() if each.takes(event)]:
                            self._through = max(self._through, event.number)
                            await self._send(event.json())
                        # Neither a filter nor a socket with room makes us wait: others' turn.
                        await asyncio.sleep(0)
        except (Gone, Unavailable) as error:
            await self._send(dumps(events.failure(error)))
            status = STATUS[error.code]
            await self._socket.close(code=STATUS_CODES + status, message=error.message.encode())

    async def _send(self, message: bytes) -> None:
        """Raises ConnectionError, and TimeoutError if the peer takes nothing."""
        async with asyncio.timeout(sse.STALLED_SECONDS):
            await self._socket.send_frame(message, WSMsgType.TEXT)
