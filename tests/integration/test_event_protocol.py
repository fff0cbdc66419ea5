"""Thread events on the wire: filters, numbers, cuts and what a socket may do."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from duragraph.api import sse
from duragraph.api.event_streaming import sockets
from duragraph.event_names import EventName
from duragraph.ids import new_id
from duragraph.protocol import Frame, Outcome
from duragraph.thread_events import Subscription
from tests.integration.test_commands import send, start

pytestmark = pytest.mark.timeout(30)

IN_TIME = 10


@pytest.fixture
def thread():
    return new_id()


def told(method, data, *namespace, node=""):
    name = EventName(method, 1795173374741, node, namespace)
    return Frame(str(name), json.dumps(data, separators=(",", ":")).encode())


def began(task):
    return Frame("metadata", b'{"run_id":"%b","attempt":1}' % task.run_id.encode())


async def run_of(plane, hand, thread, *frames):
    """A run that tells of these, to its end."""
    await start(plane, thread, input={})
    task = await hand.task()
    await hand.finish(task, frames=[began(task), *frames])


class Events:
    """What comes on one stream, read on demand."""

    def __init__(self, response):
        self.response = response
        self._lines = response.content

    async def next(self):
        """The next event, as its frame has it. Raises EOFError at the end."""
        frame = {}
        async with asyncio.timeout(IN_TIME):
            while line := (await self._lines.readline()).decode():
                if not line.strip():
                    if frame:
                        return frame["event"], frame["id"], json.loads(frame["data"])
                elif not line.startswith(":"):
                    name, _, value = line.strip().partition(": ")
                    frame[name] = value
        raise EOFError

    async def take(self, count):
        return [(await self.next())[2] for _ in range(count)]

    async def until(self, what):
        """All up to the root's lifecycle event `what`."""
        seen = []
        while not seen or lifecycle(seen[-1]) != what:
            seen.append((await self.next())[2])
        return seen


def lifecycle(event):
    root = event["method"] == "lifecycle" and event["params"]["namespace"] == []
    return event["params"]["data"]["event"] if root else None


def shown(events):
    return [(e["method"], e["params"]["data"]) for e in events]


@asynccontextmanager
async def following(plane, thread, *channels, **filters):
    body = {"channels": channels or ["values", "lifecycle"], **filters}
    async with plane.http.post(f"/threads/{thread}/stream/events", json=body) as response:
        assert response.status == 200
        yield Events(response)


async def test_it_opens_before_the_thread_exists_and_stays_open_across_runs(plane, hand, thread):
    async with following(plane, thread) as events:
        await run_of(plane, hand, thread, told("values", {"n": 1}))
        first = await events.until("completed")
        await run_of(plane, hand, thread, told("values", {"n": 2}))
        second = await events.until("completed")
    assert shown(first) == [
        ("lifecycle", {"event": "running", "graph_name": "g"}),
        ("values", {"n": 1}),
        ("lifecycle", {"event": "completed", "graph_name": "g"}),
    ]
    assert shown(second)[1] == ("values", {"n": 2})


async def test_an_event_has_the_protocols_envelope(plane, hand, thread):
    frame = told("updates", {"a": "ä\n"}, "sub:1", "deep:2", node="n")
    await run_of(plane, hand, thread, frame)
    async with following(plane, thread, "updates") as events:
        name, number, event = await events.next()
    assert (name, int(number)) == ("updates", event["seq"])
    ms, seq = event.pop("event_id").split("-")
    assert event == {
        "type": "event",
        "seq": int(ms) * 1024 + int(seq),
        "method": "updates",
        "params": {
            "namespace": ["sub:1", "deep:2"],
            "timestamp": 1795173374741,
            "data": {"a": "ä\n"},
            "node": "n",
        },
    }
    assert event["seq"] < 2**53


CHANNELS = {
    "values": ["values"],
    "input": ["input.requested"],
    "custom": ["custom", "custom"],
    "custom:a": ["custom"],
    "custom:z": [],
    "tools": ["tools"],
    "tasks": ["tasks"],
    "checkpoints": ["checkpoints"],
    "messages": ["messages"],
}


