"""What a node may return besides an update: where to go next, and with what.

Plain data. Subscripts name the targets for drawings and checks: `-> Command[Literal["a"]]`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, Literal, TypeVar

import attrs

Target = TypeVar("Target", bound=str)


@attrs.frozen
class Send(Generic[Target]):
    """Run `node` in the next superstep on `arg` instead of the graph's state.

    Each `Send` is a task of its own, so one node may run many times at once.
    """

    node: str
    arg: Any


@attrs.frozen(kw_only=True)
class Command(Generic[Target]):
    """Update the state and jump. Edges of the node are followed as well.

    `resume` answers interrupts and is for callers, not for nodes. `graph=Command.PARENT`
    jumps in the graph that the node's own graph is a subgraph of.
    """

    PARENT: ClassVar[Literal["__parent__"]] = "__parent__"

    goto: str | Send[Any] | Sequence[str | Send[Any]] = ()
    update: Any = None
    """A mapping, or a list of `(key, value)` pairs."""
    resume: Any = None
    graph: Literal["__parent__"] | None = None

    @property
    def targets(self) -> tuple[str | Send[Any], ...]:
        """`goto` as a tuple."""
        if isinstance(self.goto, str | Send):
            return (self.goto,)
        return tuple(self.goto)
