"""A long state is read in full once; from then on the database says what is still there to see."""

import msgspec
import pytest

from duragraph import pg
from duragraph.part_cache import LEAST_BYTES, PartCache
from duragraph.pg import DEFAULT_ORGANIZATION, Limits, states
from duragraph.protocol import ChannelWrite
from tests.integration.test_states import UNKNOWN, checkpoint, start, state, task_of

OTHER = "22222222-2222-2222-2222-222222222222"
WORD = "word" * (LEAST_BYTES // 4)
TAMPER = "update channel_value set value = to_json(array[$1::text]) where depth = 0"


async def turn(plane, hand, *, after=None, says):
    """A run that appends to the thread's log; returns its checkpoint."""
    task = await start(plane, hand)
    made = checkpoint(after and after.checkpoint_id, log=[says])
    if after is not None:
        part = ChannelWrite("log", msgspec.json.encode([says]), after.checkpoint_id, depth=1)
        made.channels[:] = [part]
    await hand.finish(task, checkpoints=[made])
    return made


@pytest.fixture
async def first(plane, hand):
    """The checkpoint of a thread whose log has one long word."""
    return await turn(plane, hand, says=WORD)


async def log(plane):
    return (await state(plane))["values"]["log"]


async def test_a_long_part_is_read_once(plane, first, owner):
    assert await log(plane) == [WORD]
    await owner.execute(TAMPER, "unread")
    assert await log(plane) == [WORD]


async def test_who_reads_one_subgraph_takes_nothing_from_who_reads_all(plane, hand, owner):
    spaces = ["one:t1", "two:t2"]
    tasks = [task_of(ns[:3], ns[4:], ns=ns) for ns in spaces]
    root = checkpoint(next=["one", "two"], tasks=tasks)
    under = [checkpoint(ns=ns, root=root.checkpoint_id, log=[WORD]) for ns in spaces]
    await hand.finish(await start(plane, hand), checkpoints=[root, *under])

    async def logs():
        shown = (await state(plane, "?subgraphs=true"))["tasks"]
        return [task["state"]["values"]["log"] for task in shown]

    assert await logs() == [[WORD], [WORD]]
    body = {"checkpoint": {"checkpoint_ns": spaces[0]}}
    await plane.post(f"/threads/{UNKNOWN}/state/checkpoint", body)
    await owner.execute(TAMPER, "unread")
    assert await logs() == [[WORD], [WORD]]


async def test_nothing_is_held_where_there_is_no_room(start_plane, first, owner):
    plane = await start_plane(state_cache_bytes=0)
    assert await log(plane) == [WORD]
    await owner.execute(TAMPER, "read again")
    assert await log(plane) == ["read again"]


async def test_what_is_new_joins_what_is_held(plane, hand, first):
    assert await log(plane) == [WORD]
    await turn(plane, hand, after=first, says="new")
    assert await log(plane) == [WORD, "new"]
    history = (await plane.get(f"/threads/{UNKNOWN}/history?limit=10")).json
    assert [each["values"]["log"] for each in history] == [[WORD, "new"], [WORD]]
    assert (await state(plane, f"/{first.checkpoint_id}"))["values"] == {"log": [WORD]}
    assert await state(plane, "?select=values.nope") == {"values": {}}


async def test_what_is_erased_is_not_shown(plane, hand, first, owner):
    assert await log(plane) == [WORD]
    await owner.execute("delete from channel_value")
    assert (await state(plane))["values"] == {}
    assert (await plane.delete(f"/threads/{UNKNOWN}")).status == 204
    assert (await plane.get(f"/threads/{UNKNOWN}/state")).status == 404
    await turn(plane, hand, says="another thread of that name")
    assert await log(plane) == ["another thread of that name"]


async def test_another_tenants_parts_are_its_own(plane, first, owner, database_url):
    """Also under the same names, which a worker may choose."""
    await owner.execute("insert into organization values ($1, 'other')", OTHER)
    for table in ("thread", "checkpoint", "channel_value"):
        names = [r["column_name"] for r in await owner.fetch(COLUMNS, table)]
        columns = ", ".join(names)
        await owner.execute(
            f"insert into {table} (organization_id, {columns}) select $1, {columns} from {table}",
            OTHER,
        )
    theirs = WORD.upper()
    await owner.execute(TAMPER + " and organization_id = $2", theirs, OTHER)
    cache = PartCache(1 << 20)
    pool = await pg.open_pool(database_url, "duragraph_user", size=1)
    try:
        for organization_id, said in ((DEFAULT_ORGANIZATION, WORD), (OTHER, theirs)) * 2:
            async with pg.limited(pool, organization_id, Limits(threads=pg.OPEN)) as conn:
                found = await states.get(conn, cache, organization_id, UNKNOWN)
            assert msgspec.json.decode(found.values) == {"log": [said]}
        async with pg.limited(pool, OTHER, Limits()) as conn:
            assert await states.get(conn, cache, OTHER, UNKNOWN) is None
    finally:
        pool.terminate()


COLUMNS = """
select column_name from information_schema.columns
where table_name = $1 and column_name <> 'organization_id' and is_generated = 'NEVER'
"""
