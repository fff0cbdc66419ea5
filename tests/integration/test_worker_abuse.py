"""A worker with a valid key that breaks the protocol harms its own runs at most."""

import asyncio

import attrs
import pytest

from duragraph import ids, protocol
from duragraph.protocol import (
    ChannelWrite,
    Checkpoint,
    Effect,
    Frame,
    GraphSpec,
    Lease,
    Outcome,
    Register,
    Report,
    Verdict,
    Write,
)
from duragraph.questions import AuthAnswer
from tests.crash.evidence import audit

pytestmark = pytest.mark.timeout(30)

OTHER = "22222222-2222-2222-2222-222222222222"
IN_TIME = 5
LONG = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(3000))
"""More than an index takes, and hard to compress."""


async def begun(hand):
    """A task on a thread of its own, and the thread's path."""
    thread = (await hand.plane.post("/threads", {})).json["thread_id"]
    run = await hand.plane.post(f"/threads/{thread}/runs", {"assistant_id": "g", "input": {}})
    assert run.status == 200, run.body
    return await asyncio.wait_for(hand.task(), IN_TIME), f"/threads/{thread}"


async def reported(hand, *reports):
    """The verdicts on these, sent as one message."""
    path = f"/api/v1/workers/{hand.worker_id}/report"
    answer = await hand.plane.post(path, data=protocol.pack(list(reports)))
    assert answer.status == 200, answer.body
    return [v.verdict for v in protocol.unpack(answer.body, list[Verdict])]


def state(at=None, *, channels=(), **changes):
    at = at or ids.checkpoint_id()
    versions = {c.channel: at for c in channels}
    made = Checkpoint(at, None, "", "loop", 0, "", [], list(channels), versions)
    return attrs.evolve(made, **changes)


def one(**changes):
    return {"checkpoints": [state(**changes)]}


def channel(name="a", value=b"1", **options):
    return {"checkpoints": [state(channels=[ChannelWrite(name, value, **options)])]}


def frame(event, data=b"{}", checkpoint_id=None):
    return {"frames": [Frame(event, data, checkpoint_id)]}


def write(**changes):
    return {"writes": [attrs.evolve(Write(ids.checkpoint_id(), "", "task"), **changes)]}


def effect(**changes):
    return {"effects": [attrs.evolve(Effect(ids.checkpoint_id(), "key", b"1"), **changes)]}


def ended(**changes):
    return {"outcome": attrs.evolve(Outcome("success"), **changes)}


REFUSED = {
    "a frame with LF": frame("values", b"{}\n\ndata: forged"),
    "a frame with CR": frame("values", b"{}\r\rdata: forged"),
    "an event with LF": frame("values\n\ndata: forged"),
    "an event with CR": frame("values\r\rdata: forged"),
    "an event with TAB": frame("values\tforged"),
    "a frame that looks like a reference": frame("values", b"@nowhere"),
    "a reference to no UUID": frame("values", b"{}", "nowhere"),
    "a reference with newlines": frame("values", b"{}", "\n\nforged"),
    "a checkpoint id that is no UUID": one(at="nowhere"),
    "a checkpoint id that is too short": one(at="22222222-2222"),
    "a parent id that is too short": one(parent_id="22222222"),
    "a version that is no UUID": one(versions={"a": "nowhere"}),
    "a channel that is no JSON": channel(value=b"{"),
    "a channel that is not UTF-8": channel(value=b'"\xff"'),
    "a channel that is deep": channel(value=b"[" * 100_000 + b"]" * 100_000),
    "a channel with a NUL in its name": channel("a\0"),
    "a channel with a name too long": channel(LONG),
    "an append of no array": channel(value=b'"text"', base_id=OTHER, depth=1),
    "an append of no depth": channel(value=b"[1]", base_id=OTHER),
    "a depth without an append": channel(value=b"[1]", depth=1),
    "a negative depth": channel(value=b"[1]", base_id=OTHER, depth=-1),
    "a depth beyond integers": channel(value=b"[1]", base_id=OTHER, depth=1 << 40),
    "tasks that are no JSON": one(tasks=b"{"),
    "tasks that are no list": one(tasks=b"5"),
    "tasks without ids": one(tasks=b'[{"name":1}]'),
    "metadata that is no JSON": one(metadata=b"nope"),
    "a step beyond integers": one(step=1 << 40),
    "a NUL in next": one(next=["a\0"]),
    "a write with a key too long": write(task_id=LONG),
    "a write's interrupts that are no list": write(interrupts=b'{"a":1}'),
    "a write's result that is no JSON": write(result=b"nope"),
    "an effect with a key too long": effect(key=LONG),
    "an effect that is no JSON": effect(result=b""),
    "an outcome's error that is no object": ended(status="error", error=b"5"),
    "an outcome's interrupts that are a list": ended(interrupts=b"[]"),
    "an outcome's interrupts of no lists": ended(interrupts=b'{"a":1}'),
}