async def test_channels_choose_what_is_sent(plane, hand, thread):
    methods = "values", "input.requested", "tools", "tasks", "checkpoints", "messages", "madeup"
    frames = [told(method, {}) for method in methods]
    named = [told("custom", {"name": name, "payload": 1}) for name in "ab"]
    await run_of(plane, hand, thread, *frames, *named)
    for channel, expected in CHANNELS.items():
        async with following(plane, thread, channel, "lifecycle") as events:
            seen = await events.until("completed")
        assert [event["method"] for event in seen[1:-1]] == expected, channel


async def test_namespaces_and_depth_choose_where_from(plane, hand, thread):
    places = (), ("a:1",), ("a:1", "b:2"), ("a:1", "b:2", "c:3"), ("ab:4",)
    frames = [told("values", {"at": place}, *place) for place in places]
    await run_of(plane, hand, thread, *frames)
    for filters, expected in (
        ({}, places),
        ({"namespaces": []}, places),
        ({"namespaces": [[]], "depth": 0}, places[:1]),
        ({"namespaces": [[]], "depth": 1}, (places[0], places[1], places[4])),
        ({"namespaces": [["a:1"]]}, places[1:4]),
        ({"namespaces": [["a"]], "depth": 1}, places[1:3]),
        ({"namespaces": [["a", "b"], ["ab"]]}, places[2:]),
        ({"namespaces": [["a:9"]]}, ()),
    ):
        async with following(plane, thread, "values", "custom", **filters) as events:
            seen = await events.take(len(expected))
        assert [tuple(e["params"]["data"]["at"]) for e in seen] == list(expected), filters


async def test_behind_any_number_comes_the_same_rest_on_every_plane(start_plane, thread):
    planes = [await start_plane(), await start_plane()]
    hand = await planes[0].worker("g")
    for n in range(3):
        await run_of(planes[0], hand, thread, *(told("values", {"n": n, "i": i}) for i in range(n)))
    async with following(planes[0], thread) as events:
        whole = [event for _ in range(3) for event in await events.until("completed")]
    numbers = [event["seq"] for event in whole]
    assert numbers == sorted(set(numbers))
    for at, number in enumerate([0, *numbers[:-1]]):
        async with following(planes[at % 2], thread, since=number) as events:
            assert await events.take(len(whole) - at) == whole[at:]


async def test_a_run_with_more_events_than_a_millisecond_has_numbers_is_gone_on_with(
    plane, hand, thread
):
    await run_of(plane, hand, thread, *(told("values", n) for n in range(2500)))
    await run_of(plane, hand, thread)
    async with following(plane, thread, "values") as events:
        seen = await events.take(2500)
    for at in (1000, 1030, 2100, 2498):
        async with following(plane, thread, since=seen[at]["seq"]) as events:
            assert (await events.next())[2] == seen[at + 1]


async def test_how_a_run_ended_is_told_by_its_end(plane, hand, thread):
    asked = b'{"t":[{"id":"i","value":1}]}'
    failed = Outcome("error", error=b'{"error":"ValueError","message":"boom"}')
    ends = (
        (Outcome("success"), {"event": "completed"}),
        (Outcome("success", interrupted=True), {"event": "completed"}),
        (Outcome("success", interrupted=True, interrupts=asked), {"event": "interrupted"}),
        (failed, {"event": "failed", "error": "boom"}),
    )
    async with following(plane, thread, "lifecycle") as events:
        for outcome, expected in ends:
            await start(plane, thread)
            await hand.report(await hand.task(), outcome=outcome)
            (event,) = await events.take(1)
            assert event["params"]["data"] == {**expected, "graph_name": "g"}
        run_id = await start(plane, thread)
        task = await hand.task()
        await hand.report(task, frames=[began(task)])
        await plane.post(f"/threads/{thread}/runs/{run_id}/cancel")
        assert [lifecycle(event) for event in await events.take(2)] == ["running", "interrupted"]


