"""Child runs end as soon as their parents have, however those do: on planes that don't sweep."""

import asyncio
import random

import pytest

from duragraph import pg
from duragraph.deps import DEPS
from duragraph.pg import endings
from duragraph.protocol import Outcome
from duragraph.reaper import Reaper
from tests.crash.evidence import audit
from tests.integration.families import ERROR, ask, parent_of, start, status, wait_for
from tests.integration.patient import IN_TIME, begin, take

pytestmark = pytest.mark.timeout(60)

TAKEN_BACK = "update run set lease_until = now() - interval '1 s' where run_id = $1"
TOO_LATE = "update run set leased_at = now() - interval '1 day' where run_id = $1"


@pytest.fixture
async def plane(start_plane):
    return await start_plane(sweep_seconds=3600)


async def family(hand, **fields):
    """A parent at work, with a child at work and another that waits for a third."""
    run = await begin(hand, **fields)
    waiting, working = await start(run, "waiting"), await start(run, "working")
    first = await take(hand, waiting.run_id)
    third = await start(first)
    await first.wait(wait_for(first, third))
    return run, [waiting, working, third]


async def until_ended(plane, children):
    async with asyncio.timeout(IN_TIME):
        while {await status(plane, child) for child in children} != {"interrupted"}:
            pass


async def until_none_is_open(database_url):
    async with asyncio.timeout(IN_TIME):
        while await audit(database_url):
            pass


async def reap(plane):
    deps = plane.app[DEPS]
    reaper = Reaper(deps.config, deps.engine, deps.dispatcher, deps.streams, deps.cancels)
    async with pg.acquire(deps.engine) as conn:
        await reaper.reap(conn)


async def assistant(plane):
    made = await plane.post("/assistants", {"graph_id": "g"})
    return made.json["assistant_id"]


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(
    "end",
    [
        lambda plane, run: plane.post(f"{run.path}/cancel"),
        lambda plane, run: plane.post(f"{run.path}/cancel", params={"action": "rollback"}),
        lambda plane, run: plane.post(
            "/runs/cancel", {"thread_id": run.task.thread_id, "run_ids": [run.task.run_id]}
        ),
        lambda plane, run: plane.post("/runs/cancel", {"status": "running"}),
        lambda plane, run: plane.delete(run.path),
        lambda plane, run: plane.delete(run.thread),
        lambda plane, run: plane.delete(f"/assistants/{run.task.assistant_id}"),
        lambda plane, run: plane.delete(
            f"/assistants/{run.task.assistant_id}", params={"delete_threads": "true"}
        ),
        lambda plane, run: plane.start_run(run.task.thread_id, multitask_strategy="interrupt"),
        lambda plane, run: plane.start_run(run.task.thread_id, multitask_strategy="rollback"),
    ],
    ids=[
        "cancelled",
        "rolled back",
        "cancelled by its id",
        "all cancelled",
        "deleted",
        "thread deleted",
        "assistant deleted",
        "assistant deleted with its threads",
        "interrupted by the next",
        "rolled back by the next",
    ],
)
async def test_whose_parent_is_ended_ends(plane, hand, database_url, end, waits):
    run, children = await family(hand, assistant_id=await assistant(plane))
    if waits:
        await run.wait(wait_for(run, children[0], "waiting"))
    await end(plane, run)
    await until_ended(plane, children)
    await audit(database_url)


@pytest.mark.parametrize("outcome", [Outcome("success"), Outcome("error", error=ERROR)])
async def test_whose_parent_is_done_ends(plane, hand, database_url, outcome):
    run, children = await family(hand)
    await hand.report(run.task, batch=2, outcome=outcome)
    await until_ended(plane, children)
    assert await audit(database_url) == 0


