"""Workers that stand still: stopped past their lease, or under a node that holds the GIL."""

import asyncio
import hashlib
import random
import signal
import time

import aiohttp
import asyncpg
import pytest

from duragraph import ids, protocol
from duragraph.protocol import ChannelWrite, Checkpoint, Effect, Frame, Outcome, Report, Write
from tests.crash.evidence import (
    Seen,
    audit,
    check_no_recorded_step_ran_again,
    follow,
    side_log,
    spread,
    takeovers,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RUNS = 8
TAKEOVER_SECONDS = 15
HELD_SECONDS = 30


async def begin(client, graph: str, ms: list[float]) -> Seen:
    thread = await client.threads.create()
    run = await client.runs.create(
        thread["thread_id"], graph, input={"ms": ms}, stream_mode="values"
    )
    return Seen(thread["thread_id"], run["run_id"])


async def test_a_worker_stopped_past_its_lease_can_write_nothing(start_cluster):
    async with start_cluster(workers=1) as cluster:
        client, (stopped,) = cluster.client(), cluster.workers
        seen = [await begin(client, "ten", [300, 600]) for _ in range(RUNS)]
        await until(lambda: len(side_log(cluster.side_log)) >= 3 * RUNS)
        await cluster.add_worker()
        await asyncio.sleep(random.uniform(0, 0.6))  # the moment is the experiment
        stopped.send(signal.SIGSTOP)
        halted = {stopped.pid: time.monotonic()}
        leases = await held_by(cluster.database_url, [each.run_id for each in seen])
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


async def held_by(database_url: str, run_ids: list[str]) -> list[tuple[str, str, str, int, int]]:
    """`(worker, run, thread, epoch, batch)` of each run."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "select worker_id::text, run_id::text, thread_id::text, epoch, last_batch from run"
            " where run_id = any($1::uuid[])",
            run_ids,
        )
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


async def forge(url: str, leases: list[tuple[str, str, str, int, int]]) -> list[str]:
    """What the plane says to each kind of write, and to a renewal, under leases that are lost."""
    verdicts = []
    async with aiohttp.ClientSession() as http:
        for worker_id, run_id, _, epoch, batch in leases:
            path = f"{url}/api/v1/workers/{worker_id}"
            at = ids.checkpoint_id(None)
            for kind in (
                {"frames": [Frame("custom", b'"forged"')]},
                {
                    "checkpoints": [
                        Checkpoint(
                            at, None, "", "loop", 99, "", [], [ChannelWrite("x", b"1")], {"x": at}
                        )
                    ]
                },
                {"writes": [Write(at, "", "forged")]},
                {"effects": [Effect(at, "forged", b"1")]},
                {"outcome": Outcome("error", error=b'{"error":"E","message":"forged"}')},
            ):
                reports = protocol.pack([Report(run_id, epoch, batch + 1, **kind)])
                async with http.post(f"{path}/report", data=reports) as response:
                    verdicts += [
                        each.verdict
                        for each in protocol.unpack(await response.read(), list[protocol.Verdict])
                    ]
            active = {"active": [{"run_id": run_id, "epoch": epoch}]}
            async with http.post(f"{path}/heartbeat", json=active) as response:
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
