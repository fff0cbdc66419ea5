"""A task that its worker never saw: the answer to a poll was lost, or its plane died."""

import asyncio

import attrs
import pytest

from duragraph import dispatch
from duragraph.protocol import Lease
from tests.conftest import statement

pytestmark = pytest.mark.timeout(30)

IN_TIME = 5
"""Seconds; far below the lease."""


@pytest.fixture
async def given(plane, monkeypatch):
    """A worker's hand, and the task it was given: the test says whether it took it up."""
    monkeypatch.setattr(dispatch, "REOFFER_SECONDS", 0.2)
    hand = await plane.worker("g")
    assert (await plane.post("/runs", {"assistant_id": "g", "input": {}})).status == 200
    return hand, await hand.task()


async def test_a_task_not_taken_up_is_offered_again_on_any_plane(given, start_plane):
    hand, task = given
    for plane in (hand.plane, await start_plane()):
        again = await asyncio.wait_for(attrs.evolve(hand, plane=plane).task(), IN_TIME)
        assert again == task


async def test_a_task_taken_up_is_not_offered_again(given, start_plane):
    hand, task = given
    assert (await hand.report(task)).verdict == "accepted"
    lease = Lease(task.run_id, task.epoch)
    assert (await hand.plane.post("/runs", {"assistant_id": "g", "input": {}})).status == 200
    lost = await hand.task(lease)
    for plane in (hand.plane, await start_plane()):
        # What one look finds is offered in one go: two polls have it all.
        for _ in range(2):
            again = await asyncio.wait_for(attrs.evolve(hand, plane=plane).task(lease), IN_TIME)
            assert again == lost


async def test_a_new_plane_judges_no_lease_that_could_not_be_renewed(start_plane, database_url):
    before = await start_plane(sweep_seconds=3600)
    hand = await before.worker("g")
    await before.post("/runs", {"assistant_id": "g", "input": {}})
    task = await hand.task()
    await statement(database_url, "update run set lease_until = now() - interval '1 hour'")
    await before.post("/runs", {"assistant_id": "g", "input": {}, "after_seconds": 1})
    hand.plane = await start_plane(sweep_seconds=0.1)
    # The delayed run comes by a sweep, so the sweeper has passed by the lease too.
    delayed = await asyncio.wait_for(hand.task(Lease(task.run_id, task.epoch)), IN_TIME)
    assert delayed.run_id != task.run_id
    assert (await hand.finish(task)).verdict == "accepted"