async def test_what_can_not_be_stored_fails_its_run_alone(plane, hand, database_url):
    for what, parts in REFUSED.items():
        bad, path = await begun(hand)
        good, _ = await begun(hand)
        verdicts = await reported(
            hand,
            Report(bad.run_id, bad.epoch, 1, **parts),
            Report(good.run_id, good.epoch, 1, outcome=Outcome("success")),
        )
        assert verdicts == ["invalid", "accepted"], what
        run = await plane.get(f"{path}/runs/{bad.run_id}")
        assert run.json["status"] == "error", what
        for read in ("", "/state", "/history", f"/runs/{bad.run_id}/join"):
            assert (await plane.get(path + read)).status == 200, (what, read)
    assert await audit(database_url) == 0


def first(value=b"[1]", **options):
    return state(channels=[ChannelWrite("a", value, **options)])


def then(base, *, depth, value=b"[2]", **changes):
    return state(channels=[ChannelWrite("a", value, base.checkpoint_id, depth)], **changes)


def lies():
    """`{what: (checkpoints, what the last one reads as)}`."""
    at, plain, text, object_ = ids.checkpoint_id(), first(), first(b'"t"'), first(b"{}")
    own = ChannelWrite("a", b"[2]", at, 1)
    deep = then(plain, depth=7)
    return {
        "a part based on itself": ([state(at, channels=[own])], [2]),
        "a base that is not there": ([then(first(), depth=1)], [2]),
        "a base that is text": ([text, then(text, depth=1)], [2]),
        "a base that is an object": ([object_, then(object_, depth=1)], [2]),
        "a depth with a gap": ([plain, deep], [1, 2]),
        "a depth no deeper than its base's": ([plain, deep, then(deep, depth=7)], [2]),
        "a head with spaces": ([padded := first(b" \n[ 1 ]\n "), then(padded, depth=1)], [1, 2]),
        "a version that is not there": ([state(versions={"a": OTHER})], None),
    }


async def test_parts_that_do_not_fit_can_still_be_read(hand, database_url):
    for what, (checkpoints, value) in lies().items():
        task, path = await begun(hand)
        assert (await hand.finish(task, checkpoints=checkpoints)).verdict == "accepted", what
        values = {} if value is None else {"a": value}
        assert (await hand.plane.get(f"{path}/state")).json["values"] == values, what
        again = await hand.plane.post(f"{path}/runs", {"assistant_id": "g", "input": {}})
        assert again.status == 200, what
        task = await asyncio.wait_for(hand.task(), IN_TIME)
        assert task.snapshot.values.keys() == values.keys(), what
        await hand.finish(task)


async def test_a_value_of_which_codecs_lack_a_part_is_what_its_json_says(hand):
    for first_codec, second_codec in ((None, b"x"), (b"x", None)):
        task, path = await begun(hand)
        base = first(codec=first_codec)
        late = ChannelWrite("a", b"[2]", base.checkpoint_id, 1, second_codec)
        await hand.finish(task, checkpoints=[base, state(channels=[late])])
        await hand.plane.post(f"{path}/runs", {"assistant_id": "g", "input": {}})
        task = await asyncio.wait_for(hand.task(), IN_TIME)
        assert (task.snapshot.values, task.snapshot.codecs) == ({"a": b"[1,2]"}, {})
        await hand.finish(task)


async def test_an_answer_to_no_plane_is_refused(plane, hand):
    for plane_id in ("", "*", "a b", "a\r\nPUB x 0\r\n", "\0", "x" * 10_000):
        answers = [AuthAnswer("question", plane_id)]
        path = f"/api/v1/workers/{hand.worker_id}/answers"
        assert (await plane.post(path, data=protocol.pack(answers))).status == 422, plane_id


async def test_values_no_line_or_jsonb_can_hold_are_stored_as_they_can(hand):
    task, path = await begun(hand)
    at = first(b'[\r\n"\\u0000\\ud800"]')
    frames = [Frame("values", b'{"a":[]}', at.checkpoint_id)]
    metadata = b'{"m":\n"\\u0000"}'
    at = attrs.evolve(at, metadata=metadata)
    assert (await hand.finish(task, frames=frames, checkpoints=[at])).verdict == "accepted"
    found = await hand.plane.post("/threads/search", {"values": {"a": ["\ufffd\ufffd"]}})
    assert [t["thread_id"] for t in found.json] == [task.thread_id]
    history = await hand.plane.post(f"{path}/history", {"metadata": {"m": "\ufffd"}})
    assert len(history.json) == 1
    stream = f"{path}/runs/{task.run_id}/stream"
    replayed = await hand.plane.get(stream, headers={"Last-Event-ID": "0"})
    assert replayed.body.count(b"\n") == 4, replayed.body


async def test_who_does_not_hold_the_lease_writes_nothing(plane, hand, database_url):
    stranger = await plane.worker("g")
    task, path = await begun(hand)
    for sender, epoch in ((stranger, task.epoch), (hand, task.epoch - 1), (hand, task.epoch + 1)):
        forged = Report(task.run_id, epoch, 1, [Frame("values", b"{}")])
        assert await reported(sender, forged) == ["fenced"]
    assert await reported(hand, Report(OTHER, 1, 1)) == ["fenced"]
    assert await reported(hand, Report(task.run_id, task.epoch, 2)) == ["gap"]
    assert (await hand.finish(task, frames=[Frame("values", b"{}")])).verdict == "accepted"
    assert (await plane.get(f"{path}/runs/{task.run_id}")).json["status"] == "success"
    assert await audit(database_url) == 0


