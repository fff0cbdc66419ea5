import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from duragraph.errors import Invalid, TooLarge
from duragraph.protocol import Checkpoint, Frame, Lease, Outcome, Report, Verdict, pack
from duragraph.usage import Usage
from duragraph_worker.process import report
from duragraph_worker.process.report import Reporter
from duragraph_worker.record import Fenced

pytestmark = pytest.mark.timeout(10)


class Desk:
    """The other end of `send`: keeps what arrives, answers once it is `open`."""

    def __init__(self):
        self.requests: list[list[Report]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.came = asyncio.Event()
        self.limit = 1 << 30
        self.verdict = "accepted"
        self.refuses: str | None = None

    async def send(self, reports: list[Report]) -> list[Verdict]:
        pack(reports)
        self.requests.append(reports)
        self.came.set()
        await self.open.wait()
        frames = [frame for each in reports for frame in each.frames]
        if sum(len(frame.data) for frame in frames) > self.limit:
            raise TooLarge
        if self.refuses in [each.run_id for each in reports]:
            raise Invalid
        return [Verdict(each.run_id, each.batch, self.verdict) for each in reports]

    @property
    def batches(self) -> list[tuple[str, int]]:
        return [(each.run_id, each.batch) for request in self.requests for each in request]


@contextlib.asynccontextmanager
async def reporting(desk: Desk) -> AsyncIterator[tuple[Reporter, list[Lease]]]:
    lost: list[Lease] = []
    reporter = Reporter(desk.send, lost=lost.append)
    running = asyncio.create_task(reporter.run())
    try:
        yield reporter, lost
    finally:
        running.cancel()
        await asyncio.wait([running])


def frame(text: str = "1") -> Frame:
    return Frame("custom", text.encode())


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(f"c{step}", None, "", "loop", step, "", [], [], {})


async def test_what_arrives_while_a_request_is_in_flight_is_the_next_batch():
    desk = Desk()
    async with reporting(desk) as (reporter, _):
        one, two = reporter.open(Lease("one", 1)), reporter.open(Lease("two", 1))
        desk.open.clear()
        one.put(frame("a"))
        await desk.came.wait()
        one.put(frame("b"))
        two.put(frame("c"))
        one.put(frame("d"))
        desk.open.set()
        await one.settled()
        await two.settled()
    assert desk.batches == [("one", 1), ("one", 2), ("two", 1)]
    assert [each.data for each in desk.requests[1][0].frames] == [b"b", b"d"]


async def test_an_outcome_goes_with_the_checkpoint_before_it_and_behind_everything():
    desk = Desk()
    async with reporting(desk) as (reporter, _):
        run = reporter.open(Lease("run", 3))
        run.put(checkpoint(0))
        await run.close(Outcome("success"))
    (only,) = desk.requests
    assert only == [
        Report("run", 3, 1, checkpoints=[checkpoint(0)], outcome=Outcome("success")),
    ]


async def test_the_ninth_superstep_waits_for_the_first_acknowledgement():
    desk = Desk()
    async with reporting(desk) as (reporter, _):
        run = reporter.open(Lease("run", 1))
        desk.open.clear()
        for step in range(report.LAG_SUPERSTEPS - 1):
            run.put(checkpoint(step))
            await run.room()
        run.put(checkpoint(99))
        waiting = asyncio.create_task(run.room())
        await desk.came.wait()
        assert not waiting.done()
        desk.open.set()
        await waiting


@pytest.mark.parametrize("verdict", ["fenced", "cancelled", "invalid", "gap"])
async def test_a_lost_run_stops_its_execution_and_reports_no_more(verdict):
    desk = Desk()
    desk.verdict = verdict
    async with reporting(desk) as (reporter, lost):
        run = reporter.open(Lease("run", 1))
        run.put(frame())
        with pytest.raises(Fenced):
            await run.settled()
        run.put(frame())
        await run.close(Outcome("success"))
        with pytest.raises(Fenced):
            await run.room()
    assert desk.batches == [("run", 1)]
    assert lost == [Lease("run", 1)]


async def test_a_request_over_the_limit_is_divided_under_rising_numbers():
    desk = Desk()
    desk.limit = 250
    async with reporting(desk) as (reporter, lost):
        run = reporter.open(Lease("run", 1))
        sent = [frame("x" * 100 + str(number)) for number in range(8)]
        for each in sent:
            run.put(each)
        await run.settled()
    taken = [r for (r,) in desk.requests if sum(len(f.data) for f in r.frames) <= desk.limit]
    assert [f for r in taken for f in r.frames] == sent
    assert [r.batch for r in taken] == list(range(1, len(taken) + 1))
    assert lost == []


async def test_one_item_over_the_limit_fails_its_run_and_no_other():
    desk = Desk()
    desk.limit = 250
    async with reporting(desk) as (reporter, lost):
        big, small = reporter.open(Lease("big", 1)), reporter.open(Lease("small", 1))
        big.put(frame("x" * 300))
        small.put(frame())
        await small.settled()
        await big.close(None)
    told = [each for request in desk.requests for each in request if each.run_id == "big"]
    outcome = told[-1].outcome
    assert outcome is not None
    assert outcome.status == "error"
    assert json.loads(outcome.error or b"")["error"] == "invalid"
    assert [each for report in told[-2:] for each in report.frames] == [
        Frame("error", outcome.error)
    ]
    assert lost == [Lease("big", 1)]


async def test_a_run_that_the_plane_refuses_whatever_it_says_ends_alone():
    desk = Desk()
    desk.refuses = "odd"
    async with reporting(desk) as (reporter, lost):
        odd, even = reporter.open(Lease("odd", 1)), reporter.open(Lease("even", 1))
        odd.put(frame())
        even.put(frame())
        await even.settled()
        await odd.close(None)
    assert odd.over
    assert lost[0] == Lease("odd", 1)
    assert Lease("even", 1) not in lost


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (Frame("custom|\ud800", b"1"), b"no text"),
        (Usage(provider="p", model="m", input_tokens=1 << 64), b"a number that is too large"),
    ],
    ids=["no text", "a large number"],
)
async def test_what_can_not_be_sent_fails_its_run_and_no_other(item, told):
    desk = Desk()
    async with reporting(desk) as (reporter, lost):
        odd, even = reporter.open(Lease("odd", 1)), reporter.open(Lease("even", 1))
        odd.put(item)
        even.put(frame())
        await even.settled()
        await odd.close(None)
    assert lost == [Lease("odd", 1)]
    (outcome,) = [each.outcome for request in desk.requests for each in request if each.outcome]
    assert told in outcome.error


