"""A run of the event-streaming protocol is lost at any moment: what is told is not told again."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from duragraph.ids import new_id
from duragraph.protocol import Checkpoint, Outcome
from duragraph_worker.langgraph.hosted import hosted
from tests.integration.test_commands import start
from tests.integration.test_event_protocol import Events
from tests.langgraph.lost_graphs import in_a_row, nested
from tests.langgraph.recorder import Kept
from tests.langgraph.test_takeover import Played

STATE = ["values", "updates", "input", "tasks", "checkpoints"]
IDS = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

pytestmark = pytest.mark.timeout(60)


class Loose(Kept):
    def put(self, item: Any) -> None:
        """Frames of other graphs may come between a checkpoint and what follows it."""
        last = self.items[-1] if self.items else None
        if isinstance(last, Checkpoint) and last.checkpoint_id == item.checkpoint_id:
            super().put(item)
        else:
            self.items.append(item)


class Watched(Played):
    async def _attempt(self, task: Any) -> tuple[list[Any], Outcome]:
        kept = Loose()
        return kept.items, await hosted(self.graph, graph_id="g").execute(task, kept, self)


async def told(plane: Any, played: Played, *, lost: int | None, end: str) -> tuple[int, Any]:
    """How many items the run's first attempt had, and the events, ids aside.

    That attempt is lost after so many of them.
    """
    thread = new_id()
    await start(plane, thread, input={"n": 1})
    task = await played.task()
    items, outcome = await played._attempt(task)
    count = len(items)
    if lost is not None:
        await played._report(task, items[:lost], Outcome("released"))
        task = await played.task()
        items, outcome = await played._attempt(task)
    await played._report(task, items, outcome)
    body = {"channels": [*STATE, "lifecycle"]}
    async with plane.http.post(f"/threads/{thread}/stream/events", json=body) as response:
        events = await Events(response).until(end)
    return count, Counter(
        IDS.sub("<id>", json.dumps([event["method"], event["params"]["data"]]))
        for event in events
        if event["method"] != "lifecycle"
    )


@pytest.mark.parametrize(("make", "end"), [(in_a_row, "completed"), (nested, "interrupted")])
async def test_any_moment(plane, make, end):
    played = Watched(plane, await plane.worker("g"), make())
    count, undisturbed = await told(plane, played, lost=None, end=end)
    for lost in range(count + 1):
        _, again = await told(plane, played, lost=lost, end=end)
        # A task that begins again says so.
        more = {each for each in again - undisturbed if '"triggers"' not in each}
        assert not more, f"lost after {lost} of {count} items"
