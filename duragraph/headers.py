"""Which headers of a request a run is told: those that its graph's project names.

What proves who sends a request is never among them, nor what the server itself tells a run.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from duragraph.protocol import HeaderPatterns

SECRET = frozenset({"authorization", "x-api-key", "x-service-key", "x-tenant-id"})
_OURS = re.compile(
    r"__.*|langgraph_.*|(thread|run|graph|assistant|cron|checkpoint)_(id|ns|map)", re.DOTALL
)


def selected(headers: Mapping[str, str], patterns: HeaderPatterns) -> dict[str, str]:
    """Those that match, by their names in lower case."""
    found = {name.lower(): value for name, value in headers.items()}
    return {
        # As other servers read them: bytes that are no UTF-8 must not break the JSON.
        name: value.encode("utf-8", "surrogateescape").decode("latin-1")
        for name, value in found.items()
        if _matches(name, patterns)
    }


@lru_cache(maxsize=4096)
def _matches(name: str, patterns: HeaderPatterns) -> bool:
    if name in SECRET or _OURS.fullmatch(name) or _any(name, patterns.exclude):
        return False
    return _any(name, patterns.include)


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name, re.DOTALL)
        for pattern in patterns
    )