@pytest.fixture
def clock(monkeypatch):
    """What the monotonic clock says."""
    now = [1000.0]
    monkeypatch.setattr(report, "monotonic", lambda: now[0])
    return now


async def test_nothing_new_starts_on_a_lease_not_renewed_in_time_but_reports_go_on(clock):
    desk = Desk()
    desk.open.clear()
    async with reporting(desk) as (reporter, _):
        run = reporter.open(Lease("run", 1))
        clock[0] += report.FENCE_SECONDS
        waiting = asyncio.create_task(run.room())
        run.put(frame())
        await desk.came.wait()
        assert not waiting.done()
        run.renew(clock[0] - 1)
        await waiting


async def test_an_accepted_report_renews_the_lease_as_of_when_it_was_sent(clock):
    desk = Desk()
    desk.open.clear()
    async with reporting(desk) as (reporter, _):
        run = reporter.open(Lease("run", 1))
        clock[0] += 1
        run.put(frame())
        await desk.came.wait()
        clock[0] += report.FENCE_SECONDS - 0.5
        waiting = asyncio.create_task(run.settled())
        desk.open.set()
        await waiting
        clock[0] += 1
        late = asyncio.create_task(run.room())
        await asyncio.sleep(0)
        assert not late.done()
        late.cancel()
