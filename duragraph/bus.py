"""NATS: hints and copies between planes, never the record. Wipe it and things are only later.

Subjects, all under `duragraph.`:
    follow       every second, and at each new follow: I am here and follow these runs and threads
    plane.{id}   frames of a run or thread that plane follows
    work         a run became claimable
    control      a lease was taken from a worker
    drain        a worker takes no more work
    auth         another worker's auth handlers count from now on
    ask.{id}     a question for an auth worker that polls that plane; answer.{id}: its answer
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import attrs
import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from duragraph.frames import Batch
from duragraph.ids import new_id
from duragraph.protocol import Control, pack, unpack
from duragraph.questions import AuthAnswer, AuthQuestion

log = structlog.get_logger(__name__)

HELLO_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""A plane unheard of for so long is gone, and with it what it followed."""
PIECE_BYTES = 1 << 19
"""NATS takes a megabyte at once; a question may show handlers a run's whole input."""
UNFINISHED = 64
"""Messages of which pieces are still to come; the oldest gives way."""
QUEUED = 10_000
"""Messages waiting to be sent; beyond it they are dropped."""


@attrs.frozen
class Following:
    """`complete`: these are all; else they come on top. See `Batch.topics`."""

    plane_id: str
    topics: list[str]
    complete: bool
    answers: bool = False
    """Whether an auth worker polls there."""


@attrs.frozen
class Copied:
    """A batch on its way to another plane."""

    organization_id: str
    thread_id: str
    run_id: str
    kind: str
    ms: int
    last_seq: int
    frames: list[tuple[str, bytes]]
    status: str | None


@attrs.frozen
class Taken:
    worker_id: str
    control: Control


@attrs.frozen
class Piece:
    """Of a message that may be too big for one; they come in their order."""

    message_id: str
    count: int
    data: bytes


@attrs.frozen
class Other:
    """What another plane has said of itself."""

    seen_at: float
    topics: frozenset[str]
    answers: bool


