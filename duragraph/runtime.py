"""How the interpreter runs both commands; a program that embeds a worker keeps its own ways."""

import gc

YOUNGEST, MIDDLE, OLDEST = 50_000, 20, 20


def settle() -> None:
    """Collect what starting left, then collect rarely.

    A run allocates and frees by reference count; with Python's thresholds the collector walks
    the same living objects over and over, for 8 % of the CPU at 32 callers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, MIDDLE, OLDEST)
