"""What `client.threads.stream` offers is exercised in `test_event_stream.py`: nothing is missed."""

import inspect
from pathlib import Path
from types import ModuleType

from langgraph_sdk._async import stream as asynchronous
from langgraph_sdk._sync import stream as synchronous

EXERCISED = Path(__file__).with_name("test_event_stream.py").read_text()
LOCAL = {"close", "error", "observe_applied_through_seq"}
"""They ask nothing of a server; `async with` closes."""


def offered(module: ModuleType) -> set[str]:
    """Public methods and properties of the classes that a stream is made of."""
    classes = [c for c in vars(module).values() if inspect.isclass(c)]
    own = [c for c in classes if c.__module__ == module.__name__]
    return {name for each in own for name in vars(each) if not name.startswith("_")}


def test_no_method_of_a_stream_is_missed() -> None:
    missing = {n for n in offered(asynchronous) - LOCAL if f".{n}" not in EXERCISED}
    assert missing == set()


def test_the_blocking_half_offers_the_same_but_bounded_waits() -> None:
    assert offered(asynchronous) - offered(synchronous) - LOCAL == {"with_timeout"}
