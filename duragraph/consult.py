"""Questions for auth handlers. They are user code, so a worker answers them, never the plane.

A question lies in memory: it goes out with a poll's answer, here or from another plane that such
a worker polls, and the answer finds its way back to the plane that asked. A worker that dies with
a question leaves it to the next; nobody in time is Unavailable, never a yes.
"""

import asyncio
import random
import time

from duragraph.bus import Bus
from duragraph.dispatch import Dispatcher
from duragraph.errors import Unavailable
from duragraph.ids import new_id
from duragraph.questions import AuthAnswer, AuthQuestion, Credentials, Intent
from duragraph.seats import Seat

ANSWER_SECONDS = 10.0
"""A question is given up after so long."""
ABSENT_SECONDS = 3.0
"""The same where there was nobody to ask; a worker that is started again is back by then."""
AGAIN_SECONDS = 1.0
"""Who has not answered by then may be dead: another is asked too, and the first answer counts."""
LOOK_SECONDS = 0.1


class Consult:
    def __init__(self, bus: Bus, dispatcher: Dispatcher) -> None:
        self._bus = bus
        self._dispatcher = dispatcher
        self._waiting: dict[str, asyncio.Future[AuthAnswer]] = {}

    async def ask(
        self, *, credentials: Credentials | None = None, intent: Intent | None = None
    ) -> AuthAnswer:
        """What the handlers say. Raises Unavailable."""
        question = AuthQuestion(new_id(), self._bus.plane_id, credentials, intent)
        answer: asyncio.Future[AuthAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[question.question_id] = answer
        try:
            return await self._hear(question, answer)
        finally:
            del self._waiting[question.question_id]

    async def _hear(
        self, question: AuthQuestion, answer: "asyncio.Future[AuthAnswer]"
    ) -> AuthAnswer:
        asked, began = set[str](), time.monotonic()
        patience = ABSENT_SECONDS
        while time.monotonic() - began < patience:
            seconds = LOOK_SECONDS
            if self._put(question, asked):
                seconds, patience = AGAIN_SECONDS, ANSWER_SECONDS
            await asyncio.wait([answer], timeout=seconds)
            if answer.done():
                return answer.result()
        raise Unavailable(
            "Nobody answers for the project's auth handlers.",
            hint="Start a worker that serves the project whose langgraph.json names `auth`.",
        )

    def _put(self, question: AuthQuestion, asked: set[str]) -> bool:
        """Ask one of those that were not asked yet, or the first again; False if there is none."""
        seats, planes = self._dispatcher.answering(), self._bus.answering()
        if asked.issuperset([*(seat.worker.worker_id for seat in seats), *planes]):
            asked.clear()
        for seat in seats:
            if seat.worker.worker_id not in asked:
                asked.add(seat.worker.worker_id)
                _give(seat, question)
                return True
        for plane_id in planes:
            if plane_id not in asked:
                asked.add(plane_id)
                self._bus.ask(plane_id, question)
                return True
        return False

    def asked(self, question: AuthQuestion) -> None:
        """Another plane asks; if nobody polls here any more, it asks elsewhere."""
        if seats := self._dispatcher.answering():
            _give(random.choice(seats), question)  # noqa: S311 - whom a second try finds

    def answered(self, answer: AuthAnswer) -> None:
        """A worker's answer has come in, for this plane or for another. The first one counts."""
        if answer.plane_id != self._bus.plane_id:
            self._bus.answer(answer)
        elif (waiting := self._waiting.get(answer.question_id)) and not waiting.done():
            waiting.set_result(answer)

    def answers(self) -> bool:
        """Whether an auth worker polls this plane."""
        return bool(self._dispatcher.answering())


def _give(seat: Seat, question: AuthQuestion) -> None:
    seat.questions.append(question)
    seat.wake()
