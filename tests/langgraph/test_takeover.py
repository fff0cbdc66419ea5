"""An attempt is lost after any part of its progress: the next goes on from what is on record."""

import asyncio
import re
from collections import Counter
from itertools import chain
from typing import Any

import attrs
import pytest

from duragraph.protocol import Checkpoint, Frame, Outcome, Scheduled, Snapshot, Task, Write
from duragraph_worker.langgraph.hosted import hosted
from tests.langgraph.lost_graphs import STORIES, in_a_row, ran
from tests.langgraph.recorder import Kept

BREAK = Frame("updates", b'{"__interrupt__":[]}')
"""Tells of a breakpoint, and leaves with the outcome."""
PARTS = {Frame: "frames", Checkpoint: "checkpoints", Write: "writes", Scheduled: "scheduled"}


@attrs.frozen
class Played:
    """A plane whose worker the test moves; `graph` is served as `g`."""

    plane: Any
    hand: Any
    graph: Any
    kept: list[Kept] = attrs.field(factory=list)
    """Of all attempts."""
    epochs: dict[str, int] = attrs.field(factory=dict)
    """Of the runs that were taken up."""

    async def task(self) -> Task:
        """The next one. What is offered again meanwhile is passed over, as a worker does it."""
        while (task := await self.hand.task()).epoch <= self.epochs.get(task.run_id, 0):
            pass
        self.epochs[task.run_id] = task.epoch
        return task

    async def run(self, thread_id: str, *, lose_after: int | None = None, **fields: Any) -> int:
        """A run to its end; its first attempt is lost after that many items.

        How many it had that may leave without the outcome.
        An `answer` is given to the questions that wait, by their ids.
        """
        if "answer" in fields:
            thread = (await self.plane.get(f"/threads/{thread_id}")).json
            asked = chain.from_iterable(thread["interrupts"].values())
            resume = {each["id"]: fields["answer"] for each in asked}
            fields = {"command": {"resume": resume}}
        run_id = await self.plane.start_run(
            thread_id, stream_mode=["values", "updates", "tasks"], stream_resumable=True, **fields
        )
        first = await self.task()
        assert first.run_id == run_id
        items, outcome = await self._attempt(first)
        if lose_after is None:
            await self._report(first, items, outcome)
            return len(items) - (BREAK in items)
        await self._report(first, items[:lose_after], Outcome("released"))
        done = {w.task_id for w in items[:lose_after] if isinstance(w, Write) and w.result}
        ran.clear()
        second = await self.task()
        await self._report(second, *await self._attempt(second))
        assert not done & set(ran), "a node whose result was on record ran again"
        return len(items) - (BREAK in items)

    async def _attempt(self, task: Any) -> tuple[list[Any], Outcome]:
        kept = Kept()
        self.kept.append(kept)
        outcome = await hosted(self.graph, graph_id="g").execute(task, kept, self)
        assert BREAK not in kept.items[: kept.left], "it may leave without the outcome"
        return kept.items, outcome

    async def _report(self, task: Any, items: list[Any], outcome: Outcome) -> None:
        parts: dict[str, list[Any]] = {name: [] for name in PARTS.values()}
        for item in items:
            parts[PARTS[type(item)]].append(item)
        verdict = await self.hand.report(task, outcome=outcome, **parts)
        assert verdict.verdict == "accepted"

    async def checkpoints(self, query: Any) -> list[Snapshot]:
        path = f"/workers/{self.hand.worker_id}/checkpoints"
        return list(await self.plane._message(path, query, list[Snapshot]))

    async def request(self, *_: Any, **__: Any) -> bytes:
        raise AssertionError("nothing asks the API here")


TOLD = f"event: {BREAK.event}data: {BREAK.data.decode()}"
"""`BREAK` as it is counted."""


