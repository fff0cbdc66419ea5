"""kill -9 of workers: every run goes on elsewhere, and nothing recorded runs again."""

import asyncio
import random

import pytest

from tests.crash.clients import Seen
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