class Bus:
    """Publishing never waits and never fails: what is lost here, a sweep finds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.plane_id = new_id()
        self._others: dict[str, Other] = {}
        self._mine: set[str] = set()
        self._outbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(QUEUED)
        self._batch: Callable[[Batch], None] = lambda _: None
        self._work: Callable[[], None] = lambda: None
        self._control: Callable[[str, Control], None] = lambda _worker_id, _control: None
        self._drain: Callable[[str], None] = lambda _worker_id: None
        self._auth: Callable[[], None] = lambda: None
        self._ask: Callable[[AuthQuestion], None] = lambda _question: None
        self._answer: Callable[[AuthAnswer], None] = lambda _answer: None
        self._answers: Callable[[], bool] = lambda: False
        self._pieces: dict[str, list[bytes]] = {}

    def listen(
        self,
        *,
        batch: Callable[[Batch], None],
        work: Callable[[], None],
        control: Callable[[str, Control], None],
        drain: Callable[[str], None],
    ) -> None:
        """Who is told of what other planes say. Call before `run`."""
        self._batch, self._work, self._control, self._drain = batch, work, control, drain

    def listen_for_auth(
        self,
        *,
        auth: Callable[[], None],
        ask: Callable[[AuthQuestion], None],
        answer: Callable[[AuthAnswer], None],
        answers: Callable[[], bool],
    ) -> None:
        """The same of auth handlers; `answers` says whether a worker here has any."""
        self._auth, self._ask, self._answer, self._answers = auth, ask, answer, answers

    def follow(self, topic: str) -> None:
        self._mine.add(topic)
        if self._others:
            self._hello([topic], complete=False)

    def unfollow(self, topic: str) -> None:
        self._mine.discard(topic)

    def publish(self, batch: Batch) -> None:
        """A copy to each plane that follows the run or its thread."""
        for plane_id, other in self._others.items():
            if not other.topics.isdisjoint(batch.topics):
                self._send(f"plane.{plane_id}", _copy(batch))

    def hint_work(self) -> None:
        if self._others:
            self._send("work", None)

    def hint_control(self, worker_id: str, control: Control) -> None:
        if self._others:
            self._send("control", Taken(worker_id, control))

    def hint_drain(self, worker_id: str) -> None:
        if self._others:
            self._send("drain", worker_id)

    def hint_auth(self) -> None:
        if self._others:
            self._send("auth", None)

    def answering(self) -> list[str]:
        """The other planes that auth workers poll."""
        return sorted(plane_id for plane_id, other in self._others.items() if other.answers)

    def ask(self, plane_id: str, question: AuthQuestion) -> None:
        self._send_pieces(f"ask.{plane_id}", pack(question))

    def answer(self, answer: AuthAnswer) -> None:
        """To the plane that asked."""
        self._send_pieces(f"answer.{answer.plane_id}", pack(answer))

    async def run(self) -> None:
        """Stay connected, send what is queued, say hello; to be supervised."""
        client = Client()
        try:
            await self._connect(client)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._greet())
                while True:
                    subject, data = await self._outbox.get()
                    try:
                        await client.publish(f"duragraph.{subject}", data)
                    except nats.errors.Error as error:
                        log.debug("hint lost", subject=subject, error=str(error))
        finally:
            await client.close()

    async def _connect(self, client: Client) -> None:
        while True:
            try:
                await client.connect(
                    self._url,
                    no_echo=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    error_cb=_quiet,
                )
                break
            except (OSError, TimeoutError, nats.errors.Error) as error:
                log.warning(
                    "no NATS yet; hints wait for sweeps", error=str(error) or type(error).__name__
                )
                await asyncio.sleep(HELLO_SECONDS)
        for subject, handler in (
            ("follow", self._on_follow),
            (f"plane.{self.plane_id}", self._on_batch),
            ("work", self._on_work),
            ("control", self._on_control),
            ("drain", self._on_drain),
            ("auth", self._on_auth),
            (f"ask.{self.plane_id}", self._on_ask),
            (f"answer.{self.plane_id}", self._on_answer),
        ):
            await client.subscribe(f"duragraph.{subject}", cb=handler)

    async def _greet(self) -> None:
        while True:
            self._hello(list(self._mine) if self._others else [])
            await asyncio.sleep(HELLO_SECONDS)
            silent = time.monotonic() - SILENT_SECONDS
            self._others = {p: other for p, other in self._others.items() if other.seen_at > silent}

    def _hello(self, topics: list[str], *, complete: bool = True) -> None:
        self._send("follow", Following(self.plane_id, topics, complete, self._answers()))

    def _send_pieces(self, subject: str, data: bytes) -> None:
        message_id, starts = new_id(), range(0, len(data), PIECE_BYTES)
        for start in starts:
            piece = Piece(message_id, len(starts), data[start : start + PIECE_BYTES])
            self._send(subject, piece)

    def _whole(self, message: Msg) -> bytes | None:
        """The message of which this is the last piece; None as long as some are missing."""
        piece = unpack(message.data, Piece)
        have = self._pieces.setdefault(piece.message_id, [])
        have.append(piece.data)
        if len(have) == piece.count:
            return b"".join(self._pieces.pop(piece.message_id))
        if len(self._pieces) > UNFINISHED:
            del self._pieces[next(iter(self._pieces))]
        return None

    def _send(self, subject: str, message: Any) -> None:
        try:
            self._outbox.put_nowait((subject, pack(message)))
        except asyncio.QueueFull:
            log.debug("hint dropped", subject=subject)

    async def _on_follow(self, message: Msg) -> None:
        said = unpack(message.data, Following)
        stranger = said.plane_id not in self._others
        known = frozenset() if said.complete or stranger else self._others[said.plane_id].topics
        topics = known | frozenset(said.topics)
        self._others[said.plane_id] = Other(time.monotonic(), topics, said.answers)
        if stranger:
            self._hello(list(self._mine))

    async def _on_batch(self, message: Msg) -> None:
        copy = unpack(message.data, Copied)
        self._batch(Batch(**attrs.asdict(copy, recurse=False)))

    async def _on_work(self, _message: Msg) -> None:
        self._work()

    async def _on_control(self, message: Msg) -> None:
        taken = unpack(message.data, Taken)
        self._control(taken.worker_id, taken.control)

    async def _on_drain(self, message: Msg) -> None:
        self._drain(unpack(message.data, str))

    async def _on_auth(self, _message: Msg) -> None:
        self._auth()

    async def _on_ask(self, message: Msg) -> None:
        if (data := self._whole(message)) is not None:
            self._ask(unpack(data, AuthQuestion))

    async def _on_answer(self, message: Msg) -> None:
        if (data := self._whole(message)) is not None:
            self._answer(unpack(data, AuthAnswer))


def _copy(batch: Batch) -> Copied:
    return Copied(
        batch.organization_id,
        batch.thread_id,
        batch.run_id,
        batch.kind,
        batch.ms,
        batch.last_seq,
        list(batch.frames),
        batch.status,
    )


async def _quiet(error: Exception) -> None:
    """nats-py logs every failed reconnect as an error; a lost hint is none."""
    log.debug("nats", error=str(error))