@pytest.mark.parametrize("late", [TOO_LATE, TAKEN_BACK], ids=["timed out", "lost"])
async def test_whose_parent_is_given_up_ends(start_plane, owner, database_url, late):
    plane = await start_plane(sweep_seconds=3600, max_attempts=1)
    run, children = await family(await plane.worker("g"))
    await owner.execute(late, run.task.run_id)
    await reap(plane)
    await until_ended(plane, children)
    assert await audit(database_url) == 0


async def test_whose_parent_is_taken_back_goes_on_until_that_ends(plane, hand, owner, database_url):
    run, children = await family(hand)
    await owner.execute(TAKEN_BACK, run.task.run_id)
    await reap(plane)
    assert await audit(database_url) == 4
    await plane.post(f"{run.path}/cancel")
    await until_ended(plane, children)
    assert await audit(database_url) == 0


async def test_whose_parent_went_with_its_client_ends(plane, hand, database_url):
    thread = (await plane.post("/threads", {})).json["thread_id"]
    body = {"assistant_id": "g", "input": {}, "on_disconnect": "cancel"}
    async with plane.http.post(f"/threads/{thread}/runs/stream", json=body) as stream:
        run_id = stream.headers["Content-Location"].rpartition("/")[2].removesuffix("/stream")
        run = await take(hand, run_id)
        child = await start(run)
    await until_ended(plane, [child])
    assert await audit(database_url) == 0


async def test_many_end_with_one_parent(plane, hand, database_url):
    """More than are found at once."""
    run, many = await begin(hand), 120
    await asyncio.gather(*(start(run, str(n)) for n in range(many)))
    assert await audit(database_url) == 1 + many
    assert (await plane.post(f"{run.path}/cancel")).status == 202
    await until_none_is_open(database_url)


async def test_a_parent_goes_on_as_soon_as_its_child_is_given_up(start_plane, owner):
    plane = await start_plane(sweep_seconds=3600, hint_sweep_seconds=3600)
    run, child = await parent_of(await plane.worker("g"))
    await owner.execute(TOO_LATE, child.task.run_id)
    await reap(plane)
    assert b'"status" : "timeout"' in (await run.woken()).effects["child"]


async def test_a_plane_that_dies_between_leaves_them_to_the_others(
    plane, hand, start_plane, database_url
):
    run, child = await parent_of(hand)
    async with pg.acquire(plane.app[DEPS].engine) as conn, conn.transaction():
        # The transaction of a cancel, and nothing of what follows it.
        assert await endings.cancel(conn, pg.DEFAULT_ORGANIZATION, run.task.thread_id)
    assert (await plane.get(child.path)).json["status"] == "running"
    other = await start_plane(sweep_seconds=0.1)
    await until_none_is_open(database_url)
    assert (await other.get(child.path)).json["status"] == "interrupted"


# what meets


async def later(dice, coroutine):
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)
    return await coroutine


async def test_its_end_meets_its_parents(plane, hand, start_plane, database_url):
    other, dice = await start_plane(sweep_seconds=3600), random.Random(3)
    for _ in range(30):
        run, child = await parent_of(hand)
        cancelled, finished = await asyncio.gather(
            later(dice, other.post(f"{run.path}/cancel")),
            later(dice, hand.finish(child.task, batch=2)),
        )
        assert cancelled.status == 202
        assert finished.verdict in ("accepted", "cancelled")
    await until_none_is_open(database_url)
    async with pg.acquire(plane.app[DEPS].engine) as conn:
        assert await conn.fetchval("select count(*) from wait") == 0


async def test_the_start_of_a_child_meets_the_end_of_its_parent(
    plane, hand, start_plane, database_url
):
    other, dice = await start_plane(sweep_seconds=3600), random.Random(4)
    for _ in range(30):
        run = await begin(hand)
        answer, cancelled = await asyncio.gather(
            later(dice, ask(run)), later(dice, other.post(f"{run.path}/cancel"))
        )
        assert answer.status in (200, 409)
        assert cancelled.status == 202
    await until_none_is_open(database_url)
