"""Stories of clients with LangGraph graphs, and all that a client is told of each.

What is told is comparable: of two tellings only ids, times and attempts may differ.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import attrs
import msgspec
from langgraph_sdk.client import LangGraphClient

State = dict[str, Any]
Turn = Callable[[State], dict[str, Any]]
"""What to ask of a run, seeing the thread's state."""


@attrs.frozen
class Story:
    """One run after the other on one thread."""

    turns: list[Turn]
    before: list[Turn] = attrs.field(factory=list)
    """On a thread of their own; what comes of them is not told."""


VARYING = re.compile(
    r"(?:lc_run-+)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b"
    r"|\b\d{15}\b"
)
APART = {"created_at", "run_attempt", "attempt"}


def says(**given: Any) -> Turn:
    return lambda _: {"input": given}


def answers(value: Any) -> Turn:
    """All questions at once, each by its id."""
    return lambda state: {"command": {"resume": {i["id"]: value for i in state["interrupts"]}}}


def answers_the_one(value: Any) -> Turn:
    return lambda _: {"command": {"resume": value}}


TURNS: dict[str, list[Turn]] = {
    "linear": [says(trail=[])],
    "map_reduce": [says(trail=[]), says(trail=["again"])],
    "nested": [says(trail=[]), answers(3)],
    "shared": [says(trail=[]), answers_the_one(4)],
    "functional": [says(numbers=[2, 3, 5]), answers(7), says(numbers=[1]), answers_the_one(2)],
    "agent": [
        says(messages=[{"role": "user", "content": "Look things up."}]),
        says(messages=[{"role": "user", "content": "And?"}]),
    ],
    "speaking": [says(trail=[])],
    "looping": [says(trail=[])],
    "counting": [lambda _: {"input": {"trail": []}, "config": {"recursion_limit": 9}}] * 2,
    "failing": [says(trail=[]), lambda _: {"command": {"update": {"mended": True}}}],
}
OWN: dict[str, Callable[[], Story]] = {
    graph: partial(Story, turns) for graph, turns in TURNS.items()
}
"""By graph of `langgraph_graphs`."""
MODES = ["values", "updates", "custom"]


@attrs.define
class Told:
    """What one client was told in one story."""

    graph: str
    thread_id: str
    frames: list[list[tuple[str, Any]]] = attrs.field(factory=list)
    """Of each run, in an order that does not vary."""
    states: list[Any] = attrs.field(factory=list)
    """After each run."""
    history: Any = None
    run_ids: list[str] = attrs.field(factory=list)
    customs: list[dict[str, Any]] = attrs.field(factory=list)

    durability: str = ""


async def play(client: LangGraphClient, graph: str, story: Story, *, durability: str) -> Told:
    """The whole story, to its end. Raises AssertionError for a frame that is missing or twice."""
    for turn in story.before:
        asked = turn({"interrupts": []})
        await client.runs.wait((await client.threads.create())["thread_id"], graph, **asked)
    told = Told(graph, (await client.threads.create())["thread_id"], durability=durability)
    for turn in story.turns:
        asked = turn(await client.threads.get_state(told.thread_id))
        parts = [
            part
            async for part in client.runs.stream(
                told.thread_id,
                graph,
                stream_mode=MODES,
                stream_subgraphs=True,
                durability=durability,
                **asked,
            )
        ]
        sequence = [int(part.id.partition("-")[2]) for part in parts]
        assert sequence == list(range(1, len(sequence) + 1)), (told, sequence)
        told.run_ids += [part.data["run_id"] for part in parts if part.event == "metadata"]
        if graph == "speaking":
            told.customs += [part.data for part in parts if part.event == "custom"]
        told.frames.append(in_order(parts))
        told.states.append(masked(await client.threads.get_state(told.thread_id, subgraphs=True)))
    told.history = masked(await client.threads.get_history(told.thread_id, limit=100))
    return told


def in_order(parts: list[Any]) -> list[tuple[str, Any]]:
    """First the states of the root, then the rest sorted: tasks of a superstep end in any order.

    What subgraphs show is not recorded in one piece with their progress.
    """
    states: list[tuple[str, Any]] = []
    others: list[tuple[str, str]] = []
    for part in parts:
        name, data = VARYING.sub("*", part.event), masked(part.data)
        if name == "values" and not _asks(data):
            states.append((name, data))
        elif name in ("values", "error") or (name == "updates" and "__metadata__" not in data):
            others.append((name, msgspec.json.encode(data, order="sorted").decode()))
    return [*states, *sorted(others)]


def _asks(data: Any) -> bool:
    return isinstance(data, dict) and "__interrupt__" in data


def masked(value: Any) -> Any:
    """Without what differs from one run to the next."""
    match value:
        case str():
            return VARYING.sub("*", value)
        case dict():
            return {masked(k): masked(v) for k, v in value.items() if k not in APART}
        case list():
            return [masked(each) for each in value]
    return value


ENDS, FRAMES = ("states", "history"), ("frames",)


def difference(undisturbed: Told, told: Told, parts: Sequence[str] = ENDS + FRAMES) -> str | None:
    """The first, in words; None if there is none."""
    for part in parts:
        expected, got = getattr(undisturbed, part), getattr(told, part)
        if found := _difference(expected, got, part):
            return f"{told.graph} {told.durability} {told.thread_id} {told.run_ids} {found}"
    return None


def _difference(expected: Any, got: Any, at: str) -> str | None:
    """Where two values differ first."""
    if type(expected) is not type(got) or not isinstance(expected, list | tuple | dict):
        return None if expected == got else f"{at}: expected {expected}, got {got}"
    if isinstance(expected, dict):
        keys = sorted(expected.keys() | got.keys())
        pairs = ((f"{at}.{key}", expected.get(key, ...), got.get(key, ...)) for key in keys)
    else:
        both = enumerate(zip_longest(expected, got, fillvalue=...))
        pairs = ((f"{at}.{place}", *each) for place, each in both)
    return next((found for where, a, b in pairs if (found := _difference(a, b, where))), None)


def check_customs(told: Told) -> None:
    """Each execution's frames are once and in order; the last execution's are all there."""
    by_attempt: dict[int, list[int]] = {}
    for data in told.customs:
        by_attempt.setdefault(data["attempt"], []).append(data["n"])
    assert all(each == list(range(len(each))) for each in by_attempt.values()), by_attempt
    assert sum(len(each) == 30 for each in by_attempt.values()) >= 2 or not by_attempt, by_attempt
