"""kill -9 of a plane while runs sleep, wait for signals and for their child runs: all go on."""

import asyncio
import random

import pytest

from tests.crash.evidence import audit
from tests.crash.test_paid_once import GRAPHS, REST_SECONDS, check_ended_rightly, keep_paying

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 20
CLIENTS = 12


async def test_runs_that_wait_survive_twenty_kills_of_a_plane(start_cluster):
    """Their clients are at the other one; every second worker is at the one that dies."""
    async with start_cluster(planes=2, graphs=GRAPHS) as cluster:
        over, client, victim = asyncio.Event(), cluster.client(), cluster.planes[1]
        async with asyncio.TaskGroup() as group:
            paying = [group.create_task(keep_paying(client, over)) for _ in range(CLIENTS)]
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0.2, 2))  # the moment is the experiment
                await victim.kill()
                await victim.start()
            over.set()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(paying)
        runs = [run for task in paying for run in task.result()]
        print(f"\n{KILLS} kills; {len(runs)} runs, each with 4 sleeps, 2 children and a signal")
        for run in runs:
            check_ended_rightly(run)
        assert await audit(cluster.database_url) == 0
