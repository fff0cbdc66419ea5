"""The conversations of the conformance tier with the documented graphs, as stories."""

from functools import partial

from tests.conformance.scenarios_documented import CASES, Case, fresh, says
from tests.conformance.scenarios_documented import Turn as Fields
from tests.crash.stories import State, Story, Turn

BEFORE = {"remembers": says("Remember that I like tea"), "long_term_memory": says("call me Ada")}
"""What is said on another thread first. A body that writes to the store what it has read there
sees its own writing when it is lost and executed again, unless that was there before."""

LEFT_OUT = {"retries", "failures", "channels"}
"""`retries` caches results in its process, so that what it shows depends on the worker. In
`failures` a node fails beside one that may end before it or not. `channels` shows how many steps
remain, which are counted anew where a run is taken over."""


def story(case: Case) -> Story:
    """With a user of its own."""
    case = fresh(case)
    before = [asks(case, BEFORE[case.graph])] if case.graph in BEFORE else []
    return Story([asks(case, turn) for turn in ({"input": case.input}, *case.turns)], before)


def asks(case: Case, fields: Fields) -> Turn:
    def turn(state: State) -> dict[str, object]:
        questions = sorted(state["interrupts"], key=lambda interrupt: str(interrupt["value"]))
        asked = case.turn(fields, questions)
        return {name: value for name, value in asked.items() if name != "assistant_id"}

    return turn


DOCUMENTED = {case.graph: partial(story, case) for case in CASES if case.graph not in LEFT_OUT}
