"""The `>>` operators: nodes, lists and mappings drawn together into edges.

Edges live on the node objects they join, on both ends, so that a graph's check sees those of a
node that was redefined. Nothing is checked here but what `>>` can't mean at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Union

import attrs

from duragraph_worker.plan import END, START

Operand = Union["Wired", str, Sequence[Any], Mapping[Any, Any]]
"""What may stand at the right of `>>`; the only strings are START and END."""


@attrs.define(eq=False)
class Ends:
    """The edges of one node."""

    to: list["Wired | str"] = attrs.field(factory=list)
    """Plain edges. A router's are targets, labelled by their names."""
    labels: list[Mapping[Any, "Wired | str"]] = attrs.field(factory=list)
    """`>> {label: target}`, once for each time it was written."""
    joins: list[tuple["Wired", ...]] = attrs.field(factory=list)
    """Each waits for all of these before the node runs."""
    incoming: list["Wired"] = attrs.field(factory=list)
    entry: bool = False


class Wired:
    """Anything that `>>` joins: it is entered at its `heads` and left at its `tails`."""

    @property
    def heads(self) -> "tuple[Wired | str, ...]":
        raise NotImplementedError

    @property
    def tails(self) -> "tuple[Wired, ...]":
        raise NotImplementedError

    choice = False
    """Only one of the tails will run, so nothing may wait for all of them."""

    @property
    def picks(self) -> bool:
        """Whether it goes on to one of its targets, not to all."""
        return False

    @property
    def ends(self) -> Ends:
        raise NotImplementedError

    def __rshift__(self, right: Operand) -> "Path":
        if isinstance(right, Mapping):
            return self._choose(right)
        path = _path(right)
        if not self.tails:
            raise TypeError("nothing can follow END: end the chain there")
        for head in path.heads:
            self._enter(head)
        picked = len(path.heads) > 1 and all(tail.picks for tail in self.tails)
        return Path(self.heads, path.tails, choice=path.choice or picked)

    def __rrshift__(self, left: Any) -> "Path":
        if left == START:
            for head in self.heads:
                if isinstance(head, Wired):
                    head.ends.entry = True
            return Path(self.heads, self.tails, self.choice)
        if isinstance(left, str) or not isinstance(left, Sequence):
            return NotImplemented
        return _path(left) >> self

    def _enter(self, head: "Wired | str") -> None:
        if isinstance(head, Wired):
            head.ends.incoming.extend(self.tails)
        if len(self.tails) == 1 or self.choice or not isinstance(head, Wired):
            for tail in self.tails:
                tail.ends.to.append(head)
        else:
            head.ends.joins.append(self.tails)

    def _choose(self, labels: Mapping[Any, Any]) -> "Path":
        if len(self.tails) != 1 or not labels:
            raise TypeError("`>> {label: node}` needs one router at its left and one label or more")
        paths = {label: _path(target) for label, target in labels.items()}
        for label, path in paths.items():
            if len(path.heads) != 1:
                raise TypeError(f"label {label!r} must lead to one node; let that node fan out")
        (router,) = self.tails
        router.ends.labels.append({label: path.heads[0] for label, path in paths.items()})
        for path in paths.values():
            for head in path.heads:
                if isinstance(head, Wired):
                    head.ends.incoming.append(router)
        tails = tuple(dict.fromkeys(tail for path in paths.values() for tail in path.tails))
        return Path(self.heads, tails, choice=True)


@attrs.frozen(eq=False)
class Path(Wired):
    """What `>>` returns: chains go on from its tails."""

    heads: "tuple[Wired | str, ...]"
    tails: tuple[Wired, ...]
    choice: bool = False


def _path(operand: Any) -> Wired:
    if isinstance(operand, Wired):
        return operand
    if operand == END:
        return Path((END,), ())
    if isinstance(operand, str) or not isinstance(operand, Sequence):
        raise TypeError(f"`>>` joins nodes, lists of nodes, END, or a mapping, not {operand!r}")
    paths = [_path(item) for item in operand]
    if not paths:
        raise TypeError("`>>` with an empty list joins nothing")
    if len(paths) > 1 and any(path.choice for path in paths):
        raise TypeError("a choice can't stand in a list: only one of its ends will run")
    heads = tuple(head for path in paths for head in path.heads)
    return Path(heads, tuple(tail for path in paths for tail in path.tails), paths[0].choice)
