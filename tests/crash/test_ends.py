"""Ends that are asked for, nodes that end their process, servers that stay away for long."""

import asyncio
import contextlib
import signal
import time

import psutil
import pytest

from tests.crash.clients import Seen, begin, follow, until
from tests.crash.evidence import (
    audit,
    check_no_recorded_step_ran_again,
    leases_of,
    side_log,
    spread,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

RUNS = 12
ATTEMPTS = 3
DRAIN_SECONDS = 3
"""What a process may take to end after SIGTERM."""
RESUMED_SECONDS = 8
"""What a stream may stand still over a restart: the SDK's own waits are most of it."""
AWAY_SECONDS = 15
"""Longer than a lease."""


async def in_flight(cluster, client) -> list[Seen]:
    """Runs that are past their third node."""
    seen = [await begin(client, "ten", [200, 500]) for _ in range(RUNS)]
    await until(lambda: len(side_log(cluster.side_log)) >= 3 * RUNS)
    return seen


async def ended_well(cluster, client, seen: list[Seen]) -> None:
    """Each run was seen whole, succeeded, and is charged with one attempt."""
    for each in seen:
        each.check()
        assert (await client.runs.get(each.thread_id, each.run_id))["status"] == "success"
    check_no_recorded_step_ran_again(seen, side_log(cluster.side_log))
    leases = await leases_of(cluster.database_url, [each.run_id for each in seen])
    assert [lease.attempt for lease in leases] == [1] * len(seen)
    assert await audit(cluster.database_url) == 0


async def test_sigterm_of_a_worker_loses_nothing_and_charges_nothing(start_cluster):
    async with start_cluster(workers=1) as cluster:
        client = cluster.client()
        seen = await in_flight(cluster, client)
        following = asyncio.gather(*(follow(client, each) for each in seen))
        await cluster.add_worker()
        leaver = cluster.workers[0]
        asked = time.monotonic()
        await leaver.kill(signal.SIGTERM)
        took = time.monotonic() - asked
        async with asyncio.timeout(30):
            await following
        log = side_log(cluster.side_log)
        again = len(log) - 10 * RUNS
        print(
            f"\nSIGTERM of a worker with {RUNS} runs: ended in {took:.1f} s, {again} nodes in "
            f"flight ran again; longest silence of each stream "
            f"{spread(max(each.silences) for each in seen)}"
        )
        await ended_well(cluster, client, seen)
        assert took < DRAIN_SECONDS
        assert again <= RUNS
        assert max(max(each.silences) for each in seen) < RESUMED_SECONDS


async def test_sigterm_of_a_plane_with_open_streams_loses_nothing(start_cluster):
    async with start_cluster() as cluster:
        client, plane = cluster.client(), cluster.planes[0]
        seen = await in_flight(cluster, client)
        following = asyncio.gather(*(follow(client, each) for each in seen))
        await until(lambda: all(len(each.trails) > 3 for each in seen))
        asked = time.monotonic()
        await plane.kill(signal.SIGTERM)
        took = time.monotonic() - asked
        await plane.start()
        async with asyncio.timeout(40):
            await following
        print(
            f"\nSIGTERM of a plane with {RUNS} open streams: ended in {took:.1f} s, all resumed by "
            f"the SDK but {sum(each.connections - 1 for each in seen)}; longest silence of each "
            f"{spread(max(each.silences) for each in seen)}"
        )
        await ended_well(cluster, client, seen)
        assert took < DRAIN_SECONDS
        assert {line.epoch for line in side_log(cluster.side_log)} == {1}


async def test_a_worker_whose_heartbeat_process_is_killed_keeps_its_runs(start_cluster):
    async with start_cluster(workers=1) as cluster:
        client, (worker,) = cluster.client(), cluster.workers
        seen = [await begin(client, "ten", [1500, 2000]) for _ in range(RUNS)]
        following = asyncio.gather(*(follow(client, each) for each in seen))
        kills = 0
        while not following.done():
            for child in psutil.Process(worker.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
                    kills += 1
            await asyncio.wait([following], timeout=1)
        print(f"\n{kills} heartbeat processes killed under {RUNS} runs of 15 s and more")
        await ended_well(cluster, client, seen)
        assert kills > 10


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("what", ["plane", "postgres"])
async def test_a_server_away_for_longer_than_a_lease_costs_no_attempt(start_cluster, what, how):
    async with start_cluster() as cluster:
        client = cluster.client()
        victim = cluster.planes[0] if what == "plane" else cluster.postgres
        seen = await in_flight(cluster, client)
        following = asyncio.gather(*(follow(client, each) for each in seen))
        if how == "killed":
            await victim.kill()
            await asyncio.sleep(AWAY_SECONDS)  # the absence is the experiment
            await victim.start()
        else:
            with victim.stopped():
                await asyncio.sleep(AWAY_SECONDS)
        back = time.monotonic()
        async with asyncio.timeout(60):
            await following
        print(
            f"\n{what} {how} for {AWAY_SECONDS} s: {RUNS} runs ended "
            f"{time.monotonic() - back:.1f} s after its return; longest silence of each stream "
            f"{spread(max(each.silences) for each in seen)}"
        )
        await ended_well(cluster, client, seen)
        assert {line.epoch for line in side_log(cluster.side_log)} == {1}


async def test_a_plane_that_starts_before_its_database_waits_for_it(start_cluster):
    async with start_cluster() as cluster:
        client, plane = cluster.client(), cluster.planes[0]
        await plane.kill()
        await cluster.postgres.kill()
        starting = asyncio.ensure_future(plane.start())
        log = cluster.home / "plane0.log"
        await until(lambda: "waiting for the database" in log.read_text())
        await cluster.postgres.start()
        async with asyncio.timeout(20):
            await starting
            await client.runs.wait(None, "ten", input={"ms": [1, 2]}, raise_error=True)


@pytest.mark.parametrize("graph", ["deadly", "sudden"])
async def test_a_run_that_kills_its_workers_is_given_up_and_frees_its_thread(start_cluster, graph):
    async with start_cluster(workers=ATTEMPTS + 1, max_attempts=ATTEMPTS) as cluster:
        client = cluster.client()
        seen = await begin(client, graph, [1, 1])
        started = time.monotonic()
        async with asyncio.timeout(ATTEMPTS * 15 + 10):
            await follow(client, seen)
        took = time.monotonic() - started
        deaths = [line for line in side_log(cluster.side_log) if line.node == "die"]
        print(f"\n{graph}: given up after {len(deaths)} dead workers and {took:.1f} s")
        assert [error["error"] for error in seen.errors] == ["WorkerLost"]
        assert len({line.pid for line in deaths}) == ATTEMPTS
        assert (await client.runs.get(seen.thread_id, seen.run_id))["status"] == "error"
        thread = await client.threads.get(seen.thread_id)
        assert thread["status"] == "error"
        assert await client.runs.wait(seen.thread_id, "ten", input={"ms": [1, 2]})
        assert await audit(cluster.database_url) == 0


async def test_a_thousand_tokens_reach_the_client_once_each_over_a_killed_worker(start_cluster):
    async with start_cluster() as cluster:
        client = cluster.client()
        seen = await begin(client, "tokens", [2, 2], stream_mode=["custom", "values"])
        following = asyncio.ensure_future(follow(client, seen))
        await until(lambda: len(seen.custom) > 300)
        (line,) = side_log(cluster.side_log)
        await next(each for each in cluster.workers if each.pid == line.pid).kill()
        async with asyncio.timeout(60):
            await following
        by_epoch = [
            [each["n"] for each in seen.custom if each["epoch"] == epoch]
            for epoch in sorted({each["epoch"] for each in seen.custom})
        ]
        print(f"\ntokens: {' + '.join(str(len(each)) for each in by_epoch)} frames, each once")
        assert [each == list(range(len(each))) for each in by_epoch] == [True, True]
        assert len(by_epoch[1]) == 1000
        seen.check_order()
        assert await audit(cluster.database_url) == 0
