"""The comparison itself: it must see what differs, and only that."""

from typing import Any

import pytest

from tests.conformance.compare import ABSENT, differences
from tests.conformance.normal import Names
from tests.conformance.wire import Exchange, is_canonical

FRAMES = [
    {"event": "metadata", "data": {"run_id": "<run 1>"}},
    {"event": "updates", "data": {"a": 1}},
    {"event": "updates", "data": {"b": [1, 2]}},
]


def exchange(frames: list[Any]) -> dict[str, Any]:
    return {"call": "POST /runs/stream", "status": 200, "frames": frames}


def found(reference: Any, ours: Any) -> list[tuple[str, str, str]]:
    return [(each.path, each.reference, each.ours) for each in differences("s", reference, ours)]


def test_a_missing_frame_is_one_difference() -> None:
    [(path, _, ours)] = found([exchange(FRAMES)], [exchange([FRAMES[0], FRAMES[2]])])[-1:]
    assert (path, ours) == ("frames[updates]", ABSENT)


def test_frames_in_another_order_differ() -> None:
    swapped = [FRAMES[0], FRAMES[2], FRAMES[1]]
    assert found([exchange(FRAMES)], [exchange(swapped)])


@pytest.mark.parametrize("ours", [1.0, "1", True, None])
def test_values_of_other_types_differ(ours: Any) -> None:
    assert found([exchange([{"data": 1}])], [exchange([{"data": ours}])])


def test_ids_may_be_numbered_otherwise() -> None:
    reference = [exchange(["<run 1>", "<run 2>", "<run 1>"])]
    assert found(reference, [exchange(["<run 7>", "<run 3>", "<run 7>"])]) == []
    assert found(reference, [exchange(["<run 7>", "<run 7>", "<run 7>"])])
    assert found(reference, [exchange(["<run 7>", "<run 3>", "<run 3>"])])


def test_a_conversation_that_stops_early_differs() -> None:
    assert found([exchange([])] * 2, [exchange([])])


def test_names_stand_for_ids_and_times() -> None:
    uuid = "01a1f80d-8d14-7735-8d97-a2aa1674fb56"
    named = Names().value(
        {
            "thread_id": uuid,
            "at": "2026-11-20T06:23:12.562048+00:00",
            "other": "2026-11-20T06:23:12Z",
            "path": f"/threads/{uuid}/runs",
        }
    )
    assert named == {
        "thread_id": "<thread 1>",
        "at": "<time>",
        "other": "2026-11-20T06:23:12Z",
        "path": "/threads/<thread 1>/runs",
    }


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"event: a\r\ndata: 1\r\nid: 1-0\r\n\r\n: heartbeat\r\n\r\n", True),
        (b"event: a\ndata: 1\n\n", False),
        (b"event: a\r\nid: 1-0\r\ndata: 1\r\n\r\n", False),
        (b"event:a\r\ndata: 1\r\n\r\n", False),
        (b": ping\r\n\r\n", False),
        (b"event: a\r\ndata: 1\r\n", False),
    ],
)
def test_framing_is_judged_by_the_byte(body: bytes, canonical: bool) -> None:
    assert is_canonical(body) is canonical


def test_spaces_in_a_frames_json_are_seen() -> None:
    exchange = Exchange("GET", "/", None, 200, {"content-type": "text/event-stream"})
    exchange.body += b'event: a\r\ndata: {"a": 1}\r\n\r\n'
    assert Names().exchange(exchange)["frames"] == [
        {"event": "a", "data": {"a": 1}, "compact": False}
    ]
