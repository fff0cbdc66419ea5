"""How the interpreter runs both commands; a program that embeds a worker keeps its own ways."""

import gc
import resource

YOUNGEST, MIDDLE, OLDEST = 50_000, 20, 20
FILES = 65_536
"""As many as one process opens, where the system allows it."""


def settle() -> None:
    """Collect what starting left, then collect rarely; open as many files as may be.

    A run allocates and frees by reference count; with Python's thresholds the collector walks
    the same living objects over and over, for 8 % of the CPU at 32 callers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, MIDDLE, OLDEST)
    # Every follower is an open file, and shells allow 1,024 of them unless asked.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
