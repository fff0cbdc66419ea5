"""What a client that reads slowly, or not at all, costs the plane."""

import tracemalloc

import pytest

from duragraph import ids
from duragraph.protocol import ChannelWrite, Checkpoint, Frame

pytestmark = pytest.mark.timeout(60)

MEGABYTE = 1 << 20
BOUND = 10 * MEGABYTE
"""A buffer, a read of the log, a batch being written, some of it twice; and what is not ours."""
FRAMES = 50


@pytest.fixture
def memory():
    """How much more Python holds than at the start."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()


async def next_frame(response):
    """Read to the next frame's id."""
    while not (line := await response.content.readline()).startswith(b"id: "):
        assert line


def custom(number):
    return {"frames": [Frame("custom", b'"%0*d"' % (MEGABYTE // 3, number))]}


def values(number):
    """Recorded as a reference to its checkpoint."""
    at, data = ids.checkpoint_id(), b'"%0*d"' % (MEGABYTE // 3, number)
    state = Checkpoint(at, None, "", "loop", 0, "", [], [ChannelWrite("a", data)], {"a": at})
    return {"frames": [Frame("values", b'{"a":%b}' % data, at)], "checkpoints": [state]}


@pytest.mark.parametrize("large", [custom, values])
@pytest.mark.parametrize(
    "path", ["/threads/{thread}/runs/{run}/stream", "/threads/{thread}/stream"]
)
async def test_what_is_not_read_does_not_wait_in_memory(hand, memory, path, large):
    http, thread = hand.plane.http, (await hand.plane.post("/threads", {})).json["thread_id"]
    await hand.plane.post(f"/threads/{thread}/runs", {"assistant_id": "g", "input": {}})
    task = await hand.task()
    path = path.format(thread=thread, run=task.run_id)
    async with http.get(path, read_bufsize=MEGABYTE) as idle:
        for batch in range(1, FRAMES + 1):
            await hand.report(task, batch=batch, **large(batch))
        await hand.finish(task, batch=FRAMES + 1)
        assert memory() < BOUND
        for _ in range(FRAMES):
            await next_frame(idle)
            assert memory() < BOUND