async def test_an_update_of_the_state_is_no_run(plane, hand, thread):
    await run_of(plane, hand, thread)
    update = asyncio.create_task(plane.post(f"/threads/{thread}/state", {"values": {}}))
    task = await hand.task()
    assert task.kind == "update_state"
    await hand.finish(task)
    await update
    await run_of(plane, hand, thread)
    async with following(plane, thread, "lifecycle") as events:
        told_of = [lifecycle(event) for event in await events.take(4)]
    assert told_of == ["running", "completed"] * 2


async def test_an_attempt_that_goes_on_with_a_run_begins_none(plane, hand, thread):
    await start(plane, thread)
    task = await hand.task()
    again = Frame("metadata", began(task).data.replace(b'"attempt":1', b'"attempt":2'))
    await hand.finish(task, frames=[began(task), again])
    async with following(plane, thread, "lifecycle") as events:
        assert [lifecycle(event) for event in await events.take(2)] == ["running", "completed"]


async def test_what_a_worker_makes_up_breaks_no_stream(plane, hand, thread):
    names = "event|", "event|values", "event|values|x|", "metadata", "values", "updates|a"
    odd = [Frame(name, b"7") for name in names]
    await run_of(plane, hand, thread, *odd, told("values", {"n": 1}))
    async with following(plane, thread) as events:
        assert shown(await events.until("completed"))[-2:-1] == [("values", {"n": 1})]


BAD = ({}, {"channels": []}, {"channels": ["zz"]}, {"channels": ["values", "custom:"]})


async def test_unknown_channels_are_refused(plane, thread):
    for body in BAD:
        answer = await plane.post(f"/threads/{thread}/stream/events", body)
        assert answer.status == 400, body
        assert "channels" in answer.json["detail"]


async def test_runs_shown_to_others_show_no_frames_that_are_events(plane, hand, thread):
    await start(plane, thread, input={})
    task = await hand.task()
    await hand.finish(task, frames=[began(task), told("values", {"n": 1})])
    path = f"/threads/{thread}/runs/{task.run_id}/stream"
    answer = await plane.get(path, headers={"Last-Event-ID": "-1"})
    assert b"event: metadata" in answer.body
    assert b"event|" not in answer.body


async def test_who_knows_only_what_is_gone_is_told(plane, hand, thread, database_url):
    await run_of(plane, hand, thread, told("values", {}))
    async with following(plane, thread) as events:
        first, *_ = await events.until("completed")
    owner = await asyncpg.connect(database_url)
    await owner.execute("delete from event")
    await owner.close()
    body = {"channels": ["values"], "since": first["seq"]}
    answer = await plane.post(f"/threads/{thread}/stream/events", body)
    assert (answer.status, answer.json["code"]) == (410, "gone")
    async with socket(plane, thread) as ws:
        await ask(ws, 1, "subscription.subscribe", **body)
        answer = await received(ws)
        assert (answer["type"], answer["id"]) == ("error", None)
        await ws.receive(timeout=IN_TIME)
        assert ws.close_code == 4410
    await run_of(plane, hand, thread, told("values", {"n": 1}))
    async with following(plane, thread, "values") as events:
        assert shown(await events.take(1)) == [("values", {"n": 1})]


async def test_a_plane_that_ends_cuts_what_it_sends(plane, thread):
    async with following(plane, thread) as events, socket(plane, thread) as ws:
        sse.cut_all(plane.app)
        with pytest.raises(aiohttp.ClientError):
            await events.next()
        assert (await ws.receive(timeout=IN_TIME)).type in {
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        }
        assert ws.close_code == 1006


@asynccontextmanager
async def socket(plane, thread, **options):
    async with plane.http.ws_connect(f"/threads/{thread}/stream/events", **options) as ws:
        yield ws


async def ask(ws, number, method, **params):
    await ws.send_json({"id": number, "method": method, "params": params})
    answer = await received(ws)
    assert answer["id"] == number
    return answer


async def received(ws):
    return await ws.receive_json(timeout=IN_TIME)


