"""kill -9 of workers: every run goes on elsewhere, and nothing recorded runs again."""

import asyncio
import random

import pytest

from tests.crash.clients import Seen, begin, follow
from tests.crash.evidence import (
    audit,
    check_no_recorded_step_ran_again,
    side_log,
    spread,
    takeovers,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 50
CLIENTS = 24
TAKEOVER_SECONDS = 15
REST_SECONDS = 60
"""What the last runs may take after the last kill."""


async def follow_runs(client, durability: str, over: asyncio.Event) -> list[Seen]:
    """Start one run after another, each followed by one stream."""
    all_seen = []
    while not over.is_set():
        thread = await client.threads.create()
        seen = Seen(thread["thread_id"])
        async for part in client.runs.stream(
            thread["thread_id"],
            "ten",
            input={"ms": [1, 20]},
            stream_mode="values",
            durability=durability,
        ):
            seen.add(part)
        all_seen.append(seen)
    return all_seen


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_fifty_killed_workers_lose_no_run_and_repeat_no_recorded_step(
    start_cluster, durability
):
    # More attempts than chance may need: a run that is hit four times proves no fault.
    async with start_cluster(max_attempts=20) as cluster:
        over, client = asyncio.Event(), cluster.client()
        async with asyncio.TaskGroup() as group:
            following = [
                group.create_task(follow_runs(client, durability, over)) for _ in range(CLIENTS)
            ]
            killed: dict[int, float] = {}
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0, 3))  # the moment is the experiment
                victim = random.choice(cluster.workers)
                pid = victim.pid
                killed[pid] = await victim.kill()
                await victim.start()
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(following)
        seen = [each for task in following for each in task.result()]
        log = side_log(cluster.side_log)
        for each in seen:
            each.check()
            run = await client.runs.get(each.thread_id, each.run_id)
            assert run["status"] == "success", run
        check_no_recorded_step_ran_again(seen, log)
        taken = takeovers(log, killed)
        moved = {line.run_id for line in log if line.epoch > 1}
        print(
            f"\n{durability}: {len(killed)} kills, {len(seen)} runs, {len(moved)} moved; "
            f"takeovers {spread(taken)}; "
            f"longest silence of each moved run's stream "
            f"{spread(max(each.silences) for each in seen if each.run_id in moved)}"
        )
        assert await audit(cluster.database_url) == 0
        assert taken
        assert max(taken) < TAKEOVER_SECONDS


async def answer_questions(client, over: asyncio.Event) -> list[Seen]:
    """Start runs that ask, answer each, and follow both runs of each thread to their ends."""
    all_seen = []
    while not over.is_set():
        asking = await begin(client, "ask", [20, 200])
        await follow(client, asking)
        run = await client.runs.create(
            asking.thread_id, "ask", command={"resume": len(all_seen)}, stream_mode="values"
        )
        answered = Seen(asking.thread_id, run["run_id"])
        await follow(client, answered)
        for each in (asking, answered):
            each.check_order()
        trail = [entry.partition(":") for entry in answered.trails[-1]]
        assert [name for name, _, _ in trail] == ["ask", "answer", "charge", "receipt", "thank"]
        assert trail[1][2] == str(len(all_seen))
        all_seen.append(answered)
    return all_seen


async def test_an_answer_and_an_effect_count_once_whoever_is_killed(start_cluster):
    async with start_cluster(max_attempts=20) as cluster:
        over, client = asyncio.Event(), cluster.client()
        async with asyncio.TaskGroup() as group:
            answering = [group.create_task(answer_questions(client, over)) for _ in range(CLIENTS)]
            for _ in range(KILLS // 2):
                await asyncio.sleep(random.uniform(0, 3))  # the moment is the experiment
                victim = random.choice(cluster.workers)
                await victim.kill()
                await victim.start()
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(answering)
        seen = [each for task in answering for each in task.result()]
        log = side_log(cluster.side_log)
        check_no_recorded_step_ran_again(seen, log)
        charged = [line for line in log if line.node == "receipt"]
        print(
            f"\n{KILLS // 2} kills, {len(seen)} questions answered once; {len(charged)} effects "
            f"begun, {len({line.run_id for line in log if line.epoch > 1})} runs moved"
        )
        assert await audit(cluster.database_url) == 0
