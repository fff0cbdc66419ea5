"""What runs with no server come to: plain data."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import attrs

from duragraph_worker.errors import Interrupt


@attrs.frozen(kw_only=True)
class RunResult:
    """How a run ended."""

    status: Literal["success", "interrupted", "error"]
    output: Any
    """The state's values, those of the declared output if there is one."""
    interrupts: tuple[Interrupt, ...] = ()
    error: Exception | None = None
    usage: Mapping[str, Any] = attrs.field(factory=dict)
    """What models took, as `duragraph.usage.Totals` has it; costs are US dollars."""
    steps: int = 0
    """Supersteps that this run finished."""
    thread_id: str
    run_id: str


@attrs.frozen(kw_only=True)
class State:
    """A thread at one of its checkpoints."""

    values: dict[str, Any]
    next: tuple[str, ...]
    interrupts: tuple[Interrupt, ...]
    metadata: Mapping[str, Any]
    created_at: str | None
    checkpoint_id: str | None
    parent_id: str | None


class Part(NamedTuple):
    """A piece of a stream, as langgraph-sdk has it."""

    event: str
    data: Any
