"""What ends or erases runs from outside leaves their threads whole."""

import pytest

from duragraph import ids
from duragraph.protocol import ChannelWrite, Checkpoint

pytestmark = pytest.mark.timeout(30)


class Talk:
    """A thread, and the worker that serves it by hand."""

    def __init__(self, plane, hand, thread_id):
        self._plane, self._hand = plane, hand
        self.path = f"/threads/{thread_id}"
        self._head = None

    async def run(self, **channels):
        """A run's path, once it has recorded a checkpoint with these channels, and its task."""
        body = {"assistant_id": "g", "input": {}}
        run = await self._plane.post(f"{self.path}/runs", body)
        task = await self._hand.task()
        at = ids.checkpoint_id(self._head)
        written = [ChannelWrite(name, value) for name, value in channels.items()]
        versions = dict.fromkeys(channels, at)
        state = Checkpoint(at, self._head, "", "loop", 1, "", [], written, versions)
        assert (await self._hand.report(task, checkpoints=[state])).verdict == "accepted"
        self._head = at
        return f"{self.path}/runs/{run.json['run_id']}", task

    async def finished_run(self, **channels):
        path, task = await self.run(**channels)
        assert (await self._hand.finish(task, batch=2)).verdict == "accepted"
        return path

    async def values(self):
        return (await self._plane.get(f"{self.path}/state")).json["values"]


@pytest.fixture
async def talk(plane):
    hand = await plane.worker("g")
    thread = await plane.post("/threads", {})
    return Talk(plane, hand, thread.json["thread_id"])


async def test_a_rollback_goes_back_behind_a_run_deleted_meanwhile(plane, talk):
    await talk.finished_run(a=b"1")
    deleted = await talk.finished_run(a=b"2")
    rolled_back, _ = await talk.run(a=b"3")
    assert (await plane.delete(deleted)).status == 204
    assert await talk.values() == {"a": 3}
    cancelled = await plane.post(f"{rolled_back}/cancel", params={"action": "rollback"})
    assert cancelled.status == 202
    assert await talk.values() == {"a": 1}
