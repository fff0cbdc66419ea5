"""kill -9 of workers during calls of models, effects, child runs and sleeps: nothing is paid twice.

Twice means: a call whose result the database has taken is made again. What was under way when its
worker died is called again, and that is all that may be. A run's usage counts the calls of its
model alike: each that the database has taken once, none twice.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import attrs
import msgspec
import pytest

from duragraph import ids
from tests.crash.evidence import audit
from tests.crash.kills import KILLS, WORKERS, kill_at_random_moments
from tests.crash.paid_graphs import NAP_SECONDS, Paid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CLIENTS = 24
REST_SECONDS = 120
GRAPHS = [f"tests.crash.paid_graphs:{name}" for name in ("Paying", "Errand")]
CHILDREN = [f"child{n}/{part}" for n in range(2) for part in ("there", "back")]
BOUGHT = ["open", "first", "second", *CHILDREN]
"""What the state of a run shows as paid, in order."""
SAID = ["question", "tool", "reply"]
"""What the messages show."""
PARTS = {what.rpartition("/")[2] for what in [*BOUGHT, *SAID]}

NOTES = """
    create table taken (
        result text, at double precision default extract(epoch from clock_timestamp()));
    create function note() returns trigger security definer language plpgsql as $$ begin
        insert into taken (result) values (new.result::text); return new; end $$;
    create trigger taken after insert or update on effect for each row execute function note()"""
"""Note when the database takes the result of an effect."""
RESULT = re.compile(r"([\w/-]+)\|([0-9a-f]{32})")


@attrs.frozen
class Played:
    name: str
    status: str
    values: dict
    usage: dict


@contextlib.asynccontextmanager
async def notes(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(NOTES)
        yield connection
    finally:
        await connection.close()


async def keep_paying(client, over: asyncio.Event) -> list[Played]:
    """One run after another, each told the word that it waits for as soon as it has begun."""
    played = []
    while not over.is_set():
        thread_id, name = (await client.threads.create())["thread_id"], ids.new_id()
        run = await client.runs.create(thread_id, "paying", input={"name": name})
        word = {"name": "word", "value": name}
        await client.http.post(f"/threads/{thread_id}/signals", json=word)
        values = await client.runs.join(thread_id, run["run_id"])
        ended = await client.runs.get(thread_id, run["run_id"])
        played.append(Played(name, ended["status"], values, ended["usage"]))
    return played


def side_log(path: Path) -> list[Paid]:
    return [msgspec.json.decode(line, type=Paid) for line in path.read_bytes().splitlines()]


def shown(run: Played) -> dict[str, str]:
    """`{what: result}` of all that the run's state holds."""
    texts = [message["content"] for message in run.values["messages"]]
    found = [RESULT.fullmatch(text) for text in [*run.values["paid"], *texts[-3:]]]
    assert all(found), run
    return {each[1].removeprefix(f"{run.name}/"): each[0] for each in found if each}


def check_ended_rightly(run: Played) -> None:
    assert run.status == "success", run
    assert list(shown(run)) == [*BOUGHT, *SAID], run
    assert run.values["word"] == run.name
    assert run.values["slept"] >= NAP_SECONDS * 0.98, run
    check_usage_counts_each_call_once(run)


def check_usage_counts_each_call_once(run: Played) -> None:
    usage, results = run.usage, shown(run)
    counted = usage["input_token_details"]
    assert {results["question"], results["reply"]} <= counted.keys(), run
    assert set(counted.values()) == {1}, run
    assert usage["total_tokens"] == len(counted), run
    assert usage["calls"] == len(counted) + usage.get("failed_calls", 0), run
    assert usage["models"] == {"ledger/dear": {k: usage[k] for k in usage if k != "models"}}, run


def check_nothing_was_paid_twice(log: list[Paid], taken: dict[str, tuple[str, float]]) -> None:
    again = [paid for paid in log if paid.what in taken and paid.at > taken[paid.what][1]]
    assert not again, (len(again), again[:3])


def first_taken(rows: list[asyncpg.Record]) -> dict[str, tuple[str, float]]:
    """By what was paid: the first result of it that the database took, and when."""
    taken: dict[str, tuple[str, float]] = {}
    for row in rows:
        for what, token in RESULT.findall(row["result"]):
            taken.setdefault(what, (f"{what}|{token}", row["at"]))
    return taken


async def test_two_hundred_killed_workers_make_nothing_be_paid_twice(start_cluster):
    # More attempts than chance may need: a run that is hit four times proves no fault.
    async with (
        start_cluster(workers=WORKERS, graphs=GRAPHS, max_attempts=40) as cluster,
        notes(cluster.database_url) as noted,
    ):
        over, client = asyncio.Event(), cluster.client()
        async with asyncio.TaskGroup() as group:
            paying = [group.create_task(keep_paying(client, over)) for _ in range(CLIENTS)]
            killed = await kill_at_random_moments(cluster)
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(paying)
        runs = [run for task in paying for run in task.result()]
        log = side_log(cluster.side_log)
        taken = first_taken(await noted.fetch("select result, at from taken order by at"))
        again = called_again(log)
        print(f"\n{len(killed)} kills; {len(runs)} runs, {len(log)} calls; again: {dict(again)}")
        begun = {paid.result for paid in log}
        for run in runs:
            check_ended_rightly(run)
            assert run.usage["input_token_details"].keys() <= begun
            assert shown(run) == {what: taken[f"{run.name}/{what}"][0] for what in shown(run)}
        check_nothing_was_paid_twice(log, taken)
        assert len(again) >= len(PARTS) * min(1, KILLS / 200), again
        assert await audit(cluster.database_url) == 0


def called_again(log: list[Paid]) -> Counter[str]:
    """How often which part of a run was begun twice: its worker died before it was recorded."""
    times = Counter(paid.what for paid in log)
    return Counter(what.rpartition("/")[2] for what, count in times.items() if count > 1)
