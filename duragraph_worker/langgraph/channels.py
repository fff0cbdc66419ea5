"""What is asked of a graph's channels at each put: which clients see, which bring messages."""

import attrs

from duragraph_worker.langgraph import message_ids
from duragraph_worker.langgraph.task_writes import Shown


@attrs.frozen
class Channels:
    """Of one graph, told once for all puts of an attempt."""

    shown: Shown
    """`stream_channels_asis`."""
    of_messages: frozenset[str]

    @classmethod
    def of(cls, graph: object | None) -> "Channels":
        """None for a graph that is not known."""
        shown = getattr(graph, "stream_channels_asis", _named_as_visible)
        if not isinstance(shown, str) and not callable(shown):
            shown = frozenset(shown).__contains__
        return cls(shown, message_ids.channels(graph))


def _named_as_visible(channel: str) -> bool:
    """All but LangGraph's own."""
    return not channel.startswith(("__", "branch:", "join:"))
