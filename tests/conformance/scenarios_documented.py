"""What LangGraph's own graphs in `documented/` are put through, the same files on both servers.

A case is a conversation with one graph: what is sent to its thread, turn by turn. The words
`"$fresh"` in it stand for a UUID, another in each scenario, so that no two share a store.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import attrs

from tests.conformance import scenarios
from tests.conformance.scenarios import MODES, Scenario, look, new_thread, settled
from tests.conformance.wire import Wire

Interrupts = list[dict[str, Any]]
Turn = dict[str, Any] | Callable[[Interrupts], dict[str, Any]]
"""Fields of a run, or what makes them of the questions that are open."""


@attrs.frozen
class Case(scenarios.Case):
    turns: tuple[Turn, ...] = ()
    """What follows the first input."""
    fields: dict[str, Any] = attrs.field(factory=dict)
    """Of every run."""

    def run(self, **fields: Any) -> dict[str, Any]:
        return {**super().run(), **self.fields, **fields}

    def turn(self, turn: Turn, interrupts: Interrupts) -> dict[str, Any]:
        chosen = turn(interrupts) if callable(turn) else turn
        return {"assistant_id": self.graph, **self.fields, **chosen}


def case(graph: str, input: Any, first: str, *turns: Turn, **fields: Any) -> Case:
    return Case(graph, graph, input, first, turns, fields)


def human(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def says(text: str) -> dict[str, Any]:
    return {"input": human(text)}


def resumes(answer: Any) -> dict[str, Any]:
    return {"command": {"resume": answer}}


def answers_each(answer: Callable[[Any], Any]) -> Turn:
    """Answers all open questions at once, each by its id."""
    return lambda interrupts: resumes({each["id"]: answer(each["value"]) for each in interrupts})


def answers_first(answer: Any) -> Turn:
    """Answers one of the open questions by its id."""
    return lambda interrupts: resumes({interrupts[0]["id"]: answer})


USER = {"user_id": "$fresh"}
GO_ON: dict[str, Any] = {"input": None}

CASES = (
    case(
        "react_agent",
        human("What is the weather in Paris and Oslo?"),
        "model",
        says("And who are you?"),
        says("The weather in Oslo alone?"),
    ),
    case(
        "react_prebuilt",
        {**human("Where is order 7?"), "customer": "Ada"},
        "agent",
        says("And order 0?"),
    ),
    case(
        "supervisor", human("How many people have Acme and Umbrella?"), "supervisor", says("Again?")
    ),
    case(
        "swarm",
        human("Book a flight to Lima"),
        "flights",
        says("And a hotel"),
        says("Another hotel"),
        says("A flight back"),
    ),
    case("map_reduce", {"topic": "animals"}, "name_subjects", {"input": {"topic": "nothing"}}),
    case(
        "review",
        human("send money"),
        "call_model",
        resumes({"action": "continue"}),
        says("send more"),
        resumes({"action": "update", "data": {"to": "Bob", "amount": 1}}),
        says("send all"),
        resumes({"action": "feedback", "data": "No, never."}),
        says("send it"),
        resumes({"action": "nonsense"}),
        resumes({"action": "continue"}),
    ),
    case(
        "approval_middleware",
        human("tidy up"),
        "model",
        resumes({"decisions": [{"type": "approve"}, {"type": "reject", "message": "keep b"}]}),
        says("once more"),
        resumes(
            {
                "decisions": [
                    {"type": "edit", "edited_action": {"name": "delete", "args": {"file": "c"}}},
                    {"type": "approve"},
                ]
            }
        ),
    ),
    case(
        "approval_per_call",
        human("tidy up"),
        "model",
        answers_each(lambda value: {"type": "approve"}),
        says("once more"),
        answers_each(lambda value: {"type": "reject", "message": f"keep {value['args']['file']}"}),
        says("and again"),
        answers_first({"type": "no such"}),
    ),
    case(
        "parallel_questions",
        {"plan": "a house"},
        "announce",
        answers_first(100),
        answers_each(lambda value: f"{value['team']}'s answer"),
        answers_each(lambda value: value["question"]),
    ),
    case("functional", "cats", "graph", resumes("fine"), {"input": "dogs"}, resumes({"a": [1]})),
    case(
        "functional_agent",
        [{"role": "user", "content": "How much is it?"}],
        "graph",
        {"input": [{"role": "user", "content": "Say it again"}]},
    ),
    case(
        "remembers",
        human("Remember that I like tea"),
        "chat",
        says("What do I like?"),
        context=USER,
    ),
    case(
        "long_term_memory",
        human("call me Ada"),
        "call_model",
        says("Who am I?"),
        says("call me Bob"),
        context=USER,
    ),
    case("plan_execute", {"input": "Where is the winner from?"}, "planner"),
    case("rag", human("hacking of reward"), "query_or_respond", says("hello"), says("noise?")),
    case("reflection", human("a poem"), "generate"),
    case("routing", {"input": "a joke"}, "route", {"input": {"input": "everything"}}),
    case("orchestrator", {"topic": "tea"}, "orchestrate"),
    case("evaluator", {"topic": "cats"}, "generate"),
    case("breakpoints", human("go"), "agent", GO_ON, GO_ON, says("again")),
    case("handoffs", human("my radio is broken"), "sales", says("thanks")),
    case("streaming", human("how many users?"), "choose"),
    case(
        "retries",
        {"seed": "$fresh"},
        "fetch",
        {"input": {"seed": "$fresh"}},
        {"input": {"seed": "$fresh", "fails": True}},
    ),
    case("deferred", {"aggregate": []}, "a"),
    case(
        "runtime_context",
        human("hi"),
        "call_model",
        {**says("hi"), "context": {"model": "casual", "hobbies": ["tea"]}},
        {**says("hi"), "context": {"model": "nope"}},
        {**says("hi"), "config": {"recursion_limit": 7, "tags": ["a", "b"]}},
        {**says("hi"), "config": {"configurable": {"system_prompt": "Be brief."}}},
    ),
    case(
        "typed_state",
        {"title": "On tea", "author": {"name": "Bo", "born": "1990-01-02"}, "marks": [{"line": 3}]},
        "read",
        {"input": {"title": "More", "author": {"name": "Cy"}}},
        {"input": {"title": "More", "words": -1}},
    ),
    case("summary", human("one"), "call_model", says("two"), says("three"), says("four")),
    case("structured_output", human("Ada is 36"), "model"),
    case(
        "own_memory",
        {"text": "one"},
        "child",
        {"input": {"text": "ask"}},
        resumes("so"),
        {"input": {"text": "three"}},
    ),
    case(
        "channels",
        {"kind": "go"},
        "first",
        {"input": {"kind": "reset", "seen": ["by hand"]}},
        {"input": {"total": 5}},
        {"input": {"total": 5}, "config": {"recursion_limit": 4}},
    ),
    case("policies", {"kind": "fail"}, "risky", {"input": {"kind": "fine"}}),
    case("saves", 1, "graph", {"input": 2}, {"input": 3}),
    case(
        "failures",
        {"kind": "value"},
        "sort_out",
        {"input": {"kind": "own"}},
        {"input": {"kind": "shape"}},
        {"input": {"kind": "loop"}, "config": {"recursion_limit": 5}},
        {"input": {"kind": "careful"}, "config": {"recursion_limit": 6}},
        {"input": {"kind": "none"}},
        {"input": {"kind": "update"}},
    ),
)


def fresh(case: Case) -> Case:
    """The case with a UUID of its own for `$fresh`."""
    chosen = str(uuid4())

    def filled(value: Any) -> Any:
        match value:
            case "$fresh":
                return chosen
            case dict():
                return {key: filled(item) for key, item in value.items()}
            case list() | tuple():
                return type(value)(map(filled, value))
        return value

    return attrs.evolve(
        case, input=filled(case.input), turns=filled(case.turns), fields=filled(case.fields)
    )


async def streams(wire: Wire, case: Case) -> None:
    """Every stream mode, alone where it has frames of its own, with subgraphs and without."""
    for fields in (
        {},
        {"stream_mode": [*MODES]},
        {"stream_mode": [*MODES], "stream_subgraphs": True},
        {"stream_mode": "messages"},
        {"stream_mode": ["messages-tuple", "updates"], "stream_subgraphs": True},
        {"stream_mode": "events"},
    ):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/stream", case.run(**fields))
        await settled(wire, thread)


async def open_questions(wire: Wire, thread: str) -> Interrupts:
    """Those of the thread's state, unrecorded, by the text of what they ask."""
    async with wire.session.get(f"{thread}/state") as response:
        state = await response.json()
    return sorted(state["interrupts"], key=lambda interrupt: str(interrupt["value"]))


