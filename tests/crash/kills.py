"""kill -9 of workers at moments that nobody chooses."""

import asyncio
import os
import random
import time

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
SECONDS_A_KILL = 1.2
WORKERS = 6


async def kill_at_random_moments(cluster) -> dict[int, float]:
    """Returns when each process was killed, by its id.

    While most are down the clock stands still: else a slow machine would kill none but those that
    have just begun, whatever they do.
    """
    killed: dict[int, float] = {}
    up = set(cluster.workers)

    async def restart(victim) -> None:
        await victim.start()
        up.add(victim)

    async with asyncio.TaskGroup() as group:
        for _ in range(KILLS):
            while len(up) < WORKERS / 2:  # noqa: ASYNC110 - processes set no event
                await asyncio.sleep(0.01)
            # The moment is the experiment.
            await asyncio.sleep(random.expovariate(1 / SECONDS_A_KILL))
            victim = random.choice(list(up))
            up.discard(victim)
            pid = victim.pid
            await victim.kill()
            killed[pid] = time.time()
            group.create_task(restart(victim))
    return killed
