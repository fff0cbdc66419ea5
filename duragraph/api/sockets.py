"""The event-streaming protocol over a WebSocket: commands in, answers and events out.

A socket's subscriptions end with it. One that is cut is opened again by its client, which
knows from which event on; what it gets twice it tells by `event_id`.
"""

import asyncio
from contextlib import aclosing

import msgspec
from aiohttp import WSMsgType, web

from duragraph.api import commands, events, sse
from duragraph.api.command import Answer, Applied, Command, Failure, Success, fitted, read, refusal
from duragraph.api.events import Wanted
from duragraph.api.io import Call, Socket
from duragraph.api.middleware import STATUS
from duragraph.codec import dumps
from duragraph.errors import DuraGraphError, Gone, Invalid, Refused, Unavailable
from duragraph.frames import Mark
from duragraph.ids import new_id
from duragraph.thread_events import Event

PING_SECONDS = 15.0
"""A peer that leaves a ping unanswered for half of that is gone."""
MOST_SUBSCRIPTIONS = 32
REMEMBERED = 4096
"""Events that overlapping subscriptions would send again."""
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
    if origin is not None and not {"*", origin} & set(config.cors_origins):
        await socket.close(code=STATUS_CODES + 403, message=b"Origin not allowed")
        return socket
    with sse.begun(call.request, socket, None):
        await _Connection(call, thread_id, socket).serve()
    return socket


class _Connection:
    """One socket. What its tasks send is whole messages, so they need not take turns."""

    def __init__(self, call: Call, thread_id: str, socket: web.WebSocketResponse) -> None:
        self._call, self._thread_id, self._socket = call, thread_id, socket
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._sent: dict[Mark, None] = {}
        self._through = 0

    async def serve(self) -> None:
        """Until the peer closes; one that is gone, or takes nothing, is cut."""
        try:
            async with asyncio.TaskGroup() as group:
                async for message in self._socket:
                    if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                        await self._send(dumps(await self._answer(group, message.data)))
                for task in self._subscriptions.values():
                    task.cancel()
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
                subscription_id = self._subscribe(group, fitted(command.params, Wanted))
            case "subscription.reconnect":
                wanted = fitted(command.params, Wanted)
                again = fitted(command.params, Reconnect)
                subscription_id = self._subscribe(group, wanted, again.subscription_id)
            case "subscription.unsubscribe":
                given = fitted(command.params, Unsubscribe)
                return self._unsubscribe(command, given.subscription_id)
            case _:
                return await commands.answer(self._call, self._thread_id, command)
        return Success(command.id, {"subscription_id": subscription_id, "replayed_events": 0})

    def _subscribe(
        self, group: asyncio.TaskGroup, wanted: Wanted, subscription_id: str | None = None
    ) -> str:
        """Raises Refused."""
        wanted.subscription()
        subscription_id = subscription_id or new_id()
        if (before := self._subscriptions.pop(subscription_id, None)) is not None:
            before.cancel()
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise Refused(f"A connection has at most {MOST_SUBSCRIPTIONS} subscriptions.")
        self._subscriptions[subscription_id] = group.create_task(self._follow(wanted))
        return subscription_id

    def _unsubscribe(self, command: Command, subscription_id: str) -> Answer:
        task = self._subscriptions.pop(subscription_id, None)
        if task is None:
            unknown = f"Unknown subscription: {subscription_id}"
            return Failure(command.id, "no_such_subscription", unknown)
        task.cancel()
        return Success(command.id, {})

    async def _follow(self, wanted: Wanted) -> None:
        """Send what is wanted: all that is kept, then each new event once a connection."""
        call, subscription = self._call, wanted.subscription()
        now = await call.deps.streams.thread_mark(call.organization_id, self._thread_id)
        try:
            async with aclosing(events.follow(call, self._thread_id, wanted.since)) as told:
                async for some in told:
                    for event in some:
                        if subscription.wants(event) and self._is_due(event, now):
                            self._through = max(self._through, event.number)
                            await self._send(event.json())
        except (Gone, Unavailable) as error:
            await self._send(dumps(events.failure(error)))
            status = STATUS[error.code]
            await self._socket.close(code=STATUS_CODES + status, message=error.message.encode())

    def _is_due(self, event: Event, now: Mark) -> bool:
        """Whether no overlapping subscription has sent it live."""
        if event.mark <= now:
            return True
        if event.mark in self._sent:
            return False
        self._sent[event.mark] = None
        if len(self._sent) > REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return True

    async def _send(self, message: bytes) -> None:
        """Raises ConnectionError, and TimeoutError if the peer takes nothing."""
        async with asyncio.timeout(sse.STALLED_SECONDS):
            await self._socket.send_frame(message, WSMsgType.TEXT)
