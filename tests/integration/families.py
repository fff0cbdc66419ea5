"""Runs that start others, moved by hand."""

from duragraph.protocol import pack, unpack
from duragraph.waiting import ChildStarted, StartChild, Wait
from tests.integration.patient import begin, take

ERROR = b'{"error":"ValueError","message":"boom"}'


async def ask(run, key="child", plane=None, **fields):
    """The answer to a request for a child run."""
    start = StartChild(run.task.run_id, run.task.epoch, run.at, key, "g", **fields)
    path = f"/api/v1/workers/{run.hand.worker_id}/children"
    return await (plane or run.hand.plane).call("POST", path, data=pack(start))


async def start(run, key="child", plane=None, **fields):
    answer = await ask(run, key, plane, **fields)
    assert answer.status == 200, answer.body
    return unpack(answer.body, ChildStarted)


def wait_for(run, child, key="child"):
    return Wait(run.at, key, "run", run_id=child.run_id)


async def parent_of(hand, **fields):
    """A run that waits for its child, and the child, begun."""
    run = await begin(hand)
    child = await start(run, **fields)
    await run.wait(wait_for(run, child))
    return run, await take(hand, child.run_id)


async def status(plane, child):
    answer = await plane.get(f"/threads/{child.thread_id}/runs/{child.run_id}")
    return answer.json["status"]
