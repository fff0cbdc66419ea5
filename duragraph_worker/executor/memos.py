"""What is asked once a run, whichever of its nodes asks: answers recorded under the run itself.

They outlive the checkpoint that they were given at, retries and workers, and end with the run.
"""

import asyncio
from collections import defaultdict
from typing import Any

import attrs

from duragraph.protocol import Effect
from duragraph_worker import serialize
from duragraph_worker.executor.agenda import digest
from duragraph_worker.record import Recorder


@attrs.frozen(eq=False)
class Memos:
    """The answers of one run, by question."""

    _run_id: str
    _effects: dict[str, bytes]
    """All that the run has recorded."""
    _recorder: Recorder
    _turns: defaultdict[str, asyncio.Lock] = attrs.field(
        factory=lambda: defaultdict(asyncio.Lock), init=False
    )

    def turn(self, question: str) -> asyncio.Lock:
        """To be held from `get` to `keep`, so that nobody else asks the same meanwhile."""
        return self._turns[question]

    def get(self, question: str) -> Any:
        """The answer, as JSON reads; None if there is none yet."""
        known = self._effects.get(digest("memo", question))
        return None if known is None else serialize.decode(known)

    def keep(self, question: str, answer: Any) -> None:
        """Recorded in order with the run's progress."""
        key = digest("memo", question)
        self._effects[key] = serialize.encode(answer)
        self._recorder.put(Effect(self._run_id, key, self._effects[key]))
