from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import stamina

from duragraph_worker.retrying import LONGEST_WAIT, Refusal, VendorRetries


class RefusedError(Exception):
    def __init__(self, status, **headers):
        super().__init__(status)
        self.refusal = Refusal(status, headers)


RETRIES = VendorRetries(2, (ConnectionError,), lambda error: getattr(error, "refusal", None))


def refused(status, retry_after=None):
    headers = {} if retry_after is None else {"retry-after": retry_after}
    error = RefusedError(status)
    error.refusal = Refusal(status, headers)
    return error


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (refused(429, "3"), 3),
        (refused(529, "0.5"), 0.5),
        (refused(500), True),
        (refused(429, "soon"), True),
        (refused(429, f"Mon, 01 Jan {10**20} 00:00:00 GMT"), True),
        (refused(429, "nan"), False),
        (refused(429, str(LONGEST_WAIT + 1)), False),
        (refused(400, "1"), False),
        (ConnectionError(), True),
        (ValueError(), False),
    ],
)
def test_what_passes_is_waited_for(error, wait):
    assert RETRIES._wait(error) == wait


def test_retry_after_may_be_a_date():
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < RETRIES._wait(refused(503, then)) <= 60
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    assert RETRIES._wait(refused(503, past)) == 0


async def test_a_stream_that_has_begun_is_not_asked_for_again():
    asked = []

    async def ask():
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError
        yield "a"
        raise ConnectionError

    heard = []

    async def listen():
        async for item in RETRIES.stream(ask):
            heard.append(item)  # noqa: PERF401 - what was heard before it broke

    with stamina.set_testing(True, attempts=3), pytest.raises(ConnectionError):
        await listen()
    assert (heard, len(asked)) == (["a"], 2)
