"""Child runs: started once, told of as they end. Those of parents that end are `test_orphans`'."""

import asyncio
import json
import random

import attrs
import pytest

from duragraph import ids
from duragraph.protocol import ChannelWrite, Checkpoint, Frame, Outcome, pack
from duragraph.waiting import ChildStarted, StartChild
from tests.crash.evidence import audit
from tests.integration.families import ERROR, ask, parent_of, start, wait_for
from tests.integration.patient import begin, next_task, take

pytestmark = pytest.mark.timeout(60)


async def told(run):
    """What the run is told of its child once that has ended."""
    return (await run.woken()).effects["child"]


# how they begin


async def test_a_child_is_a_run_like_any_other_that_names_its_parent(plane, hand, database_url):
    run = await begin(hand)
    child = await start(run, input=b'{"a":1}', config=b'{"tags":["t"]}', context=b'{"c":2}')
    found = (await plane.get(f"/threads/{child.thread_id}/runs/{child.run_id}")).json
    parent = {"parent_run_id": run.task.run_id, "parent_thread_id": run.task.thread_id}
    assert found["metadata"].items() >= parent.items()
    kwargs = found["kwargs"]
    assert (kwargs["input"], kwargs["config"]["tags"]) == ({"a": 1}, ["t"])
    assert kwargs["context"] == {"c": 2}
    assert kwargs["config"]["configurable"].items() >= parent.items()
    assert (await next_task(hand)).run_id == child.run_id
    assert await audit(database_url) == 2


ANN = """
update run set kwargs = jsonb_set(kwargs::jsonb, '{config,configurable}',
    '{"langgraph_auth_user_id": "ann", "langgraph_auth_permissions": ["p"], "k": "v"}')::json
"""


async def test_a_child_runs_in_its_parents_name_and_belongs_to_whom_that_does(hand, owner):
    run = await begin(hand)
    await owner.execute(ANN)
    await owner.execute("""update thread set metadata = '{"owner": "ann", "graph_id": "other"}'""")
    child = await start(run)
    found = await owner.fetchrow(
        "select r.kwargs #> '{config,configurable}' as asker, t.metadata from run r"
        " join thread t using (organization_id, thread_id) where run_id = $1",
        child.run_id,
    )
    configurable, metadata = map(json.loads, found)
    assert configurable["langgraph_auth_user_id"] == "ann"
    assert configurable["langgraph_auth_permissions"] == ["p"]
    assert "k" not in configurable
    assert (metadata["owner"], metadata["graph_id"]) == ("ann", "g")


