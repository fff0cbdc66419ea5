"""What LangGraph's own graphs in `documented/` tell over the event-streaming protocol."""

from typing import Any

from tests.conformance.scenarios import Scenario
from tests.conformance.scenarios_documented import Case, Interrupts, open_questions
from tests.conformance.scenarios_protocol import CHANNELS, command, ended, fresh, replayed
from tests.conformance.wire import Wire

GRAPHS = (
    *("react_agent", "approval_middleware", "structured_output", "streaming", "reflection"),
    *("map_reduce", "functional", "typed_state", "routing", "failures"),
)
"""Those whose subgraphs run one after another: the lifecycle of parallel ones has no order."""


async def events(wire: Wire, case: Case) -> None:
    """The conversation, turn by turn, then all of it again, one channel after another."""
    thread = fresh()
    await command(wire, thread, "run.start", assistant_id=case.graph, input=case.input)
    for number, turn in enumerate(case.turns, 1):
        await ended(wire, thread, number)
        questions = await open_questions(wire, thread)
        chosen = case.turn(turn, questions)
        if "command" in chosen:
            answers = answered(chosen["command"]["resume"], questions)
            await command(wire, thread, "input.respond", responses=answers)
        else:
            wanted = {key: chosen[key] for key in ("assistant_id", "input")}
            await command(wire, thread, "run.start", config=chosen.get("config", {}), **wanted)
    await ended(wire, thread, len(case.turns) + 1)
    await replayed(wire, thread, CHANNELS)


def of(case: Case) -> tuple[Scenario, ...]:
    return (events,) if case.graph in GRAPHS else ()


def answered(resume: Any, questions: Interrupts) -> list[dict[str, Any]]:
    """A resume as the protocol has it: by interrupt."""
    known = {question["id"] for question in questions}
    by_id = isinstance(resume, dict) and resume.keys() <= known
    answers = resume if by_id else {questions[0]["id"]: resume}
    return [{"interrupt_id": key, "response": value} for key, value in answers.items()]