async def conversation(wire: Wire, case: Case) -> None:
    """Turn by turn, streamed, with a look at all that the thread shows after each."""
    thread = await new_thread(wire)
    modes = ["values", "updates", "messages-tuple", "custom"]
    await wire.post(f"{thread}/runs/stream", case.run(stream_mode=modes, stream_subgraphs=True))
    await look(wire, thread)
    for turn in case.turns:
        body = case.turn(turn, await open_questions(wire, thread))
        await wire.post(
            f"{thread}/runs/stream", {**body, "stream_mode": modes, "stream_subgraphs": True}
        )
        await look(wire, thread)


async def waits(wire: Wire, case: Case) -> None:
    """The same conversation by `runs/wait`, nothing streamed."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", case.run(metadata={"kind": "waited for"}))
    await settled(wire, thread)
    for turn in case.turns:
        body = case.turn(turn, await open_questions(wire, thread))
        await wire.post(f"{thread}/runs/wait", body)
        await settled(wire, thread)
    await wire.get(thread)
    await wire.get(f"{thread}/state")
    await wire.get(f"{thread}/runs")


async def stops(wire: Wire, case: Case) -> None:
    """Node by node: static breakpoints before all of them, then after all."""
    for stop in ({"interrupt_before": "*"}, {"interrupt_after": "*"}):
        thread = await new_thread(wire)
        run = case.run(stream_mode=["values", "updates"], **stop)
        await wire.post(f"{thread}/runs/stream", run)
        await settled(wire, thread)
        for _ in range(4):
            await wire.post(f"{thread}/runs/stream", {**run, **GO_ON})
            await settled(wire, thread)
        await look(wire, thread)


async def durability(wire: Wire, case: Case) -> None:
    for chosen in ("sync", "async", "exit"):
        thread = await new_thread(wire)
        await wire.post(f"{thread}/runs/wait", case.run(durability=chosen))
        await settled(wire, thread)
        await wire.post(f"{thread}/history", {"limit": 50})


async def travel(wire: Wire, case: Case) -> None:
    """From the second and the last but one checkpoint: run on, then change the state and run on."""
    thread = await new_thread(wire)
    await wire.post(f"{thread}/runs/wait", case.run())
    await settled(wire, thread)
    history = await wire.post(f"{thread}/history", {"limit": 50})
    states = history.json
    for older in (states[-2:] + states[1:2])[1:]:
        checkpoint = older["checkpoint"]
        run = {"assistant_id": case.graph, **case.fields, "checkpoint": checkpoint}
        await wire.get(f"{thread}/state/{checkpoint['checkpoint_id']}")
        await wire.post(f"{thread}/state/checkpoint", {"checkpoint": checkpoint})
        await wire.post(f"{thread}/runs/stream", {**run, "stream_mode": ["values", "updates"]})
        await look(wire, thread)
        await wire.post(f"{thread}/state", {"values": case.input, "checkpoint": checkpoint})
        await look(wire, thread)
        await wire.post(f"{thread}/runs/wait", run)
        await look(wire, thread)


async def stateless(wire: Wire, case: Case) -> None:
    await wire.post("/runs/wait", case.run())
    await wire.post("/runs/stream", case.run(stream_mode=["values", "messages-tuple"]))


SCENARIOS: tuple[Scenario, ...] = (
    streams,
    conversation,
    waits,
    stops,
    durability,
    travel,
    stateless,
    scenarios.updates,
    scenarios.description,
)
