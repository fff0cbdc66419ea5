"""`ctx.sleep`, `ctx.wait_for` and `ctx.run`: what a body waits for while its run holds nothing.

Owns their keys and results. How a body is let go of is in `body.py`; who ends a wait, the plane or
`local/waiting.py`, records an effect of the wait's key.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs
import msgspec

from duragraph.waiting import LONGEST_NAME, MOST_SECONDS, TIMED_OUT, Wait
from duragraph_worker import serialize
from duragraph_worker.errors import ChildRunError, OpenWait
from duragraph_worker.executor.agenda import digest
from duragraph_worker.executor.body import Body, refuse_in_effect


@attrs.frozen
class Child:
    """A run to start. The same checkpoint and key mean the same run."""

    checkpoint_id: str
    key: str
    assistant: str
    """Its id, or a graph's."""
    graph: Any
    """An app or its class, where that was given and no name."""
    input: bytes
    config: bytes
    context: bytes


class Children(Protocol):
    """Who starts child runs."""

    async def start(self, child: Child) -> str:
        """The run's id. Raises errors.NotFound for an assistant that isn't there."""


class NoChildren:
    """Where no run can be started."""

    async def start(self, child: Child) -> str:
        raise RuntimeError(f"no run of {child.assistant!r} can be started here: serve the graph")


NO_CHILDREN = NoChildren()


@attrs.frozen
class Spot:
    """Where a body waits: its task, its place in the record, what is on record."""

    ns: str
    task_id: str
    checkpoint_id: str
    body: Body
    effects: Mapping[str, bytes]
    children: Children
    anchor: Callable[[], Awaitable[None]]
    scope: str = ""

    def key(self, name: str, told: str) -> str:
        """Of an effect or wait. Raises ValueError the second time; `told` says what it is."""
        scoped = self.scope + name
        if not self.body.claim(scoped):
            node = self.ns.rpartition("|")[2].partition(":")[0]
            raise ValueError(
                f"{told} ran already in this body of {node!r}: give each a name of its own"
            )
        return digest(self.ns, self.task_id, scoped)


@attrs.frozen
class _Waiting:
    """Waits of one kind, told apart by name, or by their order among those of one `what`."""

    _spot: Spot
    _counts: Counter[str] = attrs.field(factory=Counter, init=False)

    def _key(self, kind: str, what: str, name: str | None) -> str:
        refuse_in_effect()
        if name is None:
            name = f"{what}:{self._counts[what]}"
            self._counts[what] += 1
        return self._spot.key(f"{kind}:{name}", f"{kind} {name!r}")

    def _recorded(self, key: str) -> bool:
        return key in self._spot.effects

    def _result(self, key: str) -> Any:
        return serialize.decode(self._spot.effects[key])


class Sleep(_Waiting):
    """`await ctx.sleep(days=30)`: holds no worker meanwhile and outlives all of them."""

    async def __call__(
        self,
        seconds: float = 0,
        *,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
        name: str | None = None,
    ) -> None:
        """Go on after all of these together. Raises ValueError below 0 and above 100 years.

        Several in a body are told apart by their order, or by `name` where that may vary.
        """
        length = seconds + 60 * (minutes + 60 * (hours + 24 * days))
        key, spot = self._key("sleep", "", name), self._spot
        if not self._recorded(key):
            wait = Wait(spot.checkpoint_id, key, "sleep", seconds=_checked(length))
            await spot.body.suspend(wait)

    def sync(self, seconds: float = 0, **options: Any) -> None:
        """The same from a sync body."""
        self._spot.body.sync(self(seconds, **options))


class WaitFor(_Waiting):
    """`await ctx.wait_for("approved")`: the payload of the signal of that name to the thread."""

    async def __call__(
        self, event: str, *, timeout: float | None = None, name: str | None = None  # noqa: ASYNC109
    ) -> Any:  # fmt: skip
        """The signal's payload, JSON. Raises TimeoutError after `timeout` seconds without it.

        Raises ValueError for a name that no signal can have, of 1 to 255 characters.

        Each signal ends all waits of its name that are open, and one that came too early the
        next. Several waits in a body are told apart as sleeps are.
        """
        if not (isinstance(event, str) and 0 < len(event) <= LONGEST_NAME):
            raise ValueError(f"no signal is named {event!r:.100}: 1 to {LONGEST_NAME} characters")
        key, spot = self._key("signal", event, name), self._spot
        if not self._recorded(key):
            if self._recorded(key + TIMED_OUT):
                raise TimeoutError(f"No signal {event!r} came in time")
            limit = None if timeout is None else _checked(timeout)
            await spot.body.suspend(Wait(spot.checkpoint_id, key, "signal", limit, name=event))
        return self._result(key)

    def sync(self, event: str, **options: Any) -> Any:
        """The same from a sync body."""
        return self._spot.body.sync(self(event, **options))


class _Ended(msgspec.Struct):
    status: str
    output: Any = None
    error: dict[str, str] | None = None


class ChildRuns(_Waiting):
    """`await ctx.run("research", input)`: a run of another graph, on any worker, and its output."""

    async def __call__(
        self,
        target: Any,
        input: Any = None,
        *,
        config: Mapping[str, Any] | None = None,
        context: Any = None,
        name: str | None = None,
    ) -> Any:
        """The values that the child ends with. `target` is an assistant, a graph's id or a graph.

        The child has a thread of its own and is cancelled with its parent. Raises ChildRunError
        if it doesn't succeed, or asks a person, and NotFound if there is no such assistant.
        Several in a body are told apart as sleeps are.
        """
        assistant, graph = _named(target)
        key, spot = self._key("run", assistant, name), self._spot
        if not self._recorded(key):
            given = (serialize.encode(each) for each in (input, config or {}, context or {}))
            child = Child(spot.checkpoint_id, key, assistant, graph, *given)
            with spot.body.at_work():
                await spot.anchor()
                run_id = await spot.children.start(child)
            await spot.body.suspend(Wait(spot.checkpoint_id, key, "run", run_id=run_id))
        ended = msgspec.json.decode(spot.effects[key], type=_Ended)
        if ended.status != "success":
            raise ChildRunError(assistant, ended.status, ended.error)
        return ended.output

    def sync(self, target: Any, input: Any = None, **options: Any) -> Any:
        """The same from a sync body."""
        return self._spot.body.sync(self(target, input, **options))


def _checked(seconds: float) -> float:
    if not 0 <= seconds <= MOST_SECONDS:
        raise ValueError(f"a run waits 0 seconds to {MOST_SECONDS:g}, not {seconds:g}")
    return seconds


def _named(target: Any) -> tuple[str, Any]:
    if isinstance(target, str):
        return target, None
    # Its plan has the id, too, but making one takes a while.
    if (blueprint := getattr(target, "blueprint", None)) is None:
        raise TypeError(f"ctx.run takes an assistant, a graph's id or a graph, not {target!r:.100}")
    return blueprint.shape.id, target


def reported(waits: Iterable[OpenWait]) -> list[Wait]:
    """What the run tells of them: seconds count from when a body began to wait."""
    now = time.monotonic()
    return [
        each.wait
        if each.wait.seconds is None
        else attrs.evolve(each.wait, seconds=max(0.0, each.wait.seconds - (now - each.since)))
        for each in waits
    ]
