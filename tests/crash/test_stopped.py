"""Workers that stand still: stopped past their lease, or under a node that holds the GIL."""

import asyncio
import hashlib
import random
import signal
import time
from typing import Any

import aiohttp
import asyncpg
import pytest

from duragraph import ids, protocol
from duragraph.protocol import (
    ChannelWrite,
    Checkpoint,
    Effect,
    Frame,
    Outcome,
    Report,
    Verdict,
    Write,
)
from tests.crash.clients import Seen, begin, follow, until
from tests.crash.evidence import (
    Lease,
    audit,
    check_no_recorded_step_ran_again,
    leases_of,
    side_log,
    spread,
    takeovers,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RUNS = 8
TAKEOVER_SECONDS = 15
HELD_SECONDS = 30


async def test_a_worker_stopped_past_its_lease_can_write_nothing(start_cluster):
    async with start_cluster(workers=1) as cluster:
        client, (stopped,) = cluster.client(), cluster.workers
        seen = [await begin(client, "ten", [300, 600]) for _ in range(RUNS)]
        await until(lambda: len(side_log(cluster.side_log)) >= 3 * RUNS)
        await cluster.add_worker()
        await asyncio.sleep(random.uniform(0, 0.6))  # the moment is the experiment
        stopped.send(signal.SIGSTOP)
        halted = {stopped.pid: time.monotonic()}
        leases = await leases_of(cluster.database_url, [each.run_id for each in seen])
        async with asyncio.timeout(60):
            await asyncio.gather(*(follow(client, each) for each in seen))
        before = await fingerprint(cluster.database_url)

        lines = len(side_log(cluster.side_log))
        stopped.send(signal.SIGCONT)
        verdicts = await forge(cluster.planes[0].url, leases)
        await cluster.workers.pop().kill(signal.SIGTERM)
        # The woken worker has one reporter: once it has done new work, its old reports are judged.
        woken = await begin(client, "ten", [1, 20])
        async with asyncio.timeout(30):
            await follow(client, woken)
        woken.check()
        log = side_log(cluster.side_log)
        assert {line.run_id for line in log[lines:]} == {woken.run_id}
        assert set(verdicts) == {"fenced"}
        assert await fingerprint(cluster.database_url, without=woken) == before

        for each in seen:
            each.check()
            assert (await client.runs.get(each.thread_id, each.run_id))["status"] == "success"
        check_no_recorded_step_ran_again(seen, log)
        taken = takeovers(log, halted)
        print(
            f"\nSIGSTOP: {RUNS} runs, takeovers {spread(taken)}; "
            f"{len(verdicts)} forged writes fenced, the rows unchanged"
        )
        assert len(taken) == RUNS
        assert max(taken) < TAKEOVER_SECONDS
        assert await audit(cluster.database_url) == 0


async def test_a_node_that_holds_the_gil_for_30_s_loses_nothing(start_cluster):
    async with start_cluster(workers=1) as cluster:
        client = cluster.client()
        beside = [await begin(client, "ten", [300, 600]) for _ in range(RUNS)]
        await until(lambda: len(side_log(cluster.side_log)) >= RUNS)
        stall = await begin(client, "stall", [HELD_SECONDS * 1000])
        await cluster.add_worker()  # who would take over, were anything swept
        async with asyncio.timeout(HELD_SECONDS + 20):
            await asyncio.gather(*(follow(client, each) for each in [stall, *beside]))
        log = side_log(cluster.side_log)
        for each in beside:
            each.check()
        assert stall.trails[-1] == ["before:1", "hold:1", "after:1"]
        assert {line.epoch for line in log} == {1}
        assert len(log) == 3 + 10 * RUNS
        assert len({line.pid for line in log}) == 1
        print(
            f"\nGIL held for {max(stall.silences):.1f} s: nothing swept, nothing run twice; "
            f"{RUNS} other runs waited in the same process"
        )
        assert min(max(each.silences) for each in [stall, *beside]) > HELD_SECONDS - 1
        assert await audit(cluster.database_url) == 0


async def forge(url: str, leases: list[Lease]) -> list[str]:
    """What the plane says to each kind of write, and to a renewal, under leases that are lost."""
    at = ids.checkpoint_id(None)
    state = Checkpoint(at, None, "", "loop", 99, "", [], [ChannelWrite("x", b"1")], {"x": at})
    forgeries: list[dict[str, Any]] = [
        {"frames": [Frame("custom", b'"forged"')]},
        {"checkpoints": [state]},
        {"writes": [Write(at, "", "forged")]},
        {"effects": [Effect(at, "forged", b"1")]},
        {"outcome": Outcome("error", error=b'{"error":"E","message":"forged"}')},
    ]
    verdicts = []
    async with aiohttp.ClientSession() as http:
        for lease in leases:
            path = f"{url}/api/v1/workers/{lease.worker_id}"
            for forged in forgeries:
                report = Report(lease.run_id, lease.epoch, lease.last_batch + 1, **forged)
                async with http.post(f"{path}/report", data=protocol.pack([report])) as response:
                    answer = protocol.unpack(await response.read(), list[Verdict])
                verdicts += [each.verdict for each in answer]
            held = {"active": [{"run_id": lease.run_id, "epoch": lease.epoch}]}
            async with http.post(f"{path}/heartbeat", json=held) as response:
                verdicts += [each["action"] for each in (await response.json())["lost"]]
    return verdicts


PROGRESS = ("run", "thread", "event", "checkpoint", "channel_value", "step_write", "effect")


async def fingerprint(database_url: str, *, without: Seen | None = None) -> str:
    """A hash of every row that a run leaves behind, apart from those of one thread."""
    other = without.thread_id if without else None
    connection = await asyncpg.connect(database_url)
    try:
        found = hashlib.sha256()
        for table in PROGRESS:
            of_thread = "run_id in (select run_id from run where thread_id = $1::text::uuid)"
            mine = of_thread if table == "event" else "thread_id = $1::text::uuid"
            rows = await connection.fetch(
                f"select x::text as row from {table} x where ({mine}) is not true order by 1", other
            )
            found.update("\n".join(row["row"] for row in rows).encode())
        return found.hexdigest()
    finally:
        await connection.close()