async def test_a_child_is_started_once_under_each_key(hand, start_plane, database_url):
    run, other = await begin(hand), await start_plane()
    asked = [start(run, str(n % 2), (hand.plane, other)[n // 2 % 2]) for n in range(8)]
    children = await asyncio.gather(*asked)
    assert len(set(children)) == 2
    assert await audit(database_url) == 3


async def test_who_takes_over_has_the_same_child_also_when_it_has_ended(hand, owner):
    run, child = await parent_of(hand)
    await hand.finish(child.task, batch=2)
    woken = await run.woken()
    await owner.execute("delete from thread where temporary")
    again = await start(woken)
    assert again == ChildStarted(child.task.run_id, child.task.thread_id)
    await woken.wait(wait_for(run, again), batch=1)
    assert (await run.woken()).effects == woken.effects


async def test_its_thread_goes_with_its_end(hand, owner):
    _, child = await parent_of(hand)
    await hand.finish(child.task, batch=2)
    going = "select erase_at is not null from thread where thread_id = $1"
    assert await owner.fetchval(going, child.task.thread_id)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input": b"{"}, 422),
        ({"config": b"[]"}, 422),
        ({"context": b"1"}, 422),
        ({"config": b'{"configurable":{"a":1}}', "context": b'{"b":2}'}, 400),
    ],
)
async def test_what_is_no_request_starts_nothing(hand, database_url, fields, code):
    assert (await ask(await begin(hand), **fields)).status == code
    assert await audit(database_url) == 1


async def test_an_unknown_assistant_starts_nothing(hand, database_url):
    run = await begin(hand)
    for name, code in ((ids.new_id(), 404), ("nobody", 422)):
        message = StartChild(run.task.run_id, run.task.epoch, run.at, "k", name)
        path = f"/api/v1/workers/{hand.worker_id}/children"
        assert (await hand.plane.call("POST", path, data=pack(message))).status == code
    assert await audit(database_url) == 1


async def test_who_lost_its_lease_starts_nothing(plane, hand, database_url):
    run = await begin(hand)
    await plane.post(f"{run.path}/cancel")
    assert (await ask(run)).status == 409
    assert await audit(database_url) == 0


# how they end


async def test_a_parent_is_told_the_values_that_its_child_showed_last(hand):
    run, child = await parent_of(hand)
    frames = [Frame("values", b'{"a":1}'), Frame("custom", b"1"), Frame("values|sub:1", b"{}")]
    await hand.report(child.task, batch=2, frames=frames)
    await child.done(Frame("updates", b'{"b":{}}'), batch=3)
    assert await told(run) == b'{"status" : "success", "output" : {"a":1}, "error" : null}'


async def test_values_recorded_as_a_reference_are_told_whole(hand):
    run, child = await parent_of(hand)
    at = ids.checkpoint_id(child.at)
    state = Checkpoint(at, child.at, "", "loop", 0, "", [], [ChannelWrite("a", b"2")], {"a": at})
    frames = [Frame("values", b'{"a":1}'), Frame("values", b'{"a":2}', at)]
    await hand.finish(child.task, batch=2, checkpoints=[state], frames=frames)
    assert await told(run) == b'{"status" : "success", "output" : {"a":2}, "error" : null}'


async def test_values_that_are_no_text_keep_no_run_from_its_end(hand):
    run, child = await parent_of(hand)
    verdict = await hand.finish(child.task, batch=2, frames=[Frame("values", b'{"a":"\xff"}')])
    assert verdict.verdict == "accepted"
    assert b'"output" : null' in await told(run)


async def test_a_child_that_fails_or_asks_or_is_cancelled_tells_so(plane, hand, owner):
    run, child = await parent_of(hand)
    await hand.report(child.task, batch=2, outcome=Outcome("error", error=ERROR))
    assert await told(run) == b'{"status" : "error", "output" : null, "error" : ' + ERROR + b"}"

    run, child = await parent_of(hand)
    asks = Outcome("success", interrupted=True, interrupts=b'{"t":[{"id":"i","value":1}]}')
    await hand.report(child.task, batch=2, outcome=asks)
    assert b'"status" : "interrupted"' in (answer := await told(run))
    assert b"ChildInterrupted" in answer

    run, child = await parent_of(hand)
    await plane.post(f"{child.path}/cancel")
    assert b"UserInterrupt" in await told(run)

    run, child = await parent_of(hand)
    await owner.execute("update thread set temporary = false")
    assert (await plane.delete(child.thread)).status == 204
    assert b"UserInterrupt" in await told(run)


async def test_a_child_may_end_before_its_parent_waits_and_be_erased(hand, owner, database_url):
    run = await begin(hand)
    started = await start(run)
    child = await take(hand, started.run_id)
    await hand.finish(child.task, batch=2, frames=[Frame("values", b"1")])
    await owner.execute("delete from thread where temporary")
    await run.wait(wait_for(run, started))
    assert b'"output" : 1' in await told(run)
    assert await audit(database_url) == 1


async def test_a_run_that_waits_for_no_child_of_its_own_is_told_so(hand):
    run, stranger = await begin(hand), ChildStarted(ids.new_id(), ids.new_id())
    await run.wait(wait_for(run, stranger))
    assert b"NoSuchRun" in await told(run)


async def test_children_of_children_tell_in_turn(hand, database_url):
    run, child = await parent_of(hand)
    grandchild = await start(child)
    await child.wait(wait_for(child, grandchild))
    await hand.finish((await take(hand, grandchild.run_id)).task, batch=2)
    await hand.finish((await child.woken()).task)
    await hand.finish((await run.woken()).task)
    assert await audit(database_url) == 0


# what meets


async def later(dice, coroutine):
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)
    return await coroutine


async def test_its_end_meets_the_report_that_waits_for_it(start_plane, database_url):
    one, other = await start_plane(), await start_plane()
    hand, dice = await one.worker("g", slots=100), random.Random(2)
    elsewhere = attrs.evolve(hand, plane=other)
    for _ in range(30):
        run = await begin(hand)
        started = await start(run)
        child = attrs.evolve(await take(hand, started.run_id), hand=elsewhere)
        verdict, finished = await asyncio.gather(
            later(dice, run.wait(wait_for(run, started))),
            later(dice, child.done()),
        )
        assert (verdict.verdict, finished.verdict) == ("accepted", "accepted")
        woken = await run.woken()
        assert b'"status" : "success"' in woken.effects["child"]
        await hand.finish(woken.task)
    assert await audit(database_url) == 0
