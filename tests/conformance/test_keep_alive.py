"""Bytes while nothing happens, so that no client or proxy takes a quiet run for a dead one."""

import asyncio

from tests.conformance.wire import HEARTBEAT, Wire, connect

QUIET = {"assistant_id": "echo", "input": {"msg": "hi", "seconds": 6}}


async def test_streams_and_waits_are_kept_alive(server_url: str) -> None:
    async with connect(server_url) as session:
        wire = Wire(session)
        calls = [wire.post(f"/runs/{kind}", QUIET) for kind in ("stream", "wait")]
        stream, wait = await asyncio.gather(*calls)
    # One beat every 5 s for all: six seconds see one, or the second of two.
    assert bytes(stream.body).count(HEARTBEAT) in {1, 2}
    assert bytes(wait.body).startswith((b"\n{", b"\n\n{"))
    assert wait["out"] == "hi"
