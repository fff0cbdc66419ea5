"""Puts the fixture graphs through the same calls on two servers and prints the differences.

The reference, beside this file: `langgraph dev --no-browser --no-reload --port 8901`.
Ours: `duragraph dev` with the graphs of `graphs.py`. Then, from the root of the repository:

    python -m tests.conformance.differential --ours URL --reference URL [--only NAME]

With `--documented` both servers are started in `documented/`, with its `langgraph.json`.

`--record` keeps the reference's normalised answers; without `--reference` those are what
is compared with. Exits 1 when a difference has no explanation in `explained.py`.
"""

import asyncio
import gzip
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from tests.conformance import (
    compatibility,
    documented_page,
    explained,
    explained_documented,
    scenarios,
    scenarios_agents,
    scenarios_assistants,
    scenarios_batch,
    scenarios_crons,
    scenarios_documented,
    scenarios_documented_events,
    scenarios_protocol,
    scenarios_runs,
    scenarios_server,
    scenarios_store,
    scenarios_system,
    scenarios_thread_stream,
    scenarios_threads,
)
from tests.conformance.compare import Difference, differences
from tests.conformance.normal import Names
from tests.conformance.scenarios_documented import Case, fresh
from tests.conformance.wire import Wire, connect

AT_ONCE = 8
HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
DOCS = HERE.parent.parent / "docs" / "compatibility.md"

PARTS = {
    "agents": scenarios_agents,
    "assistants": scenarios_assistants,
    "batch": scenarios_batch,
    "server": scenarios_server,
    "crons": scenarios_crons,
    "protocol": scenarios_protocol,
    "runs": scenarios_runs,
    "store": scenarios_store,
    "system": scenarios_system,
    "thread_stream": scenarios_thread_stream,
    "threads": scenarios_threads,
}
"""Scenarios that are played once; those of `scenarios.py` are played with every graph."""

Conversation = list[dict[str, Any]]
Play = Callable[[Wire], Awaitable[None]]

app = App()


def plays(only: str = "") -> dict[str, Play]:
    """Every scenario by its name, `case/scenario`; `only` is a part of the name."""
    per_graph = {
        f"{case.name}/{scenario.__name__}": partial(scenario, case=case)
        for case in scenarios.CASES
        for scenario in scenarios.SCENARIOS
    }
    once = {
        f"{part}/{play.__name__}": play
        for part, module in PARTS.items()
        for play in module.SCENARIOS
    }
    return {name: play for name, play in {**per_graph, **once}.items() if only in name}


def documented(only: str = "") -> dict[str, Play]:
    """Every scenario of the documented graphs, `documented/graph/scenario`."""

    async def play(wire: Wire, *, scenario: scenarios.Scenario, case: Case) -> None:
        await scenario(wire, fresh(case))

    return {
        name: partial(play, scenario=scenario, case=case)
        for case in scenarios_documented.CASES
        for scenario in scenarios_documented.SCENARIOS + scenarios_documented_events.of(case)
        if only in (name := f"documented/{case.name}/{scenario.__name__}")
    }


async def converse(url: str, chosen: dict[str, Play]) -> dict[str, Conversation]:
    """Play scenarios on a server, a few at a time, and return the normalised answers."""
    free = asyncio.Semaphore(AT_ONCE)

    async with connect(url) as session:

        async def one(play: Play) -> Conversation:
            async with free:
                wire = Wire(session)
                stopped = []
                try:
                    await play(wire)
                except Exception as error:  # noqa: BLE001 - an answer may have any wrong shape
                    stopped = [{"call": "(could not go on)", "status": 0, "json": repr(error)}]
                names = Names()
                return [*map(names.exchange, wire.exchanges), *names.value(stopped)]

        played = await asyncio.gather(*map(one, chosen.values()))
    return dict(zip(chosen, played, strict=True))


def recorded(chosen: dict[str, Play]) -> dict[str, Conversation]:
    """The reference's answers as `--record` left them. Raises FileNotFoundError."""
    cases = {case: json.loads(read(case)) for case in {case_of(name) for name in chosen}}
    return {name: cases[case_of(name)][name.rpartition("/")[2]] for name in chosen}


