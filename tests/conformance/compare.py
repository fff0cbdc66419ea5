"""Finds where two normalised conversations differ, leaf by leaf.

Ids are equal when they stand for each other throughout a scenario. Frames are aligned by
event name before their data is compared, so that one missing frame is one difference.
"""

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import attrs

ABSENT = "(absent)"
NAME = re.compile(r"<\w+ \d+>")


@attrs.frozen
class Difference:
    """One leaf that is not equal. `path` has frame names and keys, but no indexes."""

    scenario: str
    call: str
    path: str
    reference: str
    ours: str

    @cached_property
    def where(self) -> str:
        """What the patterns in `explained.py` are matched against."""
        return unnumbered(f"{self.scenario} · {self.call} · {self.path}")


def differences(scenario: str, reference: list[Any], ours: list[Any]) -> Iterator[Difference]:
    """The differences of one scenario, in the order of its calls."""
    pairing = Pairing()
    for number, (theirs, mine) in enumerate(zip(reference, ours, strict=False), 1):
        call = f"{number:02} {theirs['call']}"
        if sent := theirs.get("sent"):
            call += f" {json.dumps(sent, separators=(',', ':'))[:160]}"
        if unnumbered(theirs["call"]) != unnumbered(mine["call"]):
            yield Difference(scenario, call, "call", theirs["call"], f"{mine['call']} {mine}")
            return
        if theirs["status"] != mine["status"]:
            yield Difference(scenario, call, "status", answer(theirs), answer(mine))
            continue
        for path, theirs_leaf, mine_leaf in pairing.leaves("", theirs, mine):
            if not re.match(r"sent\b", path):
                yield Difference(scenario, call, path, theirs_leaf, mine_leaf)
    if len(reference) != len(ours):
        calls = f"{len(reference)} calls", f"{len(ours)} calls"
        yield Difference(scenario, "end of the conversation", "length", *calls)


def answer(exchange: Any) -> str:
    """Status and body in one line, where nothing in them can be compared."""
    body = next((exchange[part] for part in ("frames", "json", "text") if part in exchange), "")
    return f"{exchange['status']} {text(body)}"


@attrs.define
class Pairing:
    """Which of our ids stands for which of the reference's, learnt at their first meeting."""

    ours: dict[str, str] = attrs.field(factory=dict)
    reference: dict[str, str] = attrs.field(factory=dict)

    def equal(self, reference: str, ours: str) -> bool:
        """Whether the texts are the same but for ids, and those are paired with each other."""
        if unnumbered(reference) != unnumbered(ours):
            return False
        names = zip(NAME.finditer(reference), NAME.finditer(ours), strict=True)
        return all(self._pair(theirs[0], mine[0]) for theirs, mine in names)

    def _pair(self, theirs: str, mine: str) -> bool:
        if theirs not in self.ours and mine not in self.reference:
            self.ours[theirs], self.reference[mine] = mine, theirs
        return self.ours.get(theirs) == mine

    def leaves(self, path: str, reference: Any, ours: Any) -> Iterator[tuple[str, str, str]]:
        """`(path, theirs, ours)` of every leaf that is not equal, as JSON text."""
        if isinstance(reference, dict) and isinstance(ours, dict):
            for key, theirs, mine in self._members(reference, ours):
                yield from self.leaves(f"{path}.{key}" if path else key, theirs, mine)
        elif isinstance(reference, list) and isinstance(ours, list):
            for theirs, mine in aligned(reference, ours):
                name = next((kind(item) for item in (theirs, mine) if item is not ABSENT), "")
                yield from self.leaves(f"{path}[{name}]", theirs, mine)
        elif not identical(reference, ours) and not self.equal(text(reference), text(ours)):
            yield path, text(reference), text(ours)

    def _members(
        self, reference: dict[str, Any], ours: dict[str, Any]
    ) -> Iterator[tuple[str, Any, Any]]:
        left = dict(ours)
        for key, value in reference.items():
            if "<" not in key:
                yield key, value, left.pop(key, ABSENT)
                continue
            # Of several ids the one is meant whose value is the same.
            named = [mine for mine in left if unnumbered(mine) == unnumbered(key)]
            named.sort(key=lambda mine: unnumbered(text(left[mine])) != unnumbered(text(value)))
            same = next((mine for mine in named if self.equal(key, mine)), key)
            yield unnumbered(key), value, left.pop(same, ABSENT)
        for key, value in left.items():
            yield unnumbered(key), ABSENT, value


def aligned(reference: list[Any], ours: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Pairs of the items, with ABSENT for what only one side has."""
    matcher = SequenceMatcher(None, [*map(kind, reference)], [*map(kind, ours)], autojunk=False)
    for tag, start, end, ours_start, ours_end in matcher.get_opcodes():
        theirs, mine = reference[start:end], ours[ours_start:ours_end]
        if tag == "equal":
            yield from zip(theirs, mine, strict=True)
        else:
            yield from ((item, ABSENT) for item in theirs)
            yield from ((ABSENT, item) for item in mine)


def kind(item: Any) -> str:
    """A frame's event name; all else is aligned by position."""
    return unnumbered(str(item.get("event", ""))) if isinstance(item, dict) else ""


def identical(reference: Any, ours: Any) -> bool:
    """Whether leaves are the same, and no ids in them are left to be paired."""
    named = isinstance(ours, str) and "<" in ours
    return reference == ours and type(reference) is type(ours) and not named


def unnumbered(text: str) -> str:
    """Ids are told apart by what they are paired with, not by the kind they were named for."""
    return NAME.sub("<id>", text) if "<" in text else text


def text(value: Any) -> str:
    return value if value == ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)
