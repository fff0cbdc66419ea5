"""A run goes on under the version of its graph that began it; before that it is no version's."""

import asyncio

import asyncpg
import pytest

from duragraph.pg import leases, reaping
from duragraph.protocol import Frame, GraphSpec, Lease, Outcome

pytestmark = pytest.mark.timeout(30)

IN_TIME = 5
RUN = {"assistant_id": "g", "input": {}}
METADATA = Frame("metadata", b"{}")


@pytest.fixture
async def given(plane):
    """A worker of the first version that takes no more work, and the task it was given."""
    first = await plane.worker(GraphSpec("g", "1"))
    assert (await plane.post("/runs", RUN)).status == 200
    task = await first.task()
    await plane.post(f"/api/v1/workers/{first.worker_id}/drain")
    return first, task


@pytest.fixture
def ends(database_url):
    """How a worker leaves its run: it gives it back, was gone before it was told of it, or dies."""

    async def end(how, hand, task, *, batch):
        if how == "released":
            return await hand.report(task, batch=batch, outcome=Outcome("released"))
        conn = await asyncpg.connect(database_url)
        try:
            if how == "untaken":
                await leases.release(conn, [Lease(task.run_id, task.epoch)])
                return True
            await conn.execute("update run set lease_until = now() - interval '1 s'")
            return await reaping.expire(conn, max_attempts=3, timeout_seconds=3600)
        finally:
            await conn.close()

    return end


async def next_of(plane, version, *held):
    hand = await plane.worker(GraphSpec("g", version))
    return await asyncio.wait_for(hand.task(*held), IN_TIME)


@pytest.mark.parametrize("how", ["released", "untaken", "died"])
@pytest.mark.parametrize("batch", [1, 2])
async def test_a_run_that_did_not_begin_goes_to_any_version(plane, given, ends, how, batch):
    first, task = given
    if batch == 2:
        await first.report(task)
    assert await ends(how, first, task, batch=batch)
    again = await next_of(plane, "2")
    assert (again.run_id, again.version) == (task.run_id, "2")


@pytest.mark.parametrize("how", ["released", "untaken", "died"])
async def test_a_run_that_began_waits_for_its_version(plane, given, ends, how):
    first, task = given
    await first.report(task, frames=[METADATA])
    assert await ends(how, first, task, batch=2)
    younger = (await plane.post("/runs", RUN)).json["run_id"]
    passed_over = await next_of(plane, "2")
    assert passed_over.run_id == younger
    again = await next_of(plane, "1", Lease(passed_over.run_id, passed_over.epoch))
    assert (again.run_id, again.version) == (task.run_id, "1")
