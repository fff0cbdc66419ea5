"""`ctx`: what a node may ask of its run. One object for each try of a task.

In an async body `emit`, `effect`, `sleep`, `wait_for` and `run` are awaited; in a sync body, which
runs in a thread, call `ctx.emit.sync(value)` and so on. The rest is the same in both.
"""

import copy
import inspect
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, NoReturn, Self, TypeVar
from uuid import UUID

from duragraph.protocol import Effect
from duragraph.usage import Usage
from duragraph_worker import serialize
from duragraph_worker.errors import GraphInterrupt, Interrupt, no_exit
from duragraph_worker.executor.agenda import NodeTask, dashed, digest
from duragraph_worker.executor.body import Body
from duragraph_worker.executor.frames import Frames
from duragraph_worker.executor.memos import Memos
from duragraph_worker.executor.run import Run
from duragraph_worker.executor.waiting import ChildRuns, Sleep, Spot, WaitFor
from duragraph_worker.messages import Message
from duragraph_worker.served import Reach
from duragraph_worker.threads import in_thread

T = TypeVar("T")
Anchor = Callable[[], Awaitable[None]]
"""Waits until the checkpoint that the task starts at is recorded."""


class Emit:
    """`ctx.emit`: sends a value of the node's own to whoever streams `custom`."""

    def __init__(self, run: Run, frames: Frames, body: Body) -> None:
        self._run, self._frames, self._body = run, frames, body

    async def __call__(self, value: Any, *, name: str | None = None) -> None:
        """Send `value`, any JSON. Raises TypeError if it isn't.

        `name`: followers of thread events may ask for the channel `custom:name` alone.
        """
        if self._frames.customs:
            data = serialize.encode(value)
            if self._body.news(blake2b(data, digest_size=8).hexdigest()):
                self._frames.custom(data, name=name)
        await self._run.recorder.room()

    def sync(self, value: Any, *, name: str | None = None) -> None:
        """The same from a sync body."""
        self._body.sync(self(value, name=name))


class Effects:
    """`ctx.effect`: runs something that the world notices, and remembers what came of it."""

    def __init__(self, run: Run, spot: Spot) -> None:
        self._run, self._spot = run, spot

    async def __call__(self, name: str, fn: Callable[..., Any]) -> Any:
        """The recorded result of `name`, else that of `fn(key)`, which is recorded.

        `fn` is sync (run in a thread) or async and takes the key or nothing; its result is JSON,
        and comes back as JSON reads. Its exceptions are not recorded. Raises ValueError when a
        body uses one name twice.
        """
        run, spot = self._run, self._spot
        key = spot.key(name, f"effect {name!r}")
        if key not in run.effects:
            with spot.body.at_work(name), no_exit(f"effect {name!r}"):
                await spot.anchor()
                result = serialize.encode(await _called(fn, key))
                run.effects[key] = result
                run.recorder.put(Effect(spot.checkpoint_id, key, result))
                await run.recorder.settled()
        return serialize.decode(run.effects[key])

    def sync(self, name: str, fn: Callable[..., Any]) -> Any:
        """The same from a sync body."""
        return self._spot.body.sync(self(name, fn))


async def _called(fn: Callable[..., Any], key: str) -> Any:
    args = (key,) if _takes_key(fn) else ()
    if inspect.iscoroutinefunction(fn):
        return await fn(*args)
    result = await in_thread(fn, *args)
    return await result if inspect.isawaitable(result) else result


def _takes_key(fn: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(fn).parameters)
    except ValueError:  # of some that are built in, as time.time
        return False


_OF_SCOPE = ("_spot", "effect", "sleep", "wait_for", "run", "random")
"""What a part of a body has of its own, once it is asked for."""


