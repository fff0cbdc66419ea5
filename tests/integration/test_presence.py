"""Runs that are to end with their client, when the plane between them dies."""

import asyncio
import contextlib

import pytest

from duragraph import ids, pg, presence
from duragraph.app import SUPERVISOR
from duragraph.deps import DEPS
from duragraph.pg import planes as pg_planes

pytestmark = pytest.mark.timeout(60)

RUN = {"assistant_id": "g", "input": {}, "if_not_exists": "create"}


@pytest.fixture
async def start_quick(start_plane, monkeypatch):
    """Start a plane that is quick to find others dead."""
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(presence, "ALIVE_SECONDS", 0.5)
    return start_plane


@pytest.fixture
async def survivor(start_quick):
    plane = await start_quick()
    await plane.worker("g")
    return plane


@pytest.fixture
async def stream():
    """A client that streams a run and hangs on until the test ends; the path of the run."""
    async with contextlib.AsyncExitStack() as stack:

        async def stream(plane, **options):
            path = f"/threads/{ids.new_id()}/runs/stream"
            asked = plane.http.post(path, json=RUN | options)
            response = await stack.enter_async_context(asked)
            assert response.status == 200
            return response.headers["Content-Location"]

        yield stream


async def die(plane):
    """As by kill -9: it beats no more, and takes no leave."""
    await plane.app[SUPERVISOR].stop()


async def ends(plane, path):
    """Returns how the run ended. A join would be a client that came back."""
    async with asyncio.timeout(20):
        while (now := await status(plane, path)) == "pending":
            pass
    return now


async def status(plane, path):
    return (await plane.get(path)).json["status"]


CANCEL = {"on_disconnect": "cancel"}


async def test_it_ends_with_its_client_also_if_their_plane_dies(start_quick, survivor, stream):
    dying = await start_quick()
    going_on = await stream(dying)
    path = await stream(dying, **CANCEL)
    await die(dying)
    assert await ends(survivor, path) == "interrupted"
    assert await status(survivor, going_on) == "pending"


@pytest.mark.parametrize("stateful", [True, False])
async def test_a_client_that_comes_back_to_another_plane_keeps_its_run(
    start_quick, survivor, stream, stateful
):
    dying = await start_quick()
    kept, lost = [await stream(dying, **CANCEL) for _ in range(2)]
    back = f"{kept if stateful else '/runs/' + kept.rpartition('/')[2]}/stream"
    async with survivor.http.get(back, headers={"Last-Event-ID": "-1"}) as response:
        assert response.status == 200
        await die(dying)
        assert await ends(survivor, lost) == "interrupted"
        assert await status(survivor, kept) == "pending"


async def test_who_looks_on_from_a_plane_that_dies_ends_nothing(start_quick, survivor, stream):
    dying = await start_quick()
    watched, lost = await stream(survivor, **CANCEL), await stream(dying, **CANCEL)
    async with dying.http.get(f"{watched}/stream") as response:
        assert response.status == 200
        await die(dying)
        assert await ends(survivor, lost) == "interrupted"
        assert await status(survivor, watched) == "pending"


async def test_a_client_that_comes_back_to_the_location_may_still_leave_for_good(
    start_quick, survivor
):
    first, second = await start_quick(), await start_quick()
    asked = first.http.post(f"/threads/{ids.new_id()}/runs/stream", json=RUN | CANCEL)
    async with asked as response, second.http.get(response.headers["Location"]) as again:
        assert again.status == 200
        await die(first)
        await die(second)
        assert await ends(survivor, response.headers["Content-Location"]) == "interrupted"


async def test_a_plane_that_stops_is_no_client_that_left(start_quick, survivor, stream):
    stopping, dying = await start_quick(), await start_quick()
    kept, lost = await stream(stopping, **CANCEL), await stream(dying, **CANCEL)
    deps = stopping.app[DEPS]
    await die(stopping)
    async with pg.acquire(deps.engine) as conn:
        await pg_planes.leave(conn, deps.plane_id)
    await die(dying)
    assert await ends(survivor, lost) == "interrupted"
    assert await status(survivor, kept) == "pending"


async def test_a_run_that_nobody_waits_for_hangs_on_no_plane(survivor, stream, owner):
    for path in ("/runs", f"/threads/{ids.new_id()}/runs"):
        assert (await survivor.post(path, RUN | CANCEL)).status == 200
    assert await owner.fetchval("select count(plane_id) from run") == 0
    await stream(survivor, **CANCEL)
    assert await owner.fetchval("select count(plane_id) from run") == 1