async def test_a_socket_carries_commands_and_events(plane, hand, thread):
    async with socket(plane, thread) as ws:
        answer = await ask(ws, 1, "subscription.subscribe", channels=["values", "lifecycle"])
        assert answer["type"] == "success"
        subscription = answer["result"]["subscription_id"]
        answer = await ask(ws, 2, "run.start", assistant_id="g", input={})
        task = await hand.task()
        assert answer["result"]["run_id"] == task.run_id
        await hand.finish(task, frames=[began(task), told("values", {"n": 1})])
        events = [await received(ws) for _ in range(3)]
        assert shown(events)[1] == ("values", {"n": 1})
        answer = await ask(ws, 3, "subscription.unsubscribe", subscription_id=subscription)
        assert answer["meta"]["applied_through_seq"] == events[-1]["seq"]
        await run_of(plane, hand, thread)
        answer = await ask(ws, 4, "subscription.unsubscribe", subscription_id=subscription)
        assert answer["error"] == "no_such_subscription"


async def test_overlapping_subscriptions_get_each_new_event_once(plane, hand, thread):
    async with socket(plane, thread) as ws:
        for n in range(3):
            await ask(ws, n, "subscription.subscribe", channels=["values", "lifecycle"])
        await run_of(plane, hand, thread, *(told("values", n) for n in range(20)))
        seen = [await received(ws) for _ in range(22)]
        answer = await ask(ws, 9, "agent.getTree")
    assert answer["type"] == "success", "nothing came twice"
    assert len({event["event_id"] for event in seen}) == 22


async def test_a_new_subscription_sees_what_older_ones_have_seen_and_they_do_not(
    plane, hand, thread
):
    await run_of(plane, hand, thread, told("values", {}))
    async with socket(plane, thread) as ws:
        await ask(ws, 1, "subscription.subscribe", channels=["values"])
        assert (await received(ws))["method"] == "values"
        await ask(ws, 2, "subscription.subscribe", channels=["lifecycle"])
        assert [lifecycle(await received(ws)) for _ in range(2)] == ["running", "completed"]


async def test_events_keep_their_order_over_all_subscriptions(plane, hand, thread):
    async with socket(plane, thread) as ws:
        for n, channel in enumerate(("lifecycle", "values", "updates", "tools")):
            await ask(ws, n, "subscription.subscribe", channels=[channel])
        frames = [told(method, {}) for method in ("tools", "values", "updates") for _ in range(9)]
        await run_of(plane, hand, thread, *frames)
        numbers = [(await received(ws))["seq"] for _ in range(29)]
    assert numbers == sorted(set(numbers))


async def test_a_subscription_goes_on_behind_a_number(plane, hand, thread):
    await run_of(plane, hand, thread)
    async with following(plane, thread) as events:
        first, last = await events.until("completed")
    async with socket(plane, thread) as ws:
        answer = await ask(
            ws, 1, "subscription.reconnect", channels=["lifecycle"], since=first["seq"],
            subscription_id="mine",
        )  # fmt: skip
        assert answer["result"]["subscription_id"] == "mine"
        assert await received(ws) == last
        answer = await ask(ws, 2, "subscription.reconnect", channels=["lifecycle"])
        assert answer["error"] == "invalid_argument", "since is missing"


async def test_what_is_no_command_leaves_the_socket_open(plane, thread):
    async with socket(plane, thread) as ws:
        for text in ("{", "[]", '{"id":"x","method":"m"}', '{"id":1}'):
            await ws.send_str(text)
            answer = await received(ws)
            assert (answer["error"], answer["id"]) == (
                "invalid_argument",
                1 if ":1}" in text else None,
            )
        for method, params, code in (
            ("nope", {}, "unknown_command"),
            ("subscription.subscribe", {}, "invalid_argument"),
            ("subscription.subscribe", {"channels": ["zz"]}, "invalid_argument"),
            ("subscription.subscribe", {"channels": 5}, "invalid_argument"),
            ("subscription.unsubscribe", {}, "invalid_argument"),
            ("run.start", {"assistant_id": "nope"}, "invalid_argument"),
        ):
            assert (await ask(ws, 1, method, **params))["error"] == code