async def end_of(plane, played: Played, runs: list[dict[str, Any]], at: tuple[int, int]) -> Any:
    """The thread after `runs`, of which run `at[0]` loses its first attempt after `at[1]` items."""
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    counts = []
    for number, fields in enumerate(runs):
        lose_after = at[1] if number == at[0] else None
        counts.append(await played.run(thread_id, lose_after=lose_after, **fields))
    shown = await frames_of(plane, thread_id)
    answer = await plane.post(f"/threads/{thread_id}/history", {"limit": 100})
    assert answer.status == 200, answer.body
    history = answer.json
    states = [(s["values"], s["next"], s["metadata"]["source"]) for s in history]
    thread = (await plane.get(f"/threads/{thread_id}")).json
    return counts, shown, (thread["values"], thread["status"], states)


async def frames_of(plane: Any, thread_id: str) -> Counter[str]:
    """What the thread's runs have shown of state and updates, question ids aside."""
    shown: Counter[str] = Counter()
    for run in (await plane.get(f"/threads/{thread_id}/runs")).json:
        path = f"/threads/{thread_id}/runs/{run['run_id']}/stream"
        answer = await plane.get(path, headers={"Last-Event-ID": "-1"})
        for frame in answer.body.decode().split("\r\n\r\n"):
            event, _, rest = frame.partition("\r\n")
            if event in ("event: values", "event: updates"):
                data = rest.partition("\r\n")[0]
                shown[event + re.sub(r'"id":"\w+"', "", data)] += 1
    return shown


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("story", ["chain", "fan"])
async def test_what_shows_a_superstep_leaves_with_it(plane, story, durability):
    """Also where the run stops before or after it."""
    make, runs = STORIES[story]
    played = Played(plane, await plane.worker("g"), make())
    thread_id = (await plane.post("/threads", {})).json["thread_id"]
    for fields in runs:
        await played.run(thread_id, durability=durability, **fields)
        kept = played.kept[-1]
        shows = [n for n, item in enumerate(kept.items) if isinstance(item, Frame)]
        for place, item in enumerate(kept.items):
            if isinstance(item, Checkpoint) and item.source == "loop":
                after = next(n for n in shows if n > place and kept.items[n].event == "values")
                assert kept.turns[place] == kept.turns[after]


@pytest.mark.parametrize("story", STORIES)
async def test_any_moment(plane, story):
    make, runs = STORIES[story]
    played = Played(plane, await plane.worker("g"), make())
    counts, shown, undisturbed = await end_of(plane, played, runs, (-1, 0))
    for number, count in enumerate(counts):
        for lost in range(count + 1):
            _, again, end = await end_of(plane, played, runs, (number, lost))
            when = f"run {number} was lost after {lost} of {count} items"
            assert end == undisturbed, when
            assert not again - shown, when
            assert again[TOLD] == shown[TOLD], when


async def made(played: Played, lose_after: int | None) -> tuple[int, Any]:
    """How many items an update of three supersteps has, and the history that it makes."""
    updates = [
        {"values": {"n": 1}, "as_node": "__input__"},
        {"values": {"n": 1}, "as_node": "__start__"},
        {"values": {"log": ["by hand"]}, "as_node": "a"},
    ]
    supersteps = [{"updates": [each]} for each in updates]
    body = {"metadata": {"graph_id": "g"}, "supersteps": supersteps}
    answer = asyncio.create_task(played.plane.post("/threads", body))
    task = await played.task()
    items, outcome = await played._attempt(task)
    if lose_after is None:
        await played._report(task, items, outcome)
    else:
        await played._report(task, items[:lose_after], Outcome("released"))
        again = await played.task()
        await played._report(again, *await played._attempt(again))
    thread_id = (await answer).json["thread_id"]
    history = (await played.plane.post(f"/threads/{thread_id}/history", {"limit": 9})).json
    return len(items), [(s["values"], s["next"], s["metadata"]["source"]) for s in history]


async def test_any_moment_of_an_update(plane):
    played = Played(plane, await plane.worker("g"), in_a_row())
    count, undisturbed = await made(played, None)
    assert len(undisturbed) == 3
    for lost in range(count + 1):
        assert await made(played, lost) == (count, undisturbed), f"lost after {lost} of {count}"
