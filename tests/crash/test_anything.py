"""Whatever may be killed is killed, two planes and three workers under load."""

import asyncio
import random
from collections import Counter

import pytest

from tests.crash.clients import acknowledged_runs
from tests.crash.evidence import audit, check_no_recorded_step_ran_again, side_log, spread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 40
CUTS = 5
RUNS = 24
REST_SECONDS = 90
"""What the last runs may take after the last kill."""


async def test_runs_survive_random_kills_of_everything(start_cluster):
    async with start_cluster(planes=2, workers=3, max_attempts=50) as cluster:
        clients = [cluster.client(0), cluster.client(1)]
        over, kills = asyncio.Event(), Counter()
        async with asyncio.TaskGroup() as group:
            following = [
                group.create_task(
                    acknowledged_runs(clients[n % 2], over, follower=clients[1 - n % 2])
                )
                for n in range(RUNS)
            ]
            targets = {
                "plane": cluster.planes,
                "worker": cluster.workers,
                "PostgreSQL": [cluster.postgres],
                "NATS": [cluster.nats],
            }
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0, 3))  # the moment is the experiment
                kind = random.choice(list(targets))
                victim = random.choice(targets[kind])
                kills[kind] += 1
                await victim.kill()
                await victim.start()
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(following)
        seen = [each for task in following for each in task.result()]
        log = side_log(cluster.side_log)
        print(
            f"\n{dict(kills)} killed; {len(seen)} runs ended, "
            f"{len({line.run_id for line in log if line.epoch > 1})} of them moved; longest "
            f"silence of each stream {spread(max(each.silences) for each in seen)}"
        )
        for each in seen:
            each.check()
        check_no_recorded_step_ran_again(seen, log)
        assert await audit(cluster.database_url) == 0


async def test_runs_survive_power_cuts(start_cluster):
    async with start_cluster(max_attempts=50) as cluster:
        over, client = asyncio.Event(), cluster.client()
        everything = [*cluster.workers, *cluster.planes, cluster.nats, cluster.postgres]
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(acknowledged_runs(client, over)) for _ in range(RUNS)]
            for _ in range(CUTS):
                await asyncio.sleep(random.uniform(1, 3))  # the moment is the experiment
                await asyncio.gather(*(each.kill() for each in everything))
                for each in reversed(everything):
                    await each.start()
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(following)
        seen = [each for task in following for each in task.result()]
        log = side_log(cluster.side_log)
        print(
            f"\n{CUTS} power cuts; {len(seen)} runs ended; longest silence of each stream "
            f"{spread(max(each.silences) for each in seen)}"
        )
        for each in seen:
            each.check()
        check_no_recorded_step_ran_again(seen, log)
        assert await audit(cluster.database_url) == 0