def case_of(name: str) -> str:
    """What a scenario is recorded with, in one file."""
    return name.rpartition("/")[0]


def kept(case: str) -> Path:
    return RECORDED / (f"{case}.json.gz" if "/" in case else f"{case}.json")


def read(case: str) -> str:
    file = kept(case)
    return (
        gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    ).decode()


def write(case: str, text: str) -> None:
    """Agents repeat their messages in every answer: their 18 MB are 0.5 MB zipped."""
    file, content = kept(case), text.encode()
    file.write_bytes(gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)


def record(conversations: dict[str, Conversation]) -> None:
    """Keep conversations beside those kept before: one file a case, one line an exchange."""
    for case, group in groupby(sorted(conversations.items()), lambda item: case_of(item[0])):
        before = json.loads(read(case)) if kept(case).exists() else {}
        played = before | {name.rpartition("/")[2]: conversation for name, conversation in group}
        blocks = (f'"{scenario}":[\n{lines(played[scenario])}\n]' for scenario in sorted(played))
        write(case, "{\n" + ",\n".join(blocks) + "\n}\n")


def lines(conversation: Conversation) -> str:
    dump = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
    return ",\n".join(map(dump, conversation))


def compare(
    reference: dict[str, Conversation], ours: dict[str, Conversation]
) -> Iterator[Difference]:
    for name, conversation in ours.items():
        yield from differences(name, reference[name], conversation)


def show(found: list[Difference]) -> None:
    """Print differences grouped by call; equal ones within a call are counted."""
    calls: dict[tuple[str, str], Counter[tuple[str, str, str]]] = {}
    for each in found:
        leaves = calls.setdefault((each.scenario, each.call), Counter())
        leaves[each.path, each.reference, each.ours] += 1
    for (scenario, call), leaves in calls.items():
        print(f"\n{scenario} · {call}")
        for (path, reference, ours), times in leaves.items():
            print(f"  {path}" + (f"  (x{times})" if times > 1 else ""))
            print(f"    - {reference[:400]}\n    + {ours[:400]}")


@app.default
def main(
    *,
    ours: str | None = None,
    reference: str | None = None,
    only: str = "",
    output: Annotated[Path | None, Parameter(name="--json")] = None,
    renew: Annotated[bool, Parameter(name="--record", negative="")] = False,
    docs: Annotated[bool, Parameter(negative="")] = False,
    hosted: Annotated[bool, Parameter(name="--documented", negative="")] = False,
) -> int:
    """Compare two servers that both serve the fixture graphs.

    Parameters
    ----------
    ours: The base URL of a server whose worker serves `graphs.py`.
    reference: The base URL of `langgraph dev` run beside `langgraph.json`; else the recording.
    only: Play only scenarios whose name contains this.
    output: Also write every difference, explained or not, to this file.
    renew: Keep the reference's answers in `recorded/`.
    hosted: Play the graphs of `documented/`, which both servers serve from the same files.
    docs: Write `docs/compatibility.md`, or the part of `docs/langgraph.md` that it is with
        `--documented`: for every scenario, none of them with a surprise.
    """
    chosen = documented(only) if hosted else plays(only)
    theirs = asyncio.run(converse(reference, chosen)) if reference else recorded(chosen)
    if renew:
        record(theirs)
    if ours is None:
        return 0
    answers = asyncio.run(converse(ours, chosen))
    found = list(compare(theirs, answers))
    meant = explained_documented if hosted else explained
    unexplained = [each for each in found if meant.explanation(each) is None]
    show(unexplained)
    if docs and hosted and not unexplained:
        documented_page.write(DOCS.with_name("langgraph.md"), theirs, found)
    elif docs and not unexplained:
        DOCS.write_text(compatibility.page(compatibility.rows(theirs, answers, found)))
    print(
        f"\n{len(chosen)} scenarios: {len(found)} differences, "
        f"{len(found) - len(unexplained)} explained, {len(unexplained)} not"
    )
    if not only:
        for stale in set(meant.EXPLAINED) - {meant.explanation(each) for each in found}:
            print(f"explains nothing any more: {stale.what}")
    if output:
        output.write_bytes(msgspec.json.encode(found))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(app())