class Context:
    """`now()` and the seeds of `random` and `uuid()` are the same on every execution."""

    def __init__(
        self,
        run: Run,
        task: NodeTask,
        frames: Frames,
        *,
        checkpoint_id: str,
        scheduled: datetime,
        tries: int,
        metadata: bytes,
        anchor: Anchor,
    ) -> None:
        """`tries` counts those before this one; `metadata`, JSON, goes with messages."""
        self._run, self._task, self._frames = run, task, frames
        self._scheduled, self._tries, self._metadata = scheduled, tries, metadata
        self._thread = threading.get_ident()
        self._checkpoint_id, self._anchor, self._scope = checkpoint_id, anchor, ""
        self.body = Body(task.shown_in(run.task.run_id))

    @cached_property
    def _spot(self) -> Spot:
        run, task = self._run, self._task
        return Spot(
            task.ns,
            task.id,
            self._checkpoint_id,
            self.body,
            run.effects,
            run.children,
            self._anchor,
            self._scope,
        )

    @cached_property
    def emit(self) -> Emit:
        return Emit(self._run, self._frames, self.body)

    @cached_property
    def effect(self) -> Effects:
        return Effects(self._run, self._spot)

    @cached_property
    def sleep(self) -> Sleep:
        return Sleep(self._spot)

    @cached_property
    def wait_for(self) -> WaitFor:
        return WaitFor(self._spot)

    @cached_property
    def run(self) -> ChildRuns:
        return ChildRuns(self._spot)

    def sync(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the run's loop, for a sync body."""
        return self.body.sync(work)

    def within(self, scope: str) -> Self:
        """The same for a part of the body, whose names and orders are its own."""
        part = copy.copy(self)
        fields = vars(part)
        for cached in _OF_SCOPE:
            fields.pop(cached, None)
        fields["_scope"] = f"{self._scope}{scope}/"
        return part

    @property
    def run_id(self) -> str:
        return self._run.task.run_id

    @property
    def thread_id(self) -> str:
        return self._run.task.thread_id

    @property
    def node(self) -> str:
        return self._task.name

    @property
    def config(self) -> Mapping[str, Any]:
        return self._run.config

    @property
    def context(self) -> Any:
        return self._run.context

    @property
    def attempt(self) -> int:
        """1 at first; grows with every retry of the node and every takeover of the run.

        A wait begins the count anew.
        """
        return self._run.task.attempt + self._tries

    @property
    def epoch(self) -> int:
        """The lease's fencing number; whoever takes the run over has a higher one."""
        return self._run.task.epoch

    @property
    def memos(self) -> Memos:
        return self._run.memos

    @property
    def plane(self) -> Reach | None:
        """The plane that the run is of; None where there is none."""
        return self._run.plane

    def now(self) -> datetime:
        """The time of the checkpoint that scheduled the task."""
        return self._scheduled

    @cached_property
    def random(self) -> random.Random:
        """A generator seeded by the task, and by the part of its body that draws."""
        seed = digest(self._task.id, self._scope) if self._scope else self._task.id
        return random.Random(UUID(seed).int)  # noqa: S311 - repeatable on purpose

    def uuid(self) -> UUID:
        """A UUIDv4 of the task's generator."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def interrupt(self, value: Any) -> Any:
        """Ask a person: the answer, or the run stops here until there is one.

        Several questions in a body are told apart by their order. What raises is no `Exception`.
        """
        task, answers, scope = self._task, self._run.answers, self._scope
        at, known = self.body.ask(scope), task.answers.setdefault(scope, [])
        if at < len(known):
            return known[at]
        interrupt_id = digest(task.ns, scope, at) if scope else digest(task.ns, at)
        if interrupt_id in answers.by_id:
            known.append(answers.by_id[interrupt_id])
        elif answers.value is not None:
            known.append(answers.value)
            task.answered_by, answers.value = answers.run_id, None
        else:
            self._stop(Interrupt(value, interrupt_id))
        return known[at]

    def _stop(self, interrupt: Interrupt) -> NoReturn:
        raise GraphInterrupt((interrupt,))

    def message(self, message: Message) -> None:
        """Stream a chunk of a message, or a whole one. Safe to call from a thread."""
        if not self._frames.messages:
            return
        if message.id:
            self.body.shown[message.id] = 1
        if threading.get_ident() == self._thread:
            self._frames.message(message, self._task, self._metadata, streamed=True)
        else:
            self.body.loop.call_soon_threadsafe(self._show, message)

    def _show(self, message: Message) -> None:
        self._frames.message(message, self._task, self._metadata, streamed=True)

    def usage(self, usage: Usage) -> None:
        """Count a call of a model in. Safe to call from a thread.

        `llm.usage.spent(model, tokens)` makes one of a reply that a body has got by itself.
        """
        if threading.get_ident() == self._thread:
            self._count(usage)
        else:
            self.body.loop.call_soon_threadsafe(self._count, usage)

    def _count(self, usage: Usage) -> None:
        self._run.recorder.put(usage)
        self._frames.usage(usage, self._task)

    def tool(self, event: str, call_id: str, **fields: Any) -> None:
        """Tell what becomes of a tool that a model has called."""
        if self.body.news(f"{event}:{call_id}"):
            self._frames.tool(self._task, {"event": event, "tool_call_id": call_id, **fields})

    def message_id(self, n: int) -> str:
        """The id of the `n`th message of this try: clients never see two tries as one message."""
        of = self._run.task
        return dashed(digest(self._task.id, of.run_id, of.epoch, of.attempt, self._tries, n))
