"""kill -9 of the plane, of PostgreSQL and of NATS: acknowledged runs end, streams go on."""

import asyncio
import random
import time

import pytest

from tests.crash.clients import acknowledged_runs
from tests.crash.evidence import (
    audit,
    check_no_recorded_step_ran_again,
    side_log,
    spread,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 20
RUNS = 24
"""In flight at any time."""
REST_SECONDS = 60
"""What the last runs may take after the last kill."""


@pytest.mark.parametrize("what", ["plane", "postgres", "nats"])
async def test_runs_and_streams_survive_twenty_kills_of(start_cluster, what):
    async with start_cluster() as cluster:
        victim = cluster.planes[0] if what == "plane" else getattr(cluster, what)
        over, client = asyncio.Event(), cluster.client()
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(acknowledged_runs(client, over)) for _ in range(RUNS)]
            away = []
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0.2, 3))  # the moment is the experiment
                killed = await victim.kill()
                await victim.start()
                away.append(time.monotonic() - killed)
            over.set()
            last = time.monotonic()
            async with asyncio.timeout(REST_SECONDS):
                await asyncio.wait(following)
            rest = time.monotonic() - last
        seen = [each for task in following for each in task.result()]
        log = side_log(cluster.side_log)
        moved = {line.run_id for line in log if line.epoch > 1}
        print(
            f"\n{what}: {KILLS} kills, away {spread(away)}; {len(seen)} runs, all ended "
            f"{rest:.1f} s after the last start; {sum(each.connections - 1 for each in seen)} "
            f"streams joined again by hand; {len(moved)} runs taken over; longest silence of each "
            f"stream {spread(max(each.silences) for each in seen)}"
        )
        for each in seen:
            each.check()
            run = await client.runs.get(each.thread_id, each.run_id)
            assert run["status"] == "success", run
        check_no_recorded_step_ran_again(seen, log)
        assert not moved, "no worker died, so no lease may be lost"
        assert await audit(cluster.database_url) == 0


@pytest.mark.parametrize("bus", ["with NATS", "without NATS"])
async def test_a_run_made_on_one_plane_is_followed_on_the_other(start_cluster, bus):
    async with start_cluster(planes=2) as cluster:
        if bus == "without NATS":
            await cluster.nats.kill()
        over, makers = asyncio.Event(), [cluster.client(0), cluster.client(1)]
        async with asyncio.TaskGroup() as group:
            following = [
                group.create_task(
                    acknowledged_runs(makers[n % 2], over, follower=makers[1 - n % 2])
                )
                for n in range(8)
            ]
            await asyncio.sleep(5)  # a while of it
            over.set()
        seen = [each for task in following for each in task.result()]
        for each in seen:
            each.check()
        print(
            f"\n{bus}: {len(seen)} runs made on one plane, followed on the other; longest silence "
            f"of each stream {spread(max(each.silences) for each in seen)}"
        )
        assert await audit(cluster.database_url) == 0
