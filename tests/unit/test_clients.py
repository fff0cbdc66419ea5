"""A client for each event loop."""

import asyncio
import gc
import weakref

import pytest

from duragraph_worker.clients import Clients, Closing


class Client:
    """Takes a while to open, and knows its loop."""

    made: list["Client"]

    def __init__(self):
        self.loop, self.closed = asyncio.get_running_loop(), False
        self.made.append(self)

    async def close(self):
        self.closed = True


@pytest.fixture
def clients():
    Client.made = []

    async def opened():
        client = Client()
        await asyncio.sleep(0)
        return client

    return Clients(lambda: Closing(opened))


async def several(clients):
    found = await asyncio.gather(*(clients.here() for _ in range(3)))
    assert not found[0].closed
    return found


def test_a_loop_has_one_however_many_ask_at_once(clients):
    first, second, third = asyncio.run(several(clients))
    assert first is second is third
    assert len(Client.made) == 1


def test_it_is_closed_with_its_loop(clients):
    (first, *_), (second, *_) = (asyncio.run(several(clients)) for _ in range(2))
    assert first is not second
    assert first.closed
    assert second.closed


def test_loops_that_ended_are_forgotten(clients):
    (client, *_) = asyncio.run(several(clients))
    loop = weakref.ref(client.loop)
    Client.made.clear()
    del client, _
    gc.collect()
    assert loop() is None


def test_who_leaves_while_it_opens_takes_it_from_nobody(clients):
    async def one_leaves():
        first = asyncio.ensure_future(clients.here())
        await asyncio.sleep(0)
        first.cancel()
        return await clients.here()

    assert asyncio.run(one_leaves()).closed