@pytest.mark.parametrize("end", ["finish", "cancel", "release"])
async def test_a_guessed_epoch_writes_nothing_once_the_lease_is_gone(
    plane, hand, database_url, end
):
    task, path = await begun(hand)
    run = f"{path}/runs/{task.run_id}"
    await hand.report(task, frames=[Frame("values", b"{}")])
    match end:
        case "finish":
            await hand.finish(task, batch=2)
        case "cancel":
            assert (await plane.post(f"{run}/cancel")).status == 202
        case "release":
            await plane.post(f"/api/v1/workers/{hand.worker_id}/drain")
            await hand.report(task, batch=2, outcome=Outcome("released"))
    before = (await plane.get(run)).json
    for batch in (1, 2, 3):
        outcome = Outcome("error", error=b'{"error":"Forged","message":""}')
        frames = [Frame("values", b"1")]
        forged = Report(task.run_id, task.epoch + 1, batch, frames, outcome=outcome)
        (verdict,) = await reported(hand, forged)
        assert verdict in {"fenced", "cancelled"}, batch
    assert (await plane.get(run)).json == before
    await audit(database_url)


async def test_an_error_with_nul_is_told(plane, hand):
    task, path = await begun(hand)
    error = b'{"error":"ValueError","message":"\\u0000"}'
    outcome = Outcome("error", error=error, trace="ValueError: \0")
    failed = Write(ids.checkpoint_id(), "", "task", error="ValueError('\0')")
    assert (await hand.report(task, writes=[failed], outcome=outcome)).verdict == "accepted"
    assert (await plane.get(path)).json["error"] == {"error": "ValueError", "message": "\ufffd"}


def registering(*graphs, **changes):
    return attrs.evolve(Register("w", 1, list(graphs)), **changes)


REGISTRATIONS = {
    "no graphs": (registering(), 200),
    "many graphs": (registering(*(GraphSpec(f"g{n}", "1") for n in range(300))), 200),
    "a graph twice": (registering(GraphSpec("g", "1"), GraphSpec("g", "1")), 200),
    "no slots": (registering(slots=0), 422),
    "fewer than no slots": (registering(slots=-1), 422),
    "slots beyond integers": (registering(slots=1 << 40), 422),
    "a NUL in the name": (registering(name="\0"), 422),
    "a NUL in a graph's id": (registering(GraphSpec("\0", "1")), 422),
    "a graph without a name": (registering(GraphSpec("", "1")), 422),
    "a graph with a name too long": (registering(GraphSpec(LONG, "1")), 422),
    "a schema that is no JSON": (registering(GraphSpec("g", "1", input_schema=b"{")), 422),
    "a label with a NUL": (registering(labels={"a": "\0"}), 422),
}

BROKEN = (
    b"",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 200_000,
    b"\x81\xa5slots" * 50_000,
    protocol.pack({"slots": "1", "active": []}),
    protocol.pack([{"run_id": 5}]),
    protocol.pack({"slots": 1, "active": [["a", 1]]}),
)


async def test_registrations_are_taken_or_refused(plane):
    for what, (message, status) in REGISTRATIONS.items():
        answer = await plane.post("/api/v1/workers", data=protocol.pack(message))
        assert answer.status == status, (what, answer.body)


async def test_messages_of_another_shape_are_refused(plane, hand):
    for verb in ("", f"/{hand.worker_id}/poll", f"/{hand.worker_id}/report"):
        for body in BROKEN:
            answer = await plane.post("/api/v1/workers" + verb, data=body)
            assert answer.status == 422, (verb, body[:20], answer.body)
    for lease in ({"run_id": "x", "epoch": 1}, {"run_id": OTHER, "epoch": 1 << 40}):
        answer = await plane.post(
            f"/api/v1/workers/{hand.worker_id}/heartbeat", {"active": [lease]}
        )
        assert answer.status == 422, answer.body


async def test_a_worker_that_claims_endless_slots_gets_what_there_is(plane, hand):
    waiting = [await plane.post("/runs", {"assistant_id": "g", "input": {}}) for _ in range(3)]
    hand.slots = 1 << 62
    leases = set()
    async with asyncio.timeout(IN_TIME):
        while len(leases) < len(waiting):
            leases |= {Lease(task.run_id, task.epoch) for task in (await hand.poll(*leases)).tasks}
    assert {lease.run_id for lease in leases} == {run.json["run_id"] for run in waiting}


async def test_a_poll_may_name_thousands_of_leases(plane, hand):
    active = [Lease(ids.new_id(), n) for n in range(5000)]
    await plane.post("/runs", {"assistant_id": "g", "input": {}})
    assert len((await asyncio.wait_for(hand.poll(*active), IN_TIME)).tasks) == 1
