"""Answers what the plane asks of auth handlers, beside the runs and in none of their slots."""

import asyncio
import logging
from collections.abc import Sequence

from duragraph.errors import DuraGraphError
from duragraph.questions import AuthQuestion
from duragraph_worker.process.client import Plane
from duragraph_worker.served import Authority

ANSWER_SECONDS = 10.0
"""The plane waits no longer."""

log = logging.getLogger(__name__)


class Answers:
    def __init__(self, plane: Plane, worker_id: str, authority: Authority) -> None:
        self._plane = plane
        self._worker_id = worker_id
        self._authority = authority
        self._open: dict[str, asyncio.Task[None]] = {}

    def begin(self, group: asyncio.TaskGroup, questions: Sequence[AuthQuestion]) -> None:
        """Those that are not being answered already: what was lost on the road is asked again."""
        for question in questions:
            if question.question_id not in self._open:
                self._open[question.question_id] = group.create_task(self._answer(question))

    def stop(self) -> None:
        """Others are asked what is still open."""
        for task in self._open.values():
            task.cancel()

    async def _answer(self, question: AuthQuestion) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._authority.answer(question)
                await self._plane.answer(self._worker_id, [answer])
        except (TimeoutError, DuraGraphError) as error:
            log.warning("an auth question stays unanswered", extra={"why": repr(error)})
        finally:
            del self._open[question.question_id]
