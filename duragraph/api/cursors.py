"""Where in a stream a client is, and where it finds the stream again.

The official clients come back to a cut stream's `Location` with the id of the last frame that
they saw and with no query. Who was cut before the first frame has no id to send: so the
`Location` says where the stream began, and what was asked of it.
"""

import re
from urllib.parse import urlencode

from duragraph.api.io import Call
from duragraph.errors import Invalid
from duragraph.frames import ALL, Mark
from duragraph.pg.events import Progress

BEGINNING = "-"

_event_id = re.compile(r"(\d{1,18})(?:-(?:(\d{1,18})|\*))?", re.ASCII).fullmatch


def given(call: Call, query: str | None) -> str | None:
    """The id that the request names: in its header, else in its query."""
    return call.request.headers.get("Last-Event-ID") or query or None


def in_thread(event_id: str) -> Mark:
    """`ms-seq`; `ms` and `ms-*` are before all of that millisecond. Raises Invalid."""
    mark = _mark(event_id)
    if mark is None:
        raise Invalid(
            "Invalid last-event-id: must be a valid Redis stream ID",
            hint="Send the id of the last frame seen, or `-` for all that is kept.",
        )
    return mark


def in_run(event_id: str | None, run: Progress) -> int:
    """The number to go on after: 0 for older ids, the last for what is no id of the run."""
    if event_id in {BEGINNING, "-1"}:
        return 0
    mark = None if event_id is None else _mark(event_id)
    if mark is None or mark[0] > run.ms:
        return run.last_seq
    return min(mark[1], run.last_seq) if mark[0] == run.ms else 0


def _mark(event_id: str) -> Mark | None:
    """Both halves compare as numbers."""
    found = _event_id(event_id)
    return None if found is None else (int(found[1]), min(int(found[2] or 0), ALL))


def shown(mark: Mark) -> str:
    return f"{mark[0]}-{mark[1]}"


def location(path: str, event_id: str, **asked: object) -> str:
    """Of a stream that begins behind `event_id`; what is None or empty was not asked."""
    query = {name: "true" if value is True else value for name, value in asked.items() if value}
    return f"{path}?{urlencode(query | {'last_event_id': event_id}, doseq=True, safe='-')}"