async def test_a_socket_has_so_many_subscriptions_and_no_more(plane, thread, monkeypatch):
    monkeypatch.setattr(sockets, "MOST_SUBSCRIPTIONS", 2)
    async with socket(plane, thread) as ws:
        codes = [
            (await ask(ws, n, "subscription.subscribe", channels=["values"])).get("error")
            for n in range(3)
        ]
    assert codes == [None, None, "invalid_argument"]


async def test_others_have_their_turn_while_a_log_is_told(plane, hand, thread, monkeypatch):
    asked, begun = [], asyncio.Event()
    monkeypatch.setattr(Subscription, "wants", lambda _, event: asked.append(event) or begun.set())
    await run_of(plane, hand, thread, *(told("values", n) for n in range(1000)))
    async with socket(plane, thread) as ws:
        await ask(ws, 1, "subscription.subscribe", channels=["values"])
        await begun.wait()
        assert len(asked) < 1000


async def test_filters_are_so_many_and_no_more(plane, thread):
    many = [[str(n)] for n in range(101)]
    body = {"channels": ["values"], "namespaces": many}
    assert (await plane.post(f"/threads/{thread}/stream/events", body)).status == 422


async def test_a_message_too_big_closes_the_socket(start_plane, thread):
    plane = await start_plane(max_body_bytes=1000)
    async with socket(plane, thread) as ws:
        await ws.send_str("x" * 2000)
        await ws.receive(timeout=IN_TIME)
        assert ws.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_who_takes_nothing_is_cut(plane, hand, thread, monkeypatch):
    monkeypatch.setattr(sse, "STALLED_SECONDS", 0.3)
    monkeypatch.setattr(sockets, "PING_SECONDS", 3600)
    await start(plane, thread)
    task = await hand.task()
    for batch in range(1, 21):
        await hand.report(task, batch=batch, frames=[told("values", "x" * 900_000)])
    request = (
        f"GET /threads/{thread}/stream/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    url = urlsplit(plane.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1)
    writer.write(request.encode() + masked(b'{"id":1,"method":"subscription.subscribe",'
        b'"params":{"channels":["values"]}}'))  # fmt: skip
    await until(lambda: plane.app[sse.OPEN])
    await until(lambda: not plane.app[sse.OPEN])
    with suppress(ConnectionError):
        assert len(await asyncio.wait_for(reader.read(), IN_TIME)) < 20 * 900_000
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


def masked(text):
    """A short text message of a client, under a mask of zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


async def until(holds):
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


async def test_pages_of_other_origins_get_no_socket(start_plane, thread):
    plane = await start_plane(cors_origins=("https://mine.test",))
    for origin, code in (("https://evil.test", 4403), ("https://mine.test", None), (None, None)):
        async with socket(plane, thread, origin=origin) as ws:
            if code is None:
                assert (await ask(ws, 1, "nope"))["error"] == "unknown_command"
            else:
                await ws.receive(timeout=IN_TIME)
            assert ws.close_code == code


async def test_a_socket_needs_a_key_where_everything_does(start_plane, thread):
    plane = await start_plane(api_keys=("secret",))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with socket(plane, thread):
            pass
    assert refused.value.status == 401
    async with socket(plane, thread, headers={"x-api-key": "secret"}) as ws:
        assert (await ask(ws, 1, "nope"))["error"] == "unknown_command"


async def test_who_asks_for_no_socket_is_told_how_to_ask(plane, thread):
    answer = await plane.get(f"/threads/{thread}/stream/events")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_an_answer_over_the_socket_resumes_the_run(plane, hand, thread):
    await start(plane, thread)
    asked = b'{"t":[{"id":"i","value":1}]}'
    await hand.report(
        await hand.task(), outcome=Outcome("success", interrupted=True, interrupts=asked)
    )
    async with socket(plane, thread) as ws:
        answer = await ask(ws, 1, "input.respond", interrupt_id="i", response="yes")
        assert answer["type"] == "success"
    assert b'"resume":{"i":"yes"}' in (await hand.task()).kwargs
    assert (await send(plane, thread, "input.respond", interrupt_id="i"))["type"] == "error"
