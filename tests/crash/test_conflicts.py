"""Clients that talk over each other on few threads while workers and the plane are killed."""

import asyncio
import random
from collections import Counter

import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.crash.clients import AWAY, begin
from tests.crash.evidence import audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

THREADS = 6
CLIENTS = 12
KILLS = 20
REST_SECONDS = 60


async def talk(client, threads: list[str], said: Counter, over: asyncio.Event) -> None:
    """Whatever a client may do to a thread, at any time, in any order."""
    while not over.is_set():
        thread_id = random.choice(threads)
        what = random.choice(["enqueue", "interrupt", "rollback", "reject", "later", "stateless"])
        what = random.choice([what, what, "cancel", "update", "delete"])
        try:
            await say(client, thread_id, what)
        except (*AWAY, ConflictError, NotFoundError) as error:
            said[type(error).__name__] += 1
        else:
            said[what] += 1


async def say(client, thread_id: str, what: str) -> None:
    run = {"input": {"ms": [1, 40]}, "durability": random.choice(["sync", "async", "exit"])}
    match what:
        case "stateless":
            await client.runs.create(None, "ten", **run)
        case "later":
            await client.runs.create(thread_id, "ten", after_seconds=1, **run)
        case "update":
            await client.threads.update_state(thread_id, {"trail": ["said"]}, as_node="n0")
        case "cancel" | "delete":
            runs = await client.runs.list(thread_id, limit=5)
            run_id = random.choice(runs)["run_id"] if runs else thread_id
            if what == "delete":
                await client.runs.delete(thread_id, run_id)
            else:
                action = random.choice(["interrupt", "rollback"])
                await client.runs.cancel(thread_id, run_id, action=action)
        case strategy:
            await client.runs.create(thread_id, "ten", multitask_strategy=strategy, **run)


async def test_threads_stay_whole_under_conflicting_clients_and_kills(start_cluster):
    async with start_cluster(max_attempts=50) as cluster:
        over, client, said = asyncio.Event(), cluster.client(), Counter()
        begun = [await begin(client, "ten", [1, 2]) for _ in range(THREADS)]
        threads = [each.thread_id for each in begun]
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(talk(client, threads, said, over))
            for n in range(KILLS):
                await asyncio.sleep(random.uniform(0, 2))  # the moment is the experiment
                victim = cluster.planes[0] if n % 2 else random.choice(cluster.workers)
                await victim.kill()
                await victim.start()
                await audit(cluster.database_url, deletions=True)
            over.set()
        print(f"\n{KILLS} kills; {dict(said.most_common())}")
        async with asyncio.timeout(REST_SECONDS):
            while await audit(cluster.database_url, deletions=True):  # noqa: ASYNC110 - rows set no event
                await asyncio.sleep(1)
        for thread_id in threads:
            assert (await client.threads.get(thread_id))["status"] != "busy"
            await client.runs.wait(thread_id, "ten", input={"ms": [1, 2]}, raise_error=True)
