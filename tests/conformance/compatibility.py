"""`docs/compatibility.md`: one row an endpoint, from the comparison of two servers' answers.

A row counts what was asked there and tells both servers' statuses and the differences, each
with its reason. It holds nothing that two comparisons of the same code could disagree on.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from duragraph.api import ROUTES
from duragraph.api.io import Route
from tests.conformance.compare import Difference
from tests.conformance.explained import EXPLAINED, Explained, explanation

Conversations = Mapping[str, list[dict[str, Any]]]

ENDPOINTS = [route for route in ROUTES if not route.path.startswith("/workers")]
"""What clients call; the workers' protocol is our own."""
ELSEWHERE = "any other path or method"
SENT = re.compile(r' [{["].*', re.DOTALL)
"""The body that a difference shows after its call."""


@attrs.define
class Row:
    requests: int = 0
    reference: set[str] = attrs.field(factory=set)
    ours: set[str] = attrs.field(factory=set)
    differences: set[int] = attrs.field(factory=set)


def endpoint(call: str) -> str:
    """`POST /threads/<thread 1>/runs?x=1` is at `POST /threads/{thread_id}/runs`."""
    method, _, path = call.replace("HEAD ", "GET ").partition(" ")
    path = path.partition("?")[0]
    found = [r for r in ENDPOINTS if r.method == method and _pattern(r).fullmatch(path)]
    fixed_first = sorted(found, key=lambda route: route.path.count("{"))
    return f"{method} {fixed_first[0].path}" if found else ELSEWHERE


def _pattern(route: Route) -> re.Pattern[str]:
    literal = map(re.escape, re.split(r"\{\w+\}", route.path))
    return re.compile(f"(/api/v1)?{'[^/]+'.join(literal)}")


def rows(
    reference: Conversations, ours: Conversations, found: Iterable[Difference]
) -> dict[str, Row]:
    """By endpoint, in the order of the route table."""
    table = {f"{r.method} {r.path}": Row() for r in ENDPOINTS} | {ELSEWHERE: Row()}
    for name, conversation in reference.items():
        for theirs, mine in zip(conversation, ours[name], strict=False):
            row = table[endpoint(theirs["call"])]
            row.requests += 1
            row.reference.add(str(theirs["status"]))
            row.ours.add(str(mine["status"]))
    for difference in found:
        why = explanation(difference)
        if why is not None:
            _, _, call = difference.call.partition(" ")
            table[endpoint(SENT.sub("", call))].differences.add(EXPLAINED.index(why) + 1)
    return table


def page(table: Mapping[str, Row]) -> str:
    asked = sum(row.requests for row in table.values())
    reasons = "\n".join(map(_reason, range(1, len(EXPLAINED) + 1), EXPLAINED))
    lines = "\n".join(_line(name, row) for name, row in table.items())
    return f"""# Compatibility with the LangGraph server

DuraGraph and `langgraph dev` are asked the same {asked} requests, errors included, and their
answers compared: status, headers, body, frames. Ids and times aside, what differs is in the last
column, by the numbers of the reasons below. Nothing else differs. Both servers serve the same
graphs, written with `@Graph` here and with LangGraph there. This page is written by
`python -m tests.conformance.differential --ours URL --reference URL --docs`, and the tests compare
DuraGraph with the recorded answers each time they run.

| Endpoint | Requests | LangGraph answers | DuraGraph answers | Differs by |
|---|---:|---|---|---|
{lines}

## Reasons

| | What differs | Why |
|---:|---|---|
{reasons}
"""


def _line(name: str, row: Row) -> str:
    def statuses(answered: set[str]) -> str:
        return " ".join(sorted(answered)) or "-"

    numbers = ", ".join(map(str, sorted(row.differences)))
    both = f"{statuses(row.reference)} | {statuses(row.ours)}"
    return f"| `{name}` | {row.requests} | {both} | {numbers} |"


def _reason(number: int, entry: Explained) -> str:
    return f"| {number} | {entry.what} | {entry.why} |"


def asked(reference: Conversations) -> Counter[str]:
    """How many requests a recording holds, by endpoint."""
    return Counter(endpoint(each["call"]) for talk in reference.values() for each in talk)
